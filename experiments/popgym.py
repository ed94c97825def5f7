"""Games of POPGym (Morad et al. 2023), each memory with the same core-minutes: docs/popgym.md.

`python -m experiments.popgym` trains what is missing by examples/ppo.py and writes the page; it may
be stopped at any moment, loses the run that it is at, and goes on when it is run again. It needs
`pip install popgym`.

Axes: B batch, T time, I input, O output.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from torch import Tensor, nn

from examples import ppo
from experiments import popgym_page
from experiments.job import locked
from training.files import checkpoint, provenance
from training.files.provenance import ROOT

GAMES = (
    "RepeatFirstEasy",
    "RepeatPreviousEasy",
    "RepeatPreviousMedium",
    "CountRecallEasy",
    "AutoencodeEasy",
    "ConcentrationEasy",
)


class Recurrent(nn.Module):
    """nn.LSTM or nn.GRU with starts and a readout, called as a memory layer is.

    Where rows begin anew, the sequence is cut, and their state is set to zero; the games of POPGym
    here have one length each, so that all rows begin anew at once and a rollout has few cuts.

    >>> layer = Recurrent(nn.GRU, 3, 2, hidden_size=8)
    >>> x, starts = torch.rand(5, 1, 3), torch.tensor([[False], [False], [True], [False], [False]])
    >>> y, _ = layer(x, layer.initial_state(1), starts=starts)
    >>> torch.allclose(y[2:], layer(x[2:], layer.initial_state(1), starts=starts[3:])[0])
    True
    """

    def __init__(
        self, cell: type[nn.RNNBase], input_size: int, output_size: int, hidden_size: int = 128
    ) -> None:
        super().__init__()
        self.core: Any = cell(input_size, hidden_size)  # pyright: ignore[reportCallIssue]
        self.readout = nn.Linear(hidden_size, output_size)

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        """Return zeros, [B, hidden] each: h and c of an LSTM, h of a GRU."""
        zeros = self.readout.weight.new_zeros(batch_size, self.core.hidden_size)
        return (zeros,) * (2 if isinstance(self.core, nn.LSTM) else 1)

    def forward(
        self, x: Tensor, state: tuple[Tensor, ...], *, starts: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Map x [T, B, I] to y [T, B, O], rows begun anew where starts [T, B] is set."""
        cuts = [0, *(t for t in starts.any(1).nonzero().flatten().tolist() if t), len(x)]
        found = []
        for begin, end in itertools.pairwise(cuts):
            kept = [(part * ~starts[begin, :, None])[None] for part in state]
            h, after = self.core(x[begin:end], tuple(kept) if len(kept) == 2 else kept[0])
            state = tuple(part[0] for part in (after if len(kept) == 2 else [after]))
            found.append(h)
        return self.readout(torch.cat(found)), state


MEMORIES: dict[str, Callable[[int, int], nn.Module]] = {
    **ppo.MEMORIES,
    "gru": lambda inputs, width: Recurrent(nn.GRU, inputs, width),
    "lstm": lambda inputs, width: Recurrent(nn.LSTM, inputs, width),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train what is missing, and write the page."""

    games: tuple[str, ...] = GAMES
    """classes of popgym.envs"""
    memories: tuple[str, ...] = tuple(MEMORIES)
    """of those in MEMORIES"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """one run of every game and memory for each of them; all runs of a seed before the next"""
    minutes: float = 1.0
    """core-minutes of each run"""
    folder: Path = Path("runs/popgym")
    """folder of the runs, a file each"""
    page: Path = ROOT / "docs" / "popgym.md"
    """the page: what stands between its two marks is written anew, with a figure beside it"""
    ppo: ppo.Options = field(default_factory=ppo.Options)
    """settings of PPO, the same for all"""
    only_write: bool = False
    """only write the page, from the runs that are there"""


class Run(NamedTuple):
    """One training."""

    game: str
    memory: str
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.game}-{self.memory}-seed{self.seed}"


def plan(options: Options) -> list[Run]:
    """All runs, in their order.

    >>> [run.name for run in plan(Options(games=("RepeatFirstEasy",), memories=("gru",)))]
    ['RepeatFirstEasy-gru-seed0', 'RepeatFirstEasy-gru-seed1', 'RepeatFirstEasy-gru-seed2']
    """
    games, memories = options.games, options.memories
    return [Run(g, m, seed) for seed in options.seeds for g in games for m in memories]


def settings(run: Run, options: Options) -> dict[str, Any]:
    """What decides the numbers of a run."""
    chosen = {**asdict(options.ppo), "environment": run.game, "seed": run.seed}
    return {**chosen, "memory": run.memory, "minutes": options.minutes}


def finish(run: Run, options: Options) -> None:
    """Train a run, unless its file is there.

    Raises:
        ValueError: the run that is there had other settings.
    """
    file = options.folder / f"{run.name}.json"
    wanted = settings(run, options)
    with locked(file):
        if file.is_file():
            there = json.loads(file.read_text())["settings"]
            differ = [name for name in wanted if there.get(name) != wanted[name]]
            if differ:
                raise ValueError(
                    f"{file} was trained with other settings ({', '.join(differ)}): move it away, "
                    "or use another --folder"
                )
            return
        curve = train(run, ppo.Options(**wanted))
        found = {"settings": wanted, "made": provenance.facts(), "curve": curve}
        checkpoint.write_atomically(file, (json.dumps(found) + "\n").encode())
    print(
        f"{run.name}: {curve[-1]['steps']:,} steps, return {curve[-1]['return']:+.3f}", flush=True
    )


def train(run: Run, chosen: ppo.Options) -> list[dict[str, float]]:
    """Train a run; return a row for each update."""
    import popgym.envs  # pyright: ignore[reportMissingImports]

    make = getattr(popgym.envs, run.game)
    return list(ppo.train(make, MEMORIES[run.memory], chosen))


def main(options: Options) -> int:
    """Do what the options say; return the exit status."""
    torch.set_num_threads(1)
    try:
        if not options.only_write:
            for run in plan(options):
                finish(run, options)
        files = [options.folder / f"{run.name}.json" for run in plan(options)]
        found = [json.loads(file.read_text()) for file in files if file.is_file()]
        written = popgym_page.write(options.page, found)
        print(f"written: {', '.join(map(str, written))}")
    except ValueError as error:
        print(f"popgym: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m experiments.popgym", description=__doc__)))
