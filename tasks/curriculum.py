"""Curricula: which difficulty each batch has, chosen from what the batches before it cost.

A curriculum chooses among the levels of a task (tasks/levels.py), from 1, the easiest. It is a
frozen dataclass of options; what it has learned is a state of plain numbers and lists, which
`start` makes and every `update` returns anew, so that it can be saved as JSON and continued
exactly. `reached` in a state, where it has that, is the highest level so far: metrics show it.

>>> import torch
>>> from tasks.copy import Copy
>>> from tasks.levels import at_level, levels
>>> task, generator = Copy(max_length=5), torch.Generator().manual_seed(0)
>>> curriculum = Incremental(threshold=0.1, window=2)
>>> state = curriculum.start(levels(task))
>>> for cost in (0.9, 0.2, 0.05, 0.0):  # what batches cost, as a share of guessing
...     level = curriculum.choose(state, generator)
...     state = curriculum.update(state, Outcome(level, cost), generator)
>>> at_level(task, curriculum.choose(state, generator))
Copy(bits=8, min_length=2, max_length=2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from tasks.base import check_size, random_size
from tasks.levels import check_level

State = dict[str, Any]  # of numbers, and of lists of numbers


class Outcome(NamedTuple):
    """What came of a batch."""

    level: int
    cost: float
    """the mean cost of a sequence, as a share of what guessing costs at this level"""
    gain: float = 0.0
    """by how much learning from the batch made its own sequences cheaper, per step of them"""
    right: float = 0.0
    """the share of its sequences without a wrong answer, where the curriculum watches costs"""


class Curriculum(Protocol):
    """The contract of a curriculum; a new one is a class in this file and a line in `CURRICULA`."""

    @property
    def watches_cost(self) -> bool:
        """Whether `update` needs costs and answers, which a GPU must finish its step to tell."""
        ...

    @property
    def watches_gain(self) -> bool:
        """Whether `update` needs the gains, which take another forward pass of every batch."""
        ...

    def start(self, levels: int) -> State:
        """The state before the first batch, for a task of so many levels."""
        ...

    def choose(self, state: State, generator: torch.Generator) -> int | None:
        """The level of the next batch, from 1; None: the task as it is, at all sizes it draws."""
        ...

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """The state after a batch; the old one stays as it is."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """Every batch at one level, or at all sizes that the task draws by itself."""

    level: int | None = None
    """level of every batch, from 1; None: all sizes of the task"""

    watches_cost = watches_gain = False

    def __post_init__(self) -> None:
        if self.level is not None:
            check_size("level", self.level)

    def start(self, levels: int) -> State:
        """The state before the first batch.

        Raises:
            ValueError: the task has no such level.
        """
        if self.level is not None:
            check_level(self.level, levels)
        return {"levels": levels}

    def choose(self, state: State, generator: torch.Generator) -> int | None:
        """The level of the options."""
        return self.level

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """The same state."""
        return state


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Every level equally likely: the `mix` strategy of Zaremba and Sutskever 2014."""

    watches_cost = watches_gain = False

    def start(self, levels: int) -> State:
        """The state before the first batch."""
        return {"levels": levels}

    def choose(self, state: State, generator: torch.Generator) -> int:
        """Any level."""
        return random_size(1, state["levels"], generator)

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """The same state."""
        return state


@dataclass(frozen=True, kw_only=True)
class Incremental:
    """One level after the other, each until it is solved: `naive` in Zaremba and Sutskever 2014."""

    threshold: float = 0.1
    """a level is solved when its batches cost this share of what guessing costs"""
    window: int = 20
    """batches of the level over which that is the mean"""

    watches_cost, watches_gain = True, False

    def __post_init__(self) -> None:
        _check_solved(self.threshold, self.window)

    def start(self, levels: int) -> State:
        """The state before the first batch: at the easiest level."""
        return _at_the_easiest(levels)

    def choose(self, state: State, generator: torch.Generator) -> int:
        """The level that is being learned."""
        return state["reached"]

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """One level further once this one is solved; costs of other levels do not count."""
        return _one_further(state, outcome, self.threshold, self.window)


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Incremental, mixed with any level: the `combined` strategy of Zaremba and Sutskever 2014.

    Some batches are hard from the beginning, and easy ones are never forgotten.
    """

    threshold: float = 0.1
    """a level is solved when its batches cost this share of what guessing costs"""
    window: int = 20
    """batches of the level over which that is the mean"""
    share: float = 0.5
    """how many of the batches are of any level; the others are of the one being learned"""

    watches_cost, watches_gain = True, False

    def __post_init__(self) -> None:
        _check_solved(self.threshold, self.window)
        _check_share("share", self.share)

    def start(self, levels: int) -> State:
        """The state before the first batch: at the easiest level."""
        return _at_the_easiest(levels)

    def choose(self, state: State, generator: torch.Generator) -> int:
        """Any level, or the one that is being learned."""
        if _uniform(generator) < self.share:
            return random_size(1, state["levels"], generator)
        return state["reached"]

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """One level further once the one being learned is solved."""
        return _one_further(state, outcome, self.threshold, self.window)


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """One level after the other, each until its sequences are answered without a mistake.

    The curriculum of the graph tasks of the DNC's paper (Graves et al. 2016, Methods): a lesson is
    passed with 90% of the sequences right, and a tenth of the sequences are of earlier lessons. The
    paper measures new sequences after every 100 batches; here it is the training sequences, which
    are new too and are answered before anything is learned from them.
    """

    passed: float = 0.9
    """a lesson is passed when more than this share of its sequences is right"""
    window: int = 20
    """batches of the lesson over which that is the mean"""
    earlier: float = 0.1
    """how many of the batches are of earlier lessons, any of them"""

    watches_cost, watches_gain = True, False

    def __post_init__(self) -> None:
        _check_share("passed", self.passed)
        if self.passed == 1:
            raise ValueError(
                "passed must be below 1, as a lesson is passed when more than this share of its "
                f"sequences is right, got passed={self.passed!r}: pass 0.99"
            )
        check_size("window", self.window)
        _check_share("earlier", self.earlier)

    def start(self, levels: int) -> State:
        """The state before the first batch: at the easiest level."""
        return _at_the_easiest(levels)

    def choose(self, state: State, generator: torch.Generator) -> int:
        """The level that is being learned, or any earlier one."""
        reached = state["reached"]
        if reached > 1 and _uniform(generator) < self.earlier:
            return random_size(1, reached - 1, generator)
        return reached

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """One level further once this one is passed; batches of other levels do not count."""
        wrong = outcome._replace(cost=1 - outcome.right)
        return _one_further(state, wrong, 1 - self.passed, self.window)


@dataclass(frozen=True, kw_only=True)
class Doubling:
    """Any level up to a highest one, which doubles when they are solved (Rae et al. 2016, 4.3)."""

    threshold: float = 0.1
    """the levels are solved when their batches cost this share of what guessing costs"""
    window: int = 20
    """batches over which that is the mean"""

    watches_cost, watches_gain = True, False

    def __post_init__(self) -> None:
        _check_solved(self.threshold, self.window)

    def start(self, levels: int) -> State:
        """The state before the first batch: at the easiest level."""
        return _at_the_easiest(levels)

    def choose(self, state: State, generator: torch.Generator) -> int:
        """Any level up to the highest one, equally likely."""
        return random_size(1, state["reached"], generator)

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """Twice as far once the levels up to the highest one are solved."""
        return _advance(state, outcome.cost, self.threshold, self.window, 2 * state["reached"])


@dataclass(frozen=True, kw_only=True)
class PredictionGain:
    """The levels that are learned from fastest, found by a bandit (Graves et al. 2017).

    The reward of a batch is its prediction gain: by how much its own cost falls when the network
    learns from it, per step. Rewards are rescaled to [-1, 1] between the 20th and the 80th
    percentile of a reservoir of earlier ones. Exp3.S chooses level i with probability
    `p_i = (1 - exploration) softmax(w)_i + exploration / N`, and after a reward r of level k sets
    `w_i = log[(1 - a) exp(w_i + s_i) + a / (N - 1) sum_{j != i} exp(w_j + s_j)]`, where s_k =
    step_size r / p_k and all other s are 0, and a = 1 / t.
    """

    step_size: float = 1e-3
    """how far one reward moves the weight of its level (eta)"""
    exploration: float = 0.05
    """how many of the batches are of any level (epsilon)"""
    reservoir: int = 1000
    """earlier gains that the rescaling of rewards remembers, a fair sample of all"""

    watches_cost = watches_gain = True

    def __post_init__(self) -> None:
        _check_positive("step_size", self.step_size, "pass 0.001")
        _check_share("exploration", self.exploration)
        check_size("reservoir", self.reservoir)

    def start(self, levels: int) -> State:
        """The state before the first batch: all levels equally likely."""
        return {"levels": levels, "batches": 0, "weights": [0.0] * levels, "gains": []}

    def probabilities(self, state: State) -> list[float]:
        """The probability of every level."""
        odds = np.exp(np.array(state["weights"]) - max(state["weights"]))
        mixed = (1 - self.exploration) * odds / odds.sum() + self.exploration / len(odds)
        return mixed.tolist()

    def choose(self, state: State, generator: torch.Generator) -> int:
        """A level, by its probability."""
        reached = np.cumsum(self.probabilities(state))
        place = int(np.searchsorted(reached, _uniform(generator) * reached[-1], side="right"))
        return min(place, state["levels"] - 1) + 1

    def update(self, state: State, outcome: Outcome, generator: torch.Generator) -> State:
        """Moves the weights towards the level if its gain was high among those so far."""
        batches, gains = state["batches"] + 1, list(state["gains"])
        scores = np.array(state["weights"])
        probability = self.probabilities(state)[outcome.level - 1]
        scores[outcome.level - 1] += self.step_size * _rescaled(outcome.gain, gains) / probability
        if len(gains) < self.reservoir:
            gains.append(outcome.gain)
        elif (place := random_size(0, batches - 1, generator)) < self.reservoir:
            gains[place] = outcome.gain  # every gain so far is in it with the same probability
        return {
            "levels": state["levels"],
            "batches": batches,
            "weights": _shared(scores, 1 / (batches + 1)).tolist(),
            "gains": gains,
        }


CURRICULA: dict[str, type[Curriculum]] = {
    "fixed": Fixed,
    "uniform": Uniform,
    "incremental": Incremental,
    "mixed": Mixed,
    "lessons": Lessons,
    "doubling": Doubling,
    "prediction_gain": PredictionGain,
}


def _uniform(generator: torch.Generator) -> float:
    options = {"device": generator.device, "dtype": torch.float64}
    return float(torch.rand((), generator=generator, **options))


def _at_the_easiest(levels: int) -> State:
    return {"levels": levels, "reached": 1, "costs": []}


def _one_further(state: State, outcome: Outcome, threshold: float, window: int) -> State:
    """Goes on to the next level once the one reached is solved; others do not count."""
    if outcome.level != state["reached"]:
        return state
    return _advance(state, outcome.cost, threshold, window, state["reached"] + 1)


def _advance(state: State, cost: float, threshold: float, window: int, following: int) -> State:
    """Notes a cost; goes on to the following level when the last ones are below the threshold."""
    costs = [*state["costs"], cost][-window:]
    reached = state["reached"]
    if len(costs) == window and sum(costs) / window < threshold and reached < state["levels"]:
        return {**state, "reached": min(following, state["levels"]), "costs": []}
    return {**state, "costs": costs}


def _rescaled(gain: float, gains: list[float]) -> float:
    """A gain as a reward in [-1, 1], from the 20th to the 80th percentile of earlier ones."""
    if not gains:
        return 0.0
    low, high = np.quantile(gains, [0.2, 0.8]).tolist()
    if high <= low:
        return float(np.sign(gain - low))
    return min(max(2 * (gain - low) / (high - low) - 1, -1.0), 1.0)


def _shared(scores: np.ndarray, share: float) -> np.ndarray:
    """Logarithms of weights, of which every level hands a share to all the others."""
    if len(scores) == 1:
        return np.zeros(1)
    odds = np.exp(scores - scores.max())
    mixed = (1 - share) * odds + share * (odds.sum() - odds) / (len(odds) - 1)
    logs = np.log(mixed)
    return logs - logs.max()  # only differences matter; this keeps them finite for ever


def _check_positive(name: str, value: float, remedy: str) -> None:
    if not isinstance(value, float | int) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {name}={value!r}: {remedy}")


def _check_share(name: str, value: float) -> None:
    if not isinstance(value, float | int) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {name}={value!r}: pass a share of 1")


def _check_solved(threshold: float, window: int) -> None:
    _check_positive("threshold", threshold, "pass 0.1 for a tenth of what guessing costs")
    check_size("window", window)
