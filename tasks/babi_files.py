"""The files of the bAbI tasks (Weston et al. 2015, arXiv 1502.05698), read as rows of words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

MARK = "-"
"""the word at which an answer is due; a longer answer has as many of them"""
NOTHING = -1
"""in place of a word: no input at this step, or no answer"""
PARTS = ("training", "validation", "test")
HELD_OUT = 10  # one in so many training stories, unless there are files for validation
TASKS = 20

NAME = re.compile(r"qa(\d+)(?:_.*)?_(train|valid|test)\.txt")
LINE = re.compile(r"(\d+) (\S.*)")
WORD = re.compile(r"\w+(?:['-]\w+)*|[.?!,;:]")
GAP = re.compile(r"\s*")


class Question(NamedTuple):
    """A line of a story; the answer has no word if it is no question."""

    words: tuple[str, ...]
    answer: tuple[str, ...]


@dataclass(frozen=True)
class Stories:
    """All stories of a folder, one after the other in two long rows of numbers.

    Story i takes the steps `starts[i]` to `starts[i + 1]`.
    """

    words: tuple[str, ...]
    """the vocabulary, in the order of the channels"""
    inputs: np.ndarray
    """the word of each step, or `NOTHING` at a think step"""
    answers: np.ndarray
    """the word that is due at each step, or `NOTHING`"""
    starts: np.ndarray
    tasks: np.ndarray
    """of each story: its task, from 1"""
    parts: np.ndarray
    """of each story: its place in `PARTS`"""

    @property
    def steps(self) -> np.ndarray:
        """How long each story is."""
        return np.diff(self.starts)


@lru_cache(maxsize=2**16)  # stories are made of some thousand sentences
def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, full stops and question marks among them.

    Raises:
        ValueError: there is something else in it.

    >>> words_of("Where is John?")
    ('where', 'is', 'john', '?')
    """
    found: list[str] = []
    place = 0
    while place < len(text):
        word = WORD.match(text, place)
        if word is None:
            raise ValueError(f"{text[place]!r} is no word")
        found.append(word[0].lower())
        gap = GAP.match(text, word.end())
        place = len(text) if gap is None else gap.end()
    return tuple(found)


def _line(text: str) -> Question:
    """What a line says after its number."""
    if "\t" not in text:
        return Question(words_of(text), ())
    parts = [part.strip() for part in text.split("\t")]
    if len(parts) > 3 or not parts[1]:
        raise ValueError("a question is followed by a tab, its answer, a tab and its facts")
    asked, said = words_of(parts[0]), tuple(parts[1].lower().split(","))
    if not all(said):
        raise ValueError("an answer is a word, or words with commas between them")
    return Question(asked, said)


def read_file(path: Path) -> Iterator[list[Question]]:
    """The stories of a file, each a list of its lines.

    Every line has its number in the story, and a line with the number 1 begins a new story.

    Raises:
        ValueError: a line is of another form, or a story asks nothing; the message names the file
            and the line.
    """
    story: list[Question] = []
    with path.open(encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            line = LINE.fullmatch(text.rstrip())
            if line is None or int(line[1]) not in (1, len(story) + 1):
                raise ValueError(
                    f"every line must have the number of the line before it plus 1, or the number "
                    f"1 of a new story, then a space and a sentence, got {text.rstrip()!r:.60} in "
                    f"{path}, line {number}: use the files as they were published"
                )
            if int(line[1]) == 1 and story:
                yield _asking(story, path, number)
                story = []
            try:
                story.append(_line(line[2]))
            except ValueError as error:
                raise ValueError(
                    f"every line must be a sentence of words, or a question with its answer, but "
                    f"{error} in {path}, line {number}: use the files as they were published"
                ) from error
    yield _asking(story, path, number=0)


def _asking(story: list[Question], path: Path, number: int) -> list[Question]:
    if any(line.answer for line in story):
        return story
    where = f"before line {number}" if number else "at its end"
    raise ValueError(
        f"every story must ask something, but that of {path} {where} does not: use the files as "
        "they were published"
    )


def files(folder: Path) -> dict[tuple[int, str], Path]:
    """The files of a folder, by task and part (`train`, `valid`, `test`).

    Raises:
        ValueError: it is no folder, or one without stories to train and test on.
    """
    if not folder.is_dir():
        raise ValueError(
            f"the folder of the stories must exist, got {str(folder)!r}: pass the folder with "
            "qa1_..._train.txt to qa20_..._test.txt (en-10k in the published archive)"
        )
    found = {
        (int(name[1]), name[2]): path
        for path in folder.iterdir()
        if (name := NAME.fullmatch(path.name)) and 1 <= int(name[1]) <= TASKS
    }
    tasks = {task for task, _ in found}
    lacking = [
        f"qa{task}_..._{part}.txt"
        for task in sorted(tasks or {1})
        for part in ("train", "test")
        if (task, part) not in found
    ]
    if lacking:
        raise ValueError(
            f"the folder of the stories must hold files to train and to test on, but {folder} has "
            f"no {', '.join(lacking)}: pass the folder with qa1_..._train.txt to "
            "qa20_..._test.txt (en-10k in the published archive)"
        )
    return dict(sorted(found.items()))


@lru_cache(maxsize=4)
def read(folder: str, think_steps: int = 0) -> Stories:
    """All stories of a folder; read once.

    Every tenth training story of a task is for validation, unless there are files for that.

    Args:
        folder: with the published files.
        think_steps: steps without any input before each answer.

    Raises:
        ValueError: there is no such folder, a file is missing or of another form, or a word of a
            test does not occur in training.
    """
    stories: list[tuple[int, int, list[Question]]] = []
    there = files(Path(folder))
    for (task, name), path in there.items():
        for number, story in enumerate(read_file(path)):
            part = ("train", "valid", "test").index(name)
            if name == "train" and (task, "valid") not in there:
                part = int(number % HELD_OUT == HELD_OUT - 1)
            stories.append((task, part, story))
    lines = {line for _, part, story in stories if part != PARTS.index("test") for line in story}
    words = sorted({word for line in lines for word in (*line.words, *line.answer)} | {MARK})
    index = {word: number for number, word in enumerate(words)}
    inputs: list[int] = []
    answers: list[int] = []
    starts = [0]
    for task, part, story in stories:
        try:
            for line in story:
                said = [index[word] for word in line.answer]
                marks = [NOTHING] * think_steps * bool(said) + [index[MARK]] * len(said)
                inputs += [index[word] for word in line.words] + marks
                answers += [NOTHING] * (len(inputs) - len(answers) - len(said)) + said
        except KeyError as error:
            raise ValueError(
                f"every word of a test must occur in training, but {error} of task {task} "
                f"({PARTS[part]}) in {folder} does not: pass the folder with the files of all "
                "tasks, as they were published"
            ) from error
        starts.append(len(inputs))
    return Stories(
        tuple(words),
        inputs=np.array(inputs),
        answers=np.array(answers),
        starts=np.array(starts),
        tasks=np.array([task for task, _, _ in stories]),
        parts=np.array([part for _, part, _ in stories]),
    )
