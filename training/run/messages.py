"""What a run is, and what came of it, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.base import Task
from tasks.solved import GAP, Solved
from training.evaluate.solved import SEQUENCES, Outcome, amount, column, rule, unit
from training.machine.distributed import command
from training.options.config import Config, make_task, to_json
from training.options.models import MODELS
from training.report.console import duration

WORSE = 1.01
"""times the cost of guessing: more is worse than guessing, and not its equal but for rounding"""


def introduction(
    config: Config,
    folder: Path,
    *,
    weights: int,
    sequences: int,
    backend: str | None,
    watch: Sequence[str],
) -> str:
    """What will run, where it is saved, how to watch it and how to stop it.

    Args:
        config: of the run.
        folder: of the run.
        weights: how many numbers are trained.
        sequences: how many the run has seen before; above 0, it is continued.
        backend: what runs the steps, in words; None: there is no choice.
        watch: lines that say how to look at it while it trains.

    >>> from training.options.recipes import recipe
    >>> text = introduction(
    ...     recipe("copy", "ntm"),
    ...     Path("runs/a"),
    ...     weights=17162,
    ...     sequences=0,
    ...     backend="fused",
    ...     watch=[],
    ... )
    >>> print(text)
    copy: NTM, 17,162 weights
      task     bits 8, min_length 1, max_length 20
      train    30,000 sequences in 3,750 steps of 8; adam, learning rate 0.003; seed 0; cpu
      backend  fused
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
    if backend is not None:
        rows.append(("backend", backend))
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
    title = f"{config.task}: {MODELS[config.model].style.label}, {weights:,} weights"
    return "\n".join([title, *(f"  {name:8} {value}" for name, value in rows)])


def result(config: Config, results: Mapping[str, Mapping[str, float]], outcome: Outcome) -> str:
    """What a trained network can do, in the terms of its task's statement of what is solved.

    Args:
        config: of the run.
        results: the figures of each setting of the evaluation; `training` is the first.
        outcome: whether and when the run was solved.

    >>> from training.options.recipes import recipe
    >>> from training.evaluate.solved import Moment
    >>> figures = {"bits_per_sequence": 0.1, "wrong_bits": 0.0, "exact_match": 1.0}
    >>> worse = {"bits_per_sequence": 2500.0, "wrong_bits": 486.0, "exact_match": 0.0}
    >>> results = {
    ...     "training": {**figures, "chance_cost": 84.0},
    ...     "length_50": {**figures, "chance_cost": 400.0},
    ...     "length_120": {**worse, "chance_cost": 960.0},
    ... }
    >>> outcome = Outcome(Moment(9200, 27.0), lowest=0.0, on_the_way=True)
    >>> print(result(recipe("copy", "ntm"), results, outcome))
    Solved after 9,200 sequences, in 27 s: below 0.01 wrong bits a sequence.
    As it was trained, every sequence is answered without a fault.
    Beyond that, no fault at length 50.
    Wrong bits a sequence: 486 at length 120.
    Worse than guessing: 2,500 bits a sequence at length 120 (guessing: 960).
    The paper's NTM: ~0.1 bits at 100,000 sequences; one vector twice at length 120 (Graves et al. \
2014, figures 3 to 5).
    """
    task = make_task(config)
    _, *beyond = results
    lines = [_verdict(config, task.solved, results[task.solved.setting], outcome)]
    lines.append(_trained(task, results["training"]))
    perfect = [name for name in beyond if results[name]["exact_match"] == 1]
    if perfect:
        lines.append(f"Beyond that, no fault at {_listed(perfect)}.")
    shown = GAP if task.solved.metric == GAP else task.cost.errors_name
    others = [f"{results[n][shown]:.3g} at {_spoken(n)}" for n in beyond if n not in perfect]
    if others:
        lines.append(f"{unit(shown).capitalize()}: {', '.join(others)}.")
    lines += _worse_than_guessing(task, {name: results[name] for name in beyond})
    return "\n".join([*lines, *_paper(config, task)])


def _verdict(config: Config, solved: Solved, final: Mapping[str, float], outcome: Outcome) -> str:
    """Whether and when the run was solved, and what is not known of that."""
    now = amount(solved.metric, final[solved.metric])
    limit = f"solved is below {solved.below:.3g}."
    if outcome.on_the_way and outcome.first is not None:
        first = outcome.first
        said = f"Solved after {first.sequences:,} sequences, in {duration(first.seconds)}: "
        still = final[solved.metric] < solved.below  # a NaN is not
        return f"{said}{rule(solved)}.{'' if still else f' At the end it is not: {now}.'}"
    if outcome.on_the_way:
        return f"Not solved: {_best(solved, outcome.lowest)}; {limit}"
    why = f"training on fewer than {SEQUENCES} sequences does not say"
    if column(solved.metric, config.curriculum, solved.held_out) != solved.metric:
        why = f"no validation measured it (--run.evaluate-every {config.run.evaluate_every})"
    if outcome.first is not None:
        return f"Solved at the end: {now}; {limit} Since when is not known: {why}."
    return f"Not solved at the end: {now}; {limit} Whether it was before is not known: {why}."


def _best(solved: Solved, lowest: float | None) -> str:
    return "never finite" if lowest is None else f"{amount(solved.metric, lowest)} at best"


def _trained(task: Task, row: Mapping[str, float]) -> str:
    """What the network does on the task as it was trained."""
    if row["exact_match"] == 1:
        return "As it was trained, every sequence is answered without a fault."
    cost, chance = row[task.cost.name], row["chance_cost"]  # of all sizes, not of those drawn
    bits = " bits" if task.cost.name == "bits_per_sequence" else ""
    if task.solved.metric == GAP:
        return (
            f"As it was trained, it pays {cost:.4g} bits a sequence, {row[GAP]:.3g} above the best "
            f"possible predictor; guessing pays {chance:.4g}."
        )
    return (
        f"As it was trained, {row['exact_match']:.1%} of sequences are exact, with "
        f"{row[task.cost.errors_name]:.3g} {task.cost.errors_name.replace('_', ' ')} on average; "
        f"the cost is {_number(cost)}{bits}, and guessing costs {_number(chance)} on average."
    )


def _worse_than_guessing(task: Task, beyond: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The sizes at which a network that knows nothing does better."""
    unit = " bits a sequence" if task.cost.name == "bits_per_sequence" else ""
    worse = [
        f"{_number(row[task.cost.name])}{unit} at {_spoken(name)} (guessing: "
        f"{_number(row['chance_cost'])})"
        for name, row in beyond.items()
        if not row[task.cost.name] <= WORSE * row["chance_cost"]  # a NaN is worse, too
    ]
    return [f"Worse than guessing: {', '.join(worse)}."] if worse else []


def _paper(config: Config, task: Task) -> list[str]:
    """What the paper reports, if the task has the paper's sizes."""
    paper = task.solved.paper
    if paper is None or task != type(task)():
        return []
    label = MODELS[config.model].style_of(to_json(config)["model_options"]).label
    if label not in paper.figures:
        label = next(iter(paper.figures))
    return [f"The paper's {label}: {paper.figures[label]} ({paper.place})."]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _listed(settings: Sequence[str]) -> str:
    return ", ".join(map(_spoken, settings))


def _spoken(setting: str) -> str:
    return setting.replace("_", " ")
