"""How much associative memories hold without training, and how they answer associative recall.

`python -m experiments.capacity` measures for a core-minute, and writes docs/results/capacity.json
and docs/pictures/capacity.png, which docs/family.md shows. Bits are -1 and 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import tyro
from torch import Tensor

from experiments.kept import write
from memnets import associative
from memnets.inspect import palette
from memnets.parts import hopfield
from tasks.associative_recall import AssociativeRecall
from training.files import provenance
from training.files.provenance import ROOT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CRITICAL = 0.138  # Amit, Gutfreund and Sompolinsky 1985: patterns for each unit
PROBES = 64  # patterns that are asked for, of all that are stored
FLIPPED = 1 / 8  # of the bits of a key, in the second measure
WRONG = 0.02  # share of the bits recalled that may be wrong there
STRENGTH, ITERATIONS = 1.0, 3  # of the modern network
COLOURS = (palette.VERMILION, palette.PINK, palette.BLUE)


def by_hopfield(keys: Tensor, values: Tensor, probes: Tensor) -> Tensor:
    """The values of keys: pairs are stored side by side, and what is unknown begins at 0."""
    weights = associative.hopfield_weights(torch.cat([keys, values], dim=1))
    unknown = probes.new_zeros(len(probes), values.shape[1])
    states = associative.hopfield_recall(weights, torch.cat([probes, unknown], dim=1))
    return states[:, keys.shape[1] :]


def by_bam(keys: Tensor, values: Tensor, probes: Tensor) -> Tensor:
    """The values of keys by Kosko's memory."""
    return associative.bam_recall(associative.bam_weights(keys, values), probes)[1]


def by_modern(keys: Tensor, values: Tensor, probes: Tensor) -> Tensor:
    """The values of keys by a modern Hopfield network: its weighting of the keys, on the values."""
    strengths = torch.full((1, len(probes)), STRENGTH)
    weights = hopfield.hopfield_weights(keys[None], probes[None], strengths, ITERATIONS)[0]
    return (weights @ values).sign()


MEMORIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "Hopfield 1982": by_hopfield,
    "BAM 1988": by_bam,
    "modern Hopfield": by_modern,
}
"""Each takes keys [pairs, K], values [pairs, V] and probes [asked, K], and gives [asked, V]."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure, and write the figure."""

    units: tuple[int, ...] = (100, 1000)
    """of the Hopfield networks whose overlap is measured"""
    loads: tuple[float, ...] = (
        0.02,
        0.05,
        0.08,
        0.1,
        0.12,
        0.13,
        0.14,
        0.15,
        0.16,
        0.18,
        0.2,
        0.25,
    )
    """their patterns, for each unit"""
    key_bits: tuple[int, ...] = (8, 16, 24, 32)
    """of the keys, and of the values, whose number is looked for"""
    most: int = 100_000
    """pairs of them at most"""
    items: tuple[int, ...] = (2, 3, 4, 6, 8, 10, 12, 15, 20)
    """of the lists of associative recall"""
    lists: int = 200
    """of each number of items"""
    draws: int = 4
    """sets of patterns, from the seeds 0, 1, ..."""
    folder: Path = ROOT / "docs"
    """where results/ and pictures/ are"""


def drawn(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random bits [count, size]."""
    return 2.0 * torch.randint(2, (count, size), generator=generator) - 1


def overlap(units: int, load: float, draws: int) -> float:
    """The mean of `x s / units`: pattern x, and the state s that a network settles in from it.

    >>> overlap(units=64, load=0.02, draws=1)
    1.0
    """
    found = []
    for seed in range(draws):
        patterns = drawn(max(1, round(load * units)), units, torch.Generator().manual_seed(seed))
        probes = patterns[:PROBES]
        states = associative.hopfield_recall(associative.hopfield_weights(patterns), probes)
        found.append((states * probes).mean())
    return float(torch.stack(found).mean())


def wrong_share(memory: str, size: int, pairs: int, draws: int) -> float:
    """The share of the bits of values that are wrong, from keys with an eighth of theirs wrong."""
    found = []
    for seed in range(draws):
        generator = torch.Generator().manual_seed(seed)
        keys, values = drawn(pairs, size, generator), drawn(pairs, size, generator)
        probes, wanted = keys[:PROBES].clone(), values[:PROBES]
        places = torch.rand(probes.shape, generator=generator).argsort(1)[:, : int(FLIPPED * size)]
        probes.scatter_(1, places, -probes.gather(1, places))
        answers = MEMORIES[memory](keys, values, probes)
        found.append((answers != wanted).float().mean())
    return float(torch.stack(found).mean())


def capacity(memory: str, size: int, draws: int, most: int) -> int:
    """How many pairs a memory holds: the most before more than two bits in a hundred are wrong.

    From one on, each number is a tenth larger than the one before, and at least by one.

    >>> capacity("modern Hopfield", size=16, draws=2, most=20)  # it holds more
    20
    """
    held, pairs = 0, 1
    while pairs <= most and wrong_share(memory, size, pairs, draws) <= WRONG:
        held, pairs = pairs, max(pairs + 1, round(1.1 * pairs))
    return held


def pairs_of(task: AssociativeRecall, count: int, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The lists [B, count, numbers of an item] and queries [B, the same], as -1 and 1."""
    block = task.item_length + 1
    vectors = 2 * inputs[..., : task.bits] - 1
    lists = vectors[: count * block].unflatten(0, (count, block))[:, 1:]  # [count, length, B, bits]
    query = vectors[count * block + 1 : (count + 1) * block]
    return lists.permute(2, 0, 1, 3).flatten(2), query.transpose(0, 1).flatten(1)


def wrong_bits(memory: str, items: int, lists: int) -> float:
    """Wrong bits of the task associative recall, of one sequence, by a memory of each list."""
    task = AssociativeRecall(min_items=items, max_items=items)
    batch = task.sample(lists, torch.Generator().manual_seed(0))
    answers = batch.targets[-task.item_length :].transpose(0, 1).flatten(1)
    found = 0
    for row, query, answer in zip(*pairs_of(task, items, batch.inputs), answers, strict=True):
        recalled = MEMORIES[memory](row[:-1], row[1:], query[None])[0]
        found += int(((recalled > 0) != (answer > 0.5)).sum())
    return found / lists


def measured(options: Options) -> dict[str, Any]:
    """Everything that the figure shows."""
    overlaps, held, recall = {}, {}, {}
    for units in options.units:
        overlaps[units] = [overlap(units, load, options.draws) for load in options.loads]
        print(f"{units} units: {', '.join(f'{m:.3f}' for m in overlaps[units])}", flush=True)
    for memory in MEMORIES:
        held[memory] = [
            capacity(memory, size, options.draws, options.most) for size in options.key_bits
        ]
        recall[memory] = [wrong_bits(memory, items, options.lists) for items in options.items]
        print(f"{memory}: holds {held[memory]}, wrong bits {recall[memory]}", flush=True)
    made = {"commit": provenance.facts()["commit"], "draws": options.draws, "lists": options.lists}
    curves = {"loads": options.loads, "overlaps": overlaps, "key_bits": options.key_bits}
    return {**made, **curves, "held": held, "items": options.items, "wrong_bits": recall}


def figure(found: dict[str, Any], ntm: Sequence[tuple[int, float]]) -> Figure:
    """Overlap against load, pairs held against bits of a key, wrong bits against items."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11, 3.4), dpi=110, layout="constrained")
    left, middle, right = drawing.subplots(1, 3)
    for (units, overlaps), line in zip(found["overlaps"].items(), ("--", "-", "-."), strict=False):
        left.plot(found["loads"], overlaps, line, color=COLOURS[0], marker=".")
        left.lines[-1].set_label(f"{units} units")
    left.axvline(CRITICAL, color=palette.GREY, linestyle=":", label=f"{CRITICAL}")
    _label(left, "Hopfield 1982: overlap with the pattern", "patterns for each unit")
    for memory, colour in zip(MEMORIES, COLOURS, strict=True):
        middle.plot(found["key_bits"], found["held"][memory], color=colour, marker=".")
        right.plot(found["items"], found["wrong_bits"][memory], color=colour, marker=".")
        middle.lines[-1].set_label(memory)
    if ntm:
        right.plot(*zip(*ntm, strict=True), "--", color=palette.GREEN, label="NTM, trained")
    right.axhline(
        AssociativeRecall().chance_errors(), color=palette.GREY, linestyle=":", label="guessing"
    )
    middle.set_yscale("log")
    _label(middle, "pairs held", "bits of a key, an eighth of them wrong")
    _label(right, "associative recall: wrong bits of 18", "items of a list")
    return drawing


def _label(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(below, fontsize=9)
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def trained_ntm(path: Path) -> list[tuple[int, float]]:
    """Items and wrong bits of the NTMs of docs/results.md, the median of the seeds, if there."""
    if not path.is_file():
        return []
    runs = [run["settings"] for run in json.loads(path.read_text())["runs"]]
    names = [name for name in runs[0] if name.startswith("items_")]
    errors = [sorted(run[name]["wrong_bits"][0] for run in runs) for name in names]
    return [
        (int(name.removeprefix("items_")), found[len(found) // 2])
        for name, found in zip(names, errors, strict=True)
    ]


def main(options: Options) -> int:
    """Measure, and write what was found and its figure; return the exit status."""
    torch.set_num_threads(1)
    found = measured(options)
    ntm = trained_ntm(options.folder / "results" / "associative-recall-ntm.json")
    write(options.folder, "capacity", [found], figure(found, ntm))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.capacity", description=__doc__)))
