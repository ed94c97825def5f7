"""The neural history compressor on a task with long time lags.

Schmidhuber 1992, "Learning Complex, Extended Sequences Using the Principle of History Compression",
Neural Computation 4.

`python -m experiments.history_compressor` trains it beside networks that learn by plain
back-propagation through time, and writes docs/results/history_compressor.json and
docs/pictures/history_compressor.png, which docs/learning.md shows.

Axes: T time, B batch, E events, O symbols.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from experiments.kept import kept, write
from experiments.results import median
from memnets.inspect import palette
from training.files.provenance import ROOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CUES, FILLERS = 2, 10
QUESTION = CUES + FILLERS
SYMBOLS = QUESTION + 1
HIDDEN = 32
WINDOW = 10  # steps that the automatizer's error goes back at most
EXPECTED = 0.9  # what the automatizer gives a symbol that is not passed on
RATE = 1e-2
BATCH = 16
TESTED = 128  # sequences


def sequences(batch_size: int, lag: int, generator: torch.Generator) -> Tensor:
    """One of two cues, fillers that are always the same, a question, and the cue again.

    Returns:
        Symbols [lag + 3, B]; the last cannot be told without the first.

    >>> sequences(2, 3, torch.Generator().manual_seed(0)).T.tolist()
    [[0, 2, 3, 4, 12, 0], [1, 2, 3, 4, 12, 1]]
    """
    cues = torch.randint(CUES, (1, batch_size), generator=generator)
    fillers = CUES + torch.arange(lag) % FILLERS
    between = torch.cat([fillers, torch.tensor([QUESTION])])[:, None].expand(-1, batch_size)
    return torch.cat([cues, between, cues])


def compressed(symbols: Tensor, unexpected: Tensor) -> tuple[Tensor, Tensor]:
    """What was not expected, moved together.

    Args:
        symbols: [T, B].
        unexpected: whether each goes to the level above, [T, B].

    Returns:
        Events [E, B], padded with 0 at the end, and the number of events up to each step, [T, B].

    >>> symbols = torch.tensor([[5, 6, 7, 8]]).T
    >>> events, counts = compressed(symbols, torch.tensor([[True, False, False, True]]).T)
    >>> events.T.tolist(), counts.T.tolist()
    ([[5, 8]], [[1, 1, 1, 2]])
    """
    counts = unexpected.long().cumsum(0)
    events = symbols.new_zeros(int(counts[-1].max()) + 1, symbols.shape[1])
    places = torch.where(unexpected, counts - 1, len(events) - 1)  # the last row takes the rest
    return events.scatter(0, places, symbols)[:-1], counts


class Predictor(nn.Module):
    """A recurrent network that predicts the next symbol."""

    def __init__(self, kind: type[nn.RNNBase] = nn.LSTM) -> None:
        super().__init__()
        self.core: Any = kind(SYMBOLS, HIDDEN)  # pyright: ignore[reportCallIssue]
        self.next = nn.Linear(HIDDEN, SYMBOLS)

    def forward(self, symbols: Tensor, window: int | None = None) -> tuple[Tensor, Tensor]:
        """Map symbols [T, B] to logits of the next ones [T, B, O] and states [T, B, HIDDEN].

        With a window, the gradient goes back to the beginning of each stretch of so many steps.
        """
        found, state = [], None
        for part in one_hot(symbols, SYMBOLS).float().split(window or len(symbols)):
            h, state = self.core(part, state)
            state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
            found.append(h)
        states = torch.cat(found)
        return self.next(states), states


class Told(NamedTuple):
    """What a call of the compressor came to: losses, last symbols, and what was passed on."""

    loss: Tensor
    by_automatizer: Tensor
    """the last symbol of each sequence, [B]"""
    by_both: Tensor
    """the same; the chunker's where the automatizer did not expect what came"""
    events: float
    """of a sequence, on average"""


class HistoryCompressor(nn.Module):
    """Two levels: the chunker sees only what the automatizer did not expect.

    The automatizer learns to predict the next symbol, and to have the chunker's state at every
    step, so that in the end it can do alone what the chunker could. The chunker
    learns to predict what is unexpected next. It is not told when something happened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.automatizer, self.chunker = Predictor(), Predictor()
        self.imitation = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, symbols: Tensor) -> Told:
        """Predict sequences [T, B] from their beginnings."""
        logits, states = self.automatizer(symbols[:-1], WINDOW)
        shares = logits.softmax(-1).gather(-1, symbols[1:, :, None])[..., 0]
        first = torch.ones_like(symbols[:1], dtype=torch.bool)
        unexpected = torch.cat([first, shares < EXPECTED])
        events, counts = compressed(symbols, unexpected)
        above, chunked = self.chunker(events)
        now = counts[:-1] - 1  # the last event before each symbol that is predicted
        held = chunked.gather(0, now[..., None].expand(-1, -1, HIDDEN)).detach()
        real = torch.arange(1, len(events))[:, None] < counts[-1]
        loss = cross_entropy(logits.flatten(0, 1), symbols[1:].flatten())
        loss = loss + mse_loss(self.imitation(states), held)
        if real.any():
            loss = loss + cross_entropy(above[:-1][real], events[1:][real])
        alone, chunked_last = logits[-1].argmax(-1), above.argmax(-1).gather(0, now[-1:])[0]
        both = torch.where(unexpected[-1], chunked_last, alone)
        return Told(loss, alone, both, float(counts[-1].float().mean()))


class Plain(nn.Module):
    """One network that predicts the next symbol, by back-propagation through all steps."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.predictor = Predictor(kind)

    def forward(self, symbols: Tensor) -> Told:
        """Predict sequences [T, B] from their beginnings."""
        logits, _ = self.predictor(symbols[:-1])
        loss = cross_entropy(logits.flatten(0, 1), symbols[1:].flatten())
        last = logits[-1].argmax(-1)
        return Told(loss, last, last, float(len(symbols)))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "compressor": HistoryCompressor,
    "RNN": lambda: Plain(nn.RNN),
    "LSTM": lambda: Plain(nn.LSTM),
}
LINES = {  # of the figure: the network, and which of its answers
    "both levels": ("compressor", "by_both", palette.BLUE, "-"),
    "automatizer alone": ("compressor", "by_automatizer", palette.SKY, "--"),
    "LSTM": ("LSTM", "by_automatizer", palette.VERMILION, ":"),
    "RNN": ("RNN", "by_automatizer", palette.GREY, ":"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train, and write the figure."""

    lags: tuple[int, ...] = (20, 100, 1000)
    """steps between a cue and the question"""
    networks: tuple[str, ...] = tuple(NETWORKS)
    """of those in NETWORKS"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """one training of each network at each lag for each of them"""
    steps: int = 500
    """batches of 16 sequences"""
    every: int = 20
    """batches between two tests"""
    runs: Path = Path("runs/history_compressor")
    """folder of the trainings, a file each; what is there is not trained again"""
    folder: Path = ROOT / "docs"
    """where results/ and pictures/ are"""


def train(network: str, lag: int, seed: int, options: Options) -> Iterator[dict[str, float]]:
    """Train a network; yield what it gets right after every few batches."""
    torch.manual_seed(seed)
    model, generator = NETWORKS[network](), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    test = sequences(TESTED, lag, torch.Generator().manual_seed(1000 + seed))
    for step in range(options.steps + 1):
        if step % options.every == 0:
            with torch.no_grad():
                told: Told = model(test)
            right = {
                name: float((getattr(told, name) == test[-1]).float().mean())
                for name in ("by_automatizer", "by_both")
            }
            yield {"sequences": step * BATCH, **right, "events": told.events}
        optimizer.zero_grad()
        model(sequences(BATCH, lag, generator)).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def curve(network: str, lag: int, seed: int, options: Options) -> dict[str, Any]:
    """A training and what it is."""
    rows = list(train(network, lag, seed, options))
    return {"network": network, "lag": lag, "seed": seed, "curve": rows}


def curves(options: Options) -> list[dict[str, Any]]:
    """Train what is asked for and missing; return all that is there, lag after lag."""
    for seed in options.seeds:
        for lag in options.lags:
            for network in options.networks:
                path = options.runs / f"{network}-lag{lag}-seed{seed}.json"
                kept(path, functools.partial(curve, network, lag, seed, options))
    found = [json.loads(path.read_text()) for path in options.runs.glob("*.json")]
    return sorted(found, key=lambda one: (one["lag"], one["network"], one["seed"]))


def figure(found: list[dict[str, Any]]) -> Figure:
    """The share of last symbols that are told, against sequences: the median of the seeds."""
    from matplotlib.figure import Figure

    lags = list(dict.fromkeys(one["lag"] for one in found))
    drawing = Figure(figsize=(3.7 * len(lags), 3.2), dpi=110, layout="constrained")
    panels = drawing.subplots(1, len(lags), sharey=True, squeeze=False)[0]
    for axes, lag in zip(panels, lags, strict=True):
        for label, (network, answer, colour, line) in LINES.items():
            of = [one["curve"] for one in found if (one["network"], one["lag"]) == (network, lag)]
            if not of:
                continue
            x = [row["sequences"] for row in of[0]]
            for curve in of:
                axes.plot(x, [row[answer] for row in curve], line, color=colour, lw=0.5, alpha=0.5)
            middle = [median([curve[n][answer] for curve in of]) for n in range(len(x))]
            axes.plot(x, middle, line, color=colour, label=label)
        axes.set_title(f"lag {lag}", loc="left", fontsize=10)
        axes.set_xlabel("sequences", fontsize=9)
        axes.set_ylim(0, 1.03)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("last symbols told", fontsize=9)
    panels[0].legend(frameon=False, fontsize=8, loc="lower right")
    return drawing


def main(options: Options) -> int:
    """Train what is missing, and write the curves and their figure; return the exit status."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # gradients that vanish over many steps cost 20 times as much
    found = curves(options)
    write(options.folder, "history_compressor", found, figure(found))
    return 0


if __name__ == "__main__":
    sys.exit(
        main(
            tyro.cli(Options, prog="python -m experiments.history_compressor", description=__doc__)
        )
    )
