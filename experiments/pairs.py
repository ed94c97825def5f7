"""How many pairs a sparse memory learns to recall, by the curriculum of Rae et al. 2016.

Section 4.3 there: any number of pairs up to a highest one, which doubles when the cost is low. The
task is `tasks.pair_recall`, the memory a `memnets.SAM`.

`python -m experiments.pairs` trains, and writes docs/results/pairs.json and
docs/pictures/pairs.png, which docs/sparse.md shows. It may be stopped at any moment and goes on
when it is run again.

Axes: T time, B batch.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import tyro
from torch import nn

import memnets
from experiments.job import locked
from experiments.kept import kept, write
from memnets.inspect import palette
from memnets.parts.sparse import Sparse
from tasks.curriculum import Doubling, Outcome
from tasks.levels import at_level, levels
from tasks.pair_recall import PairRecall
from training.files import checkpoint
from training.files.provenance import ROOT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SAVE_EVERY = 60  # core-seconds


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the numbers of a training, its seed apart."""

    memory_size: int = 65_536
    """words"""
    word_size: int = 64
    """numbers in a word"""
    controller: str = "feedforward_tanh"
    """name of a cell, of 100 units"""
    top_k: int = 16
    """words that a head reads"""
    batch_size: int = 16
    """sequences of a step"""
    rate: float = 3e-3
    """of Adam"""
    threshold: float = 0.05
    """the highest number of pairs doubles when batches cost this share of what guessing costs"""
    read_first: bool = True
    """whether a step reads before it writes"""
    keys_like_vectors: bool = True
    """whether keys start as what is written"""
    most: int = 4096
    """pairs at most"""

    @property
    def task(self) -> PairRecall:
        """All its levels."""
        return PairRecall(max_pairs=self.most)

    @property
    def curriculum(self) -> Doubling:
        """The levels of its batches."""
        return Doubling(threshold=self.threshold)

    def layer(self) -> memnets.SAM:
        """An untrained memory."""
        addressing = Sparse(
            read_first=self.read_first,
            keys_like_vectors=self.keys_like_vectors,
            top_k=self.top_k,
            strength_bias=5.0,
            reuse_bias=-3.0,
            add_range="bounded",
        )
        return memnets.SAM(
            self.task.input_size,
            self.task.output_size,
            memory_size=self.memory_size,
            word_size=self.word_size,
            controller=self.controller,
            addressing=addressing,
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train, test, and write the figure."""

    seeds: tuple[int, ...] = (0,)
    """a training for each"""
    minutes: float = 3.0
    """core-minutes of each"""
    pairs: tuple[int, ...] = (8, 64, 256, 512, 1024, 2048, 4096)
    """of the lists that are asked for at the end"""
    lists: int = 16
    """of each number of pairs"""
    runs: Path = Path("runs/pairs")
    """folder of the trainings"""
    folder: Path = ROOT / "docs"
    """where results/ and pictures/ are"""
    settings: Settings = Settings()


class Training:
    """One training, which is saved every core-minute."""

    def __init__(self, settings: Settings, seed: int, path: Path) -> None:
        torch.manual_seed(seed)
        self.settings, self.path = settings, path
        self.layer = settings.layer()
        self.optimizer = torch.optim.Adam(
            self.layer.parameters(), lr=settings.rate, betas=(0.9, 0.99), eps=1e-6
        )
        self.generator = torch.Generator().manual_seed(seed)
        self.curriculum = settings.curriculum.start(levels(settings.task))
        self.seconds, self.sequences = 0.0, 0
        self.rows: list[dict[str, float]] = [self.now]
        if path.is_file():
            self.load()

    def load(self) -> None:
        """Go on from the file.

        Raises:
            ValueError: it is of other settings.
        """
        saved = checkpoint.load(self.path)
        if saved["settings"] != asdict(self.settings):
            raise ValueError(
                f"{self.path} was trained with other settings, {saved['settings']}: pass these, or "
                "another folder with --runs"
            )
        self.layer.load_state_dict(saved["layer"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        for name in ("curriculum", "seconds", "sequences", "rows"):
            setattr(self, name, saved[name])

    def save(self) -> None:
        """Write the file."""
        content = {
            "settings": asdict(self.settings),
            "layer": self.layer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            **{
                name: getattr(self, name) for name in ("curriculum", "seconds", "sequences", "rows")
            },
        }
        checkpoint.save(self.path, content)

    def step(self) -> None:
        """Learn from one batch."""
        begun = time.process_time()
        settings, curriculum = self.settings, self.settings.curriculum
        level = curriculum.choose(self.curriculum, self.generator)
        task = at_level(settings.task, level)
        batch = task.sample(settings.batch_size, self.generator)
        costs = task.cost.per_sequence(self.layer(batch.inputs)[0], batch)
        self.optimizer.zero_grad()
        task.cost.loss(costs, batch).backward()
        nn.utils.clip_grad_norm_(self.layer.parameters(), 0.3)
        self.optimizer.step()
        reached, share = (
            self.curriculum["reached"],
            float(costs.detach().mean()) / task.chance_cost(),
        )
        self.curriculum = curriculum.update(self.curriculum, Outcome(level, share), self.generator)
        self.seconds += time.process_time() - begun
        self.sequences += settings.batch_size
        if self.curriculum["reached"] > reached:
            self.rows.append(self.now)
            print(self.now, flush=True)

    @property
    def now(self) -> dict[str, float]:
        """The highest number of pairs, and what it took."""
        reached = self.curriculum["reached"]
        return {"seconds": self.seconds, "sequences": self.sequences, "pairs": reached}

    def run(self, seconds: float) -> None:
        """Train until it has had so many core-seconds."""
        saved = self.seconds
        while self.seconds < seconds:
            self.step()
            if self.seconds > saved + SAVE_EVERY:
                self.save()
                saved = self.seconds
        self.save()


@torch.no_grad()
def wrong_share(layer: Callable[..., Any], task: PairRecall, pairs: int, lists: int) -> float:
    """The share of values with a wrong bit, in fixed lists of so many pairs."""
    task = replace(task, min_pairs=pairs, max_pairs=pairs)
    batch = task.sample(lists, torch.Generator().manual_seed(1000))
    logits, _ = layer(batch.inputs)
    right = ((logits > 0) == (batch.targets > 0.5)).all(-1)
    return 1 - float(right[batch.mask > 0].float().mean())


def learned(seed: int, options: Options) -> dict[str, Any]:
    """Train as long as is asked for, from where the training is; then ask for lists of pairs."""
    path = options.runs / f"seed{seed}.pt"
    with locked(path):
        training = Training(options.settings, seed, path)
        training.run(60 * options.minutes)
    task = options.settings.task
    wrong = {p: wrong_share(training.layer, task, p, options.lists) for p in options.pairs}
    rows = [*training.rows, training.now]
    return {"seed": seed, "settings": asdict(options.settings), "rows": rows, "wrong": wrong}


def figure(found: list[dict[str, Any]]) -> Figure:
    """The highest number of pairs against core-minutes, and the wrong values against pairs."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(9, 3.2), dpi=110, layout="constrained")
    left, right = drawing.subplots(1, 2)
    for one, colour in zip(found, palette.LINES, strict=False):
        minutes = [row["seconds"] / 60 for row in one["rows"]]
        label = f"seed {one['seed']}"
        left.step(minutes, [row["pairs"] for row in one["rows"]], where="post", color=colour)
        pairs, shares = zip(*((int(p), share) for p, share in one["wrong"].items()), strict=True)
        right.plot(pairs, shares, color=colour, marker=".", label=label)
    left.set_title("pairs in training, at most", loc="left", fontsize=10)
    left.set_xlabel("core-minutes", fontsize=9)
    left.set_yscale("log", base=2)
    right.set_title("share of values not recalled", loc="left", fontsize=10)
    right.set_xlabel("pairs of a list", fontsize=9)
    right.set_xscale("log", base=2)
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return drawing


def main(options: Options) -> int:
    """Train what is missing, and write the curves and their figure; return the exit status."""
    torch.set_num_threads(1)
    found = []
    for seed in options.seeds:
        path = options.runs / f"seed{seed}-{options.minutes:g}.json"
        found.append(kept(path, functools.partial(learned, seed, options)))
    write(options.folder, "pairs", found, figure(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.pairs", description=__doc__)))
