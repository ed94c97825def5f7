"""The bAbI tasks: read stories, and answer the questions in them; all twenty by one network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.babi_files import NOTHING, PARTS, TASKS, Stories, read
from tasks.base import Axis, Batch, Rows, Sizes, Task, check_size, random_size
from tasks.costs import QUESTIONS
from tasks.registry import register
from tasks.solved import Paper, Solved

FAILED = 5.0
"""percent of wrong questions above which a task counts as failed"""
SHORT = 60  # steps of the first level of a curriculum
PADDING = 1.1  # steps of the longest story of a bucket, as a multiple of its shortest
LEAST = 256  # stories in a bucket, as far as there are as many


@register("babi")
@dataclass(frozen=True, kw_only=True)
class Babi:
    """Read a story word by word, and answer each question where a `-` stands.

    Weston et al. 2015 (arXiv 1502.05698), as Graves et al. 2016 (Methods) give it to a DNC: words
    in lower case, full stops and question marks among them, one-hot; an answer of several words has
    as many marks; a question is right if all its words are. Training draws stories of all twenty
    tasks at random, and one task fails if more than 5% of the questions of its test are wrong. A
    batch has stories of about one length, each with its `lengths`. Inputs and targets
    [T, B, words], T of the longest.

    Every tenth training story is kept for validation. The task reads the published files (or files
    of that form) from a folder of yours; it has none by itself.

    Raises:
        ValueError: a size is out of its range. When stories are needed: there is no such folder, a
            file is of another form, or a word of a test does not occur in training.

    A story of four lines, with one think step:

    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> story = ["1 Ann is here.", "2 Where is Ann?\\there\\t1", ""]
    >>> for part in ("train", "test"):
    ...     path = pathlib.Path(folder.name) / f"qa1_own_{part}.txt"
    ...     _ = path.write_text("\\n".join(story))
    >>> task = Babi(folder=folder.name, think_steps=1)
    >>> print(task.text(task.sample(1, torch.Generator())))
    ann is here . where is ann ? _ -[here]
    >>> folder.cleanup()
    """

    cost = QUESTIONS
    folder: str = ""
    """Folder of the files, `qa1_..._train.txt` to `qa20_..._test.txt`."""
    think_steps: int = 0
    """Steps without any input before each answer."""
    only: int = 0
    """Draw from one task, from 1 to 20; 0: from all of them."""
    max_steps: int = 800
    """Longest story to train on, in steps; tests are never cut."""
    part: str = "training"
    """Which stories: training, validation or test."""

    def __post_init__(self) -> None:
        check_size("think_steps", self.think_steps, minimum=0)
        check_size("only", self.only, minimum=0)
        check_size("max_steps", self.max_steps)
        if self.only > TASKS:
            raise ValueError(f"only must be at most {TASKS}, got only={self.only}: pass 0 for all")
        if not isinstance(self.folder, str):
            raise ValueError(f"folder must be a path, got {self.folder!r}: pass it as text")
        if self.part not in PARTS:
            raise ValueError(
                f"part must be one of {', '.join(PARTS)}, got part={self.part!r}: pass one of them"
            )

    @property
    def stories(self) -> Stories:
        """The stories of the folder, those of all parts.

        Raises:
            ValueError: as the class says.
        """
        if not self.folder:
            raise ValueError(
                "the task babi must have the folder of its stories: pass --task.folder, the folder "
                "with qa1_..._train.txt to qa20_..._test.txt (en-10k in the published archive)"
            )
        return read(self.folder, self.think_steps)

    @property
    def input_size(self) -> int:
        """The number of input channels, I: the words there are."""
        return len(self.stories.words)

    @property
    def output_size(self) -> int:
        """The number of words to choose from, O."""
        return self.input_size

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        return (Rows("word", self.input_size),)

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("answer", self.output_size),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The length of the stories."""
        return (Axis(("max_steps",), min(SHORT, self.max_steps), self.max_steps),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size stories of about one length; the generator alone decides which.

        Every story is drawn equally often.
        """
        check_size("batch_size", batch_size)
        buckets = _buckets(self)
        story = random_size(0, buckets.ends[-1] - 1, generator)
        bucket = buckets.members[int(np.searchsorted(buckets.ends, story, side="right"))]
        rows = torch.randint(
            len(bucket), (batch_size,), generator=generator, device=generator.device
        )
        steps = int(self.stories.steps[bucket].max())  # the same for every process of a run
        return self.batch(bucket[rows.cpu().numpy()], steps).to(generator.device)

    def batch(self, chosen: np.ndarray, steps: int | None = None) -> Batch:
        """The batch of these stories, by their places in `stories`; padded to so many steps."""
        stories = self.stories
        lengths = stories.steps[chosen]
        shape = (int(lengths.max()) if steps is None else steps, len(chosen))
        inputs, answers = np.full(shape, NOTHING), np.full(shape, NOTHING)
        for row, (story, length) in enumerate(zip(chosen, lengths, strict=True)):
            first = stories.starts[story]
            inputs[:length, row] = stories.inputs[first : first + length]
            answers[:length, row] = stories.answers[first : first + length]
        mask = torch.from_numpy(answers != NOTHING).to(torch.float32)
        shown, due = (_vectors(column, self.input_size) for column in (inputs, answers))
        return Batch(shown, due, mask, torch.from_numpy(lengths))

    def held_out(self, most: int, batch_size: int) -> Iterator[Batch]:
        """The stories that tell how good a network is, in batches: each once, the same ever again.

        Of the task for training those for validation, at most so many, all over the folder; of the
        test all.
        """
        measured = self if self.part == "test" else replace(self, part="validation")
        members = np.concatenate(_buckets(measured).members)
        if self.part != "test" and len(members) > most:
            members = members[np.linspace(0, len(members) - 1, most).astype(int)]
        for first in range(0, len(members), batch_size):
            yield self.batch(members[first : first + batch_size])

    def chance_cost(self) -> float:
        """What a story costs if each word of an answer is guessed by how often it is one."""
        counts = np.unique(_answers(self), return_counts=True)[1]
        odds = counts / counts.sum()
        entropy = -float((odds * np.log2(odds)).sum())
        return entropy * counts.sum() / _buckets(self).ends[-1]

    def chance_errors(self) -> float:
        """How many questions of a story are wrong if the answer is always the commonest word."""
        words, counts = np.unique(_answers(self), return_counts=True)
        commonest = words[counts.argmax()]
        right = sum(int((said == commonest).all()) for said in _said(self))
        return (len(_said(self)) - right) / _buckets(self).ends[-1]

    @property
    def solved(self) -> Solved:
        """A twentieth of the questions, of which a story has some three."""
        return Solved(
            "wrong_questions",
            0.16,
            "Weston et al. call a task solved with less than 5% of its questions wrong, and of the "
            "published 10,000 questions a task there are 3.2 in a story, over all tasks.",
            Paper(
                "Graves et al. 2016, extended data table 1: mean of 20 networks",
                {
                    "DNC": "16.7 ± 7.6% of questions wrong, 11.2 ± 5.4 tasks failed; the best 4.3%",
                    "NTM": "28.5 ± 2.9% wrong, 17.3 ± 0.7 failed; the best 20.1%",
                    "LSTM": "27.3 ± 0.8% wrong, 17.1 ± 1.0 failed; the best 25.2%",
                },
            ),
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs, looked up in the folder.

        Raises:
            ValueError: a row is no story of the folder.
        """
        words = torch.where(inputs.sum(-1) > 0, inputs.argmax(-1), NOTHING).cpu().numpy()
        found = np.full(words.shape, NOTHING)
        stories, places = self.stories, _places(self.folder, self.think_steps)
        for row, column in enumerate(words.T):
            length = len(column) - int((column[::-1] != NOTHING).argmax())
            story = places.get(column[:length].tobytes())
            if story is None:
                raise ValueError(
                    f"every row must be a story of {self.folder}, but row {row} is none: pass "
                    "inputs that `sample` drew"
                )
            first = stories.starts[story]
            found[:length, row] = stories.answers[first : first + length]
        return _vectors(found, self.output_size).to(inputs.device)

    def evaluations(self) -> dict[str, Task]:
        """The test of each task of the folder."""
        there = np.unique(self.stories.tasks).tolist()
        return {f"task_{task}": replace(self, part="test", only=task) for task in there}

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """None: what is measured are the tests of `evaluations`."""
        return ()

    def errors(self, figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """The percent of wrong questions of each test that was measured.

        Args:
            figures: what was measured for each name of `evaluations`.
        """
        found: dict[str, float] = {}
        for name, test in self.evaluations().items():
            if name in figures and isinstance(test, Babi):
                asked = len(_said(test)) / _buckets(test).ends[-1]  # questions of a story
                found[name] = 100 * figures[name]["wrong_questions"] / asked
        return found

    def report(self, figures: Mapping[str, Mapping[str, float]]) -> str:
        """The table of the papers: percent of wrong questions for each task, mean, failed tasks.

        Args:
            figures: as `errors` takes them.
        """
        errors = self.errors(figures)
        if not errors:
            return "no test was measured"
        mean, failed = sum(errors.values()) / len(errors), sum(e > FAILED for e in errors.values())
        lines = [f"{name.replace('_', ' '):12}  {error:5.1f}%" for name, error in errors.items()]
        return "\n".join(
            [
                "wrong questions of the tests",
                *lines,
                f"{'mean':12}  {mean:5.1f}%",
                f"failed (above {FAILED:g}%): {failed} of {len(errors)}",
            ]
        )

    def text(self, batch: Batch, row: int = 0) -> str:
        """A story in words: `_` is a think step, and an answer stands in brackets."""
        words = self.stories.words
        steps = len(batch.mask) if batch.lengths is None else int(batch.lengths[row])
        said: list[str] = []
        for step in range(steps):
            seen, due = batch.inputs[step, row], batch.targets[step, row]
            word = words[int(seen.argmax())] if seen.any() else "_"
            said.append(f"{word}[{words[int(due.argmax())]}]" if due.any() else word)
        return " ".join(said)


class Buckets(NamedTuple):
    """Stories by length: those of one bucket are drawn together."""

    members: list[np.ndarray]
    ends: np.ndarray
    """how many stories there are up to the end of each bucket"""


@lru_cache(maxsize=256)
def _buckets(task: Babi) -> Buckets:
    """The stories that a task draws.

    Raises:
        ValueError: there are none.
    """
    stories = task.stories
    steps = stories.steps
    chosen = stories.parts == PARTS.index(task.part)
    if task.only:
        chosen &= stories.tasks == task.only
    if task.part != "test":
        chosen &= steps <= task.max_steps
    members = np.flatnonzero(chosen)
    if not len(members):
        shortest = int(steps.min())
        raise ValueError(
            f"there must be stories to draw, but {task.folder} has none for {task.part} with "
            f"only={task.only} and max_steps={task.max_steps}: the shortest of all takes "
            f"{shortest} steps"
        )
    members = members[np.argsort(steps[members], kind="stable")]
    cuts: list[int] = []
    first = 0
    for place, length in enumerate(steps[members]):
        if place - first >= LEAST and length > PADDING * steps[members[first]]:
            cuts.append(place)
            first = place
    parts = np.split(members, cuts)
    return Buckets(parts, np.cumsum([len(part) for part in parts]))


@lru_cache(maxsize=64)
def _said(task: Babi) -> list[np.ndarray]:
    """The words of the answer of each question that a task draws."""
    stories = task.stories
    found: list[np.ndarray] = []
    for story in np.concatenate(_buckets(task).members):
        answers = stories.answers[stories.starts[story] : stories.starts[story + 1]]
        places = np.flatnonzero(answers != NOTHING)
        cuts = np.flatnonzero(np.diff(places) > 1) + 1
        found += np.split(answers[places], cuts)
    return found


def _answers(task: Babi) -> np.ndarray:
    return np.concatenate(_said(task))


@lru_cache(maxsize=4)
def _places(folder: str, think_steps: int) -> dict[bytes, int]:
    """The place of each story, by its words."""
    stories = read(folder, think_steps)
    cuts = zip(stories.starts[:-1], stories.starts[1:], strict=True)
    return {stories.inputs[a:b].tobytes(): story for story, (a, b) in enumerate(cuts)}


def _vectors(words: np.ndarray, count: int) -> Tensor:
    """One-hot vectors of words [T, B]: all zeros where there is none."""
    found = torch.zeros(*words.shape, count)
    steps, rows = np.nonzero(words != NOTHING)
    found[steps, rows, words[steps, rows]] = 1
    return found
