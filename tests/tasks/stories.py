"""Stories of our own in the form of the bAbI files, of three of the tasks."""

import itertools
import random
from pathlib import Path

PEOPLE, PLACES, THINGS = ("Ann", "Bo", "Cy"), ("barn", "yard", "shop"), ("hat", "cup")


def where(draws: random.Random) -> list[str]:
    """Task 1: stories of one length, two questions in each."""
    lines: list[str] = []
    for _ in range(2):
        facts = [(draws.choice(PEOPLE), draws.choice(PLACES)) for _ in range(2)]
        lines += [f"{who} went to the {place}." for who, place in facts]
        who, place = facts[-1]
        lines.append(f"Where is {who}?\t{place}\t{len(lines)}")
    return lines


def holds(draws: random.Random) -> list[str]:
    """Task 8: answers of one word and of two, in stories of several lengths."""
    lines: list[str] = []
    for _ in range(draws.randint(1, 4)):
        who, things = draws.choice(PEOPLE), draws.sample(THINGS, draws.randint(1, 2))
        lines += [f"{who} took the {thing}." for thing in things]
        lines.append(f"What does {who} hold?\t{','.join(things)}\t{len(lines)}")
    return lines


def why(draws: random.Random) -> list[str]:
    """Task 20: a question to begin with."""
    who = draws.choice(PEOPLE)
    return [f"Why is {who} here?\thungry\t", f"{who} is there.", f"Why is {who} here?\thungry\t2"]


def write(folder: Path, stories: int = 40) -> Path:
    """Write the files of three tasks, the same at every call."""
    draws = random.Random(0)
    folder.mkdir(exist_ok=True)
    for (task, make), part in itertools.product(
        {"qa1_where": where, "qa8_holds": holds, "qa20_why": why}.items(), ("train", "test")
    ):
        lines = [
            f"{number} {line}\n"
            for _ in range(stories if part == "train" else stories // 4)
            for number, line in enumerate(make(draws), 1)
        ]
        (folder / f"{task}_{part}.txt").write_text("".join(lines))
    return folder
