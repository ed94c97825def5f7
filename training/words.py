"""What a run is, and what came of it, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from training.config import Config
from training.console import duration
from training.distributed import command


def introduction(
    config: Config, folder: Path, *, weights: int, sequences: int, watch: Sequence[str]
) -> str:
    """What will run, where it is saved, how to watch it and how to stop it.

    Args:
        config: of the run.
        folder: of the run.
        weights: how many numbers are trained.
        sequences: how many the run has seen before; above 0, it is continued.
        watch: lines that say how to look at it while it trains.

    >>> from training.recipes import recipe
    >>> text = introduction(
    ...     recipe("copy", "ntm"), Path("runs/a"), weights=17162, sequences=0, watch=[]
    ... )
    >>> print(text)
    copy, learned by an NTM of 17,162 weights
      task     bits 8, min_length 1, max_length 20
      train    30,000 sequences in 3,750 steps of 8; adam, learning rate 0.003; seed 0; cpu
      saved    runs/a
      stop     Ctrl-C finishes the step and saves; then: python train.py --resume runs/a
    """
    run = config.run
    task = ", ".join(f"{name} {value}" for name, value in vars(config.task_options).items())
    rate = vars(config.optimizer_options)["learning_rate"]
    train = (
        f"{run.sequences:,} sequences in {config.steps:,} steps of {run.batch_size}; "
        f"{config.optimizer}, learning rate {rate:g}; seed {config.seed}; {config.device}"
    )
    rows = [("task", task), ("train", train)]
    if config.curriculum != "fixed":
        options = vars(config.curriculum_options).items()
        values = ", ".join(f"{name} {value}" for name, value in options)
        rows.append(("levels", ", ".join(filter(None, (config.curriculum, values)))))
    if sequences:
        rows.append(("continue", f"at {sequences:,} sequences"))
    rows.append(("saved", str(folder)))
    rows += [("watch" if not i else "", line) for i, line in enumerate(watch)]
    stop = f"Ctrl-C finishes the step and saves; then: {command()} --resume {folder}"
    rows.append(("stop", stop))
    article = "a" if config.model == "dnc" else "an"
    title = f"{config.task}, learned by {article} {config.model.upper()} of {weights:,} weights"
    return "\n".join([title, *(f"  {name:8} {value}" for name, value in rows)])


def result(
    results: Mapping[str, Mapping[str, float]], solved: Mapping[str, float], cost: str, errors: str
) -> str:
    """What a trained network can do.

    Args:
        results: the figures of each setting of the evaluation; `training` is the first.
        solved: solved/sequences and solved/seconds, or nothing.
        cost: the name of the task's cost.
        errors: the name of what it counts as wrong.

    >>> figures = {"bits_per_sequence": 0.1, "wrong_bits": 0.0, "exact_match": 1.0}
    >>> worse = {"bits_per_sequence": 90.0, "wrong_bits": 6.25, "exact_match": 0.2}
    >>> results = {
    ...     "training": {**figures, "chance_cost": 84.0},
    ...     "length_50": {**figures, "chance_cost": 400.0},
    ...     "length_120": {**worse, "chance_cost": 960.0},
    ... }
    >>> solved = {"solved/sequences": 11200, "solved/seconds": 180.0}
    >>> print(result(results, solved, "bits_per_sequence", "wrong_bits"))
    Solved after 11,200 sequences, in 3 min 00 s: fewer than 0.01 wrong bits a sequence.
    As it was trained, every sequence is answered without a fault.
    Beyond that, no fault at length 50.
    Wrong bits: 6.25 at length 120.
    """
    wrong = errors.replace("_", " ")
    lines = [f"Not solved: never fewer than 0.01 {wrong} a sequence."]
    if solved:
        seconds = duration(solved["solved/seconds"])
        lines = [
            f"Solved after {solved['solved/sequences']:,.0f} sequences, in {seconds}: "
            f"fewer than 0.01 {wrong} a sequence."
        ]
    first, *rest = results
    row = results[first]
    if row["exact_match"] == 1:
        lines.append("As it was trained, every sequence is answered without a fault.")
    else:
        share = row[cost] / row["chance_cost"]
        lines.append(
            f"As it was trained, {row['exact_match']:.1%} of sequences are exact, with "
            f"{row[errors]:.3g} {wrong} on average; the cost is {share:.1%} of guessing's."
        )
    perfect = [name for name in rest if results[name]["exact_match"] == 1]
    if perfect:
        lines.append(f"Beyond that, no fault at {', '.join(map(_spoken, perfect))}.")
    worse = [f"{results[n][errors]:.3g} at {_spoken(n)}" for n in rest if n not in perfect]
    if worse:
        lines.append(f"{wrong.capitalize()}: {', '.join(worse)}.")
    return "\n".join(lines)


def _spoken(setting: str) -> str:
    return setting.replace("_", " ")
