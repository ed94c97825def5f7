"""A recursive network on nested expressions, beside networks that read them from left to right.

The binary Tree-LSTM of Tai, Socher and Manning 2015 (arXiv 1503.00075), taught by back-propagation
through structure (Goller and Kuechler 1996), computes a state of each bracket from those of its two
sides. `python -m experiments.tree_network` trains it and the others on expressions such as
`((1*3)-1)` modulo 5 (`tasks.modular_arithmetic_brackets`), and writes
docs/results/tree_network.json and docs/pictures/tree_network.png, which docs/learning.md shows.

Axes: T tokens, B batch, O values.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

import memnets
from experiments.kept import kept, write
from experiments.results import median
from memnets.inspect import palette
from tasks.modular_arithmetic_brackets import ALPHABET, MODULUS, expression
from training.files.provenance import ROOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIGNS = "+-*"
SYMBOLS = 2 * MODULUS + len(SIGNS)  # digits, digits with a minus, signs
HIDDEN = 64
RATES = {"Tree-LSTM": 1e-2, "NTM": 3e-3, "LSTM": 3e-3}
BATCH = 32
TESTED = 512  # expressions

Tree = int | tuple[int, "Tree", "Tree"]
"""a digit's symbol, or a sign's with the trees of its two sides"""


def parsed(text: str) -> Tree:
    """The tree of an expression of `tasks.modular_arithmetic_brackets`.

    Digits are the symbols 0 to 4, with a minus 5 to 9; the signs `+ - *` are 10 to 12.

    >>> parsed("((1*(-3))-1)")
    (11, (12, 1, 8), 1)
    """
    stack: list[list[Any]] = [[]]
    minus = False
    for token in text:
        if token == "(":
            stack.append([])
        elif token == ")":
            inside = stack.pop()
            stack[-1].append(inside[0] if len(inside) == 1 else (inside[1], inside[0], inside[2]))
        elif token.isdigit():
            stack[-1].append(int(token) + MODULUS * minus)
            minus = False
        elif len(stack[-1]) == 1:  # after the left side, a sign
            stack[-1].append(2 * MODULUS + SIGNS.index(token))
        else:
            minus = True
    return stack[0][0]


class Level(NamedTuple):
    """Brackets whose two sides are known, [brackets] each: symbols, and the places of the sides."""

    symbols: Tensor
    left: Tensor
    right: Tensor


class Forest(NamedTuple):
    """Trees, level by level; the place of a node is its number in this order, leaves first."""

    leaves: Tensor
    levels: list[Level]
    roots: Tensor
    """[B]"""


def forest(trees: Sequence[Tree]) -> Forest:
    """The nodes of trees, those of one height together, so that a level is one product.

    >>> trees = [3, (11, (12, 1, 8), 1)]
    >>> leaves, levels, roots = forest(trees)
    >>> leaves.tolist(), [[part.tolist() for part in level] for level in levels], roots.tolist()
    ([3, 1, 8, 1], [[[12], [1], [2]], [[11], [4], [3]]], [0, 5])
    """
    heights: list[list[tuple[int, ...]]] = [[]]

    def put(tree: Tree) -> tuple[int, int]:  # height, and number at this height
        node: tuple[int, ...] = (tree,) if isinstance(tree, int) else (tree[0],)
        height = 0
        if not isinstance(tree, int):
            sides = put(tree[1]), put(tree[2])
            height = 1 + max(sides[0][0], sides[1][0])
            node = (*node, *sides[0], *sides[1])
        while len(heights) <= height:
            heights.append([])
        heights[height].append(node)
        return height, len(heights[height]) - 1

    roots = [put(tree) for tree in trees]
    begins = torch.tensor([0, *(len(nodes) for nodes in heights)]).cumsum(0).tolist()
    levels = []
    for nodes in heights[1:]:
        rows = [(s, begins[a] + i, begins[b] + j) for s, a, i, b, j in nodes]
        levels.append(Level(*torch.tensor(rows).T))
    places = torch.tensor([begins[height] + number for height, number in roots])
    return Forest(torch.tensor([leaf for (leaf,) in heights[0]]), levels, places)


class TreeLSTM(nn.Module):
    """A state of every node from its symbol x and the states of its two sides (eq. 9 to 14, N = 2).

    `i, f_l, f_r, o = sigmoid(z)`, `u = tanh(z)`, each with its own `z = W x + U_l h_l + U_r h_r +
    b`; `c = i u + f_l c_l + f_r c_r`; `h = o tanh(c)`. The sides of a leaf are zero.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(SYMBOLS + 2 * HIDDEN, 5 * HIDDEN)
        self.readout = nn.Linear(HIDDEN, MODULUS)

    def node(self, symbols: Tensor, left: Tensor, right: Tensor) -> Tensor:
        """States [nodes, 2 HIDDEN], h and c, from those of the sides."""
        (h_left, c_left), (h_right, c_right) = left.chunk(2, -1), right.chunk(2, -1)
        x = one_hot(symbols, SYMBOLS).to(left.dtype)
        i, f_left, f_right, o, u = self.gates(torch.cat([x, h_left, h_right], -1)).chunk(5, -1)
        c = i.sigmoid() * u.tanh() + f_left.sigmoid() * c_left + f_right.sigmoid() * c_right
        return torch.cat([o.sigmoid() * c.tanh(), c], -1)

    def states(self, trees: Forest) -> Tensor:
        """The states of all nodes, [nodes, 2 HIDDEN]."""
        nothing = self.readout.weight.new_zeros(len(trees.leaves), 2 * HIDDEN)
        states = self.node(trees.leaves, nothing, nothing)
        for symbols, left, right in trees.levels:
            states = torch.cat([states, self.node(symbols, states[left], states[right])])
        return states

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Map expressions to logits of their values, [B, O]."""
        trees = forest([parsed(text) for text in texts])
        return self.readout(self.states(trees)[trees.roots, :HIDDEN])


class Reader(nn.Module):
    """A layer that reads expressions of one length from left to right, and answers at the end."""

    def __init__(self, layer: nn.Module, size: int) -> None:
        super().__init__()
        self.layer, self.readout = layer, nn.Linear(size, MODULUS)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Map expressions to logits of their values, [B, O]."""
        tokens = torch.tensor([[ALPHABET.index(token) for token in text] for text in texts]).T
        return self.readout(self.layer(one_hot(tokens, len(ALPHABET)).float())[0][-1])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "Tree-LSTM": TreeLSTM,
    "NTM": lambda: Reader(memnets.NTM(len(ALPHABET), HIDDEN, memory_size=32), HIDDEN),
    "LSTM": lambda: Reader(nn.LSTM(len(ALPHABET), 2 * HIDDEN), 2 * HIDDEN),
}
COLOURS = (palette.GREEN, palette.BLUE, palette.VERMILION)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train, and write the figure."""

    networks: tuple[str, ...] = tuple(NETWORKS)
    """of those in NETWORKS"""
    seeds: tuple[int, ...] = (0, 1)
    """one training of each network for each of them"""
    longest: int = 20
    """tokens of the expressions in training, from 1 on"""
    lengths: tuple[int, ...] = (5, 10, 20, 40, 80, 160)
    """tokens of those at the end"""
    steps: int = 3000
    """batches of 32 expressions"""
    every: int = 100
    """batches between two tests"""
    runs: Path = Path("runs/tree_network")
    """folder of the trainings, a file each; what is there is not trained again"""
    folder: Path = ROOT / "docs"
    """where results/ and pictures/ are"""


def drawn(count: int, length: int, draws: random.Random) -> tuple[list[str], Tensor]:
    """Expressions of so many tokens, and their values [count].

    >>> drawn(2, 5, random.Random(0))
    (['(3-0)', '(3-2)'], tensor([3, 1]))
    """
    found = [expression(length, SIGNS, draws) for _ in range(count)]
    return [text for text, _ in found], torch.tensor([value for _, value in found])


def right(model: nn.Module, length: int) -> float:
    """The share of expressions of so many tokens whose value is right."""
    texts, values = drawn(TESTED, length, random.Random(10_000 + length))
    with torch.no_grad():
        return float((model(texts).argmax(-1) == values).float().mean())


def train(network: str, seed: int, options: Options) -> Iterator[dict[str, Any]]:
    """Train a network; yield what it gets right every few batches, and by length at the end."""
    torch.manual_seed(seed)
    model, draws = NETWORKS[network](), random.Random(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATES[network])
    for step in range(options.steps + 1):
        if step % options.every == 0:
            yield {"expressions": step * BATCH, "right": right(model, options.longest)}
        for group in optimizer.param_groups:
            group["lr"] = RATES[network] * min(1.0, 2 * (1 - step / options.steps))
        optimizer.zero_grad()
        texts, values = drawn(BATCH, draws.randint(1, options.longest), draws)
        cross_entropy(model(texts), values).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    yield {"lengths": {length: right(model, length) for length in options.lengths}}


def curve(network: str, seed: int, options: Options) -> dict[str, Any]:
    """A training and what it is."""
    *rows, end = train(network, seed, options)
    return {"network": network, "seed": seed, "curve": rows, **end}


def curves(options: Options) -> list[dict[str, Any]]:
    """Every training, done or read."""
    return [
        kept(
            options.runs / f"{network}-seed{seed}.json",
            functools.partial(curve, network, seed, options),
        )
        for seed in options.seeds
        for network in options.networks
    ]


def figure(found: list[dict[str, Any]]) -> Figure:
    """The share of right values, against expressions trained on, and against their length."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(8.5, 3.2), dpi=110, layout="constrained")
    left, rest = drawing.subplots(1, 2, sharey=True)
    for network, colour in zip(NETWORKS, COLOURS, strict=True):
        of = [one for one in found if one["network"] == network]
        if not of:
            continue
        seen = [row["expressions"] for row in of[0]["curve"]]
        lengths = list(of[0]["lengths"])
        learned = [[row["right"] for row in one["curve"]] for one in of]
        reached = [[one["lengths"][length] for length in lengths] for one in of]
        for axes, x, lines in ((left, seen, learned), (rest, [*map(int, lengths)], reached)):
            for line in lines:
                axes.plot(x, line, color=colour, lw=0.5, alpha=0.5)
            axes.plot(x, [median(each) for each in zip(*lines, strict=True)], color=colour)
            axes.lines[-1].set_label(network)
    left.set_xlabel("expressions trained on", fontsize=9)
    rest.set_xlabel("tokens of an expression, after training", fontsize=9)
    rest.set_xscale("log")
    left.set_ylabel("right values", fontsize=9)
    for axes in (left, rest):
        axes.axhline(1 / MODULUS, color=palette.GREY, linestyle=":", label="guessing")
        axes.set_ylim(0, 1.03)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    return drawing


def main(options: Options) -> int:
    """Train what is missing, and write the curves and their figure; return the exit status."""
    torch.set_num_threads(1)
    found = curves(options)
    write(options.folder, "tree_network", found, figure(found))
    return 0


if __name__ == "__main__":
    sys.exit(
        main(tyro.cli(Options, prog="python -m experiments.tree_network", description=__doc__))
    )
