"""The table of results: run, killed, continued; and the page says what the runs' files say."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train
from experiments import __main__ as reproduce
from experiments import job, results, results_examples, results_figures, results_page
from experiments.__main__ import Options, main
from experiments.table import COLUMNS, EXAMPLES, ROWS, TARGETS, Row, command
from tasks import make
from tasks.grid import grid
from tests.training.tiny import arguments, assert_same_run
from training.command_line import parser
from training.evaluate.solved import rule
from training.options.models import MODELS
from training.options.recipes import RECIPES


def tiny_row(name="associative-recall-lstm", task="associative_recall", model="lstm", steps=12):
    words = arguments(task, model, steps=steps)
    for flag in ("--task", "--model", "--wandb", "--run.pictures"):
        place = words.index(flag)
        del words[place : place + 2]
    for flag, every in (("--run.evaluate-every", 100), ("--run.checkpoint-every", 50)):
        words[words.index(flag) + 1] = str(every)
    return Row(name, task, model, MODELS[model].style.label, tuple(words), evaluated=6)


def options(*rows, **changes):
    page = Path("docs/results.md")
    page.parent.mkdir(exist_ok=True)
    return dataclasses.replace(Options(rows=rows or ("*",), page=page, seeds=(0,)), **changes)


def run_here(chosen, rows):
    """What `reproduce` does in processes of their own, in this one."""
    for one in reproduce.plan(chosen, rows):
        assert job.main(one.command) == 0


def test_killed_at_once_and_continued(capsys):
    row = tiny_row(steps=100)
    code = "from tests.experiments.test_reproduce import *; main(options(), [tiny_row(steps=100)])"
    path = os.pathsep.join([str(reproduce.ROOT), os.environ.get("PYTHONPATH", "")])
    first = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    run = Path("runs/reproduce/associative-recall-lstm-seed0")
    while results.reached(run) == 0:
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    # Its job may still be saving: this one waits for it.
    run_here(options(), [row])
    assert "stopped and saved" in (run.parent / f"{run.name}.log").read_text()
    assert re.search(r"continue +at", capsys.readouterr().out)
    assert main(options(), [row]) == 0
    assert reproduce.state(reproduce.plan(options(), [row])[0]) == "done"

    words = [*row.flags, "--task", row.task, "--model", row.model, "--wandb", "disabled"]
    assert train.main([*words, "--run.pictures", "False", "--name", "whole"]) == 0
    assert_same_run(run, Path("runs/whole"))
    assert "sequences to solve" in Path("docs/results.md").read_text()


def test_a_run_killed_before_its_first_file_starts_over():
    chosen = options()
    (one,) = reproduce.plan(chosen, [tiny_row()])
    one.folder.mkdir(parents=True)
    (one.folder / ".config.json.1.tmp").write_text("{")
    assert reproduce.state(one) == "to do"
    assert job.main(one.command) == 0
    assert reproduce.state(one) == "done"
    before = (one.folder / "checkpoints/last.pt").stat().st_mtime_ns
    assert job.main(one.command) == 0
    assert (one.folder / "checkpoints/last.pt").stat().st_mtime_ns == before


def test_the_page_says_what_the_files_say():
    rows = [tiny_row("copy-ntm", "copy", "ntm", steps=3)._replace(memory_size=7)]
    chosen = options(seeds=(0, 1, 2), only_write=True)
    run_here(chosen, rows)
    chosen.page.write_text(
        f"before\n{results_page.MARKS.begin}\nold\n{results_page.MARKS.end}\nafter\n"
    )
    assert main(chosen, rows) == 0
    page = chosen.page.read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page

    # The table of generalisation has, for length 120, the median and the worst of the seeds.
    found = []
    for seed in chosen.seeds:
        file = Path(f"runs/reproduce/copy-ntm-seed{seed}/generalisation_memory_7.json")
        found.append(json.loads(file.read_text())["settings"]["length_120"]["wrong_bits"]["mean"])
    heading = next(line for line in page.splitlines() if "| length 120 |" in line)
    cell = page.splitlines()[page.splitlines().index(heading) + 2].split(" | ")[-1]
    low, middle, high = sorted(found)
    assert cell.startswith(results_page.number(float(f"{middle:.4g}")))
    assert f"worst {results_page.number(float(f'{high:.4g}'))}" in cell or high == middle
    assert "`python train.py --task copy --model ntm" in page
    assert "evaluated with `--memory-size 7`" in page
    assert low <= middle
    for name in ("curves", "generalisation"):
        assert f"](pictures/results_copy_{name}.png)" in page
        assert (chosen.page.parent / f"pictures/results_copy_{name}.png").stat().st_size > 1000
    assert (chosen.page.parent / "pictures/results_copy-ntm_figure_4.png").is_file()

    # Without the runs, the page is written again from what is kept.
    Path("runs").rename("gone")
    assert main(chosen, rows) == 0
    assert chosen.page.read_text() == page


def test_curves_are_those_of_the_metrics():
    row = tiny_row("copy-ntm", "copy", "ntm")
    run_here(options(), [row])
    summary = results.collect(Path("runs/reproduce"), [row])["copy-ntm"]
    metrics = Path("runs/reproduce/copy-ntm-seed0/metrics.jsonl").read_text().splitlines()
    costs = [json.loads(line).get("bits_per_sequence") for line in metrics]
    costs = [float(f"{cost:.4g}") for cost in costs if cost is not None]
    drawn = results_figures.curves("copy", TARGETS["copy"], [summary])
    for axes in drawn.axes:
        assert list(axes.lines[0].get_ydata()) == costs
        assert list(axes.lines[0].get_xdata()) == [0.012, 0.024, 0.036, 0.048]
        assert axes.get_xlabel() == "sequence number (thousands)"
    assert drawn.axes[0].get_ylabel() == "cost per sequence (bits)"


def test_a_curve_is_thinned_to_means():
    metrics = [{"sequences": i, "bits_per_sequence": i, "wrong_bits": 0.0} for i in range(1200)]
    thinned = results.curve(metrics, "fixed")
    assert len(thinned["sequences"]) == results.POINTS
    assert thinned["sequences"][:2] == [9, 19]
    assert thinned["bits_per_sequence"][:2] == [4.5, 14.5]


def test_a_run_of_other_settings_is_refused(capsys):
    row = tiny_row()
    run_here(options(), [row])
    other = row._replace(flags=(*row.flags, "--optimizer.learning-rate", "0.5"))
    assert main(options(), [other]) == 2
    error = capsys.readouterr().err
    assert (
        "was trained with other settings than its row has now (optimizer.learning_rate was" in error
    )
    assert "and is 0.5): move it away, or use another --folder" in error


def test_a_run_that_fails_is_said_to_and_the_others_go_on(monkeypatch, capfd):
    rows = [tiny_row(), tiny_row("copy-lstm", "copy")]
    begun = []

    def start(job):
        begun.append(job.folder.name)
        code = f"raise SystemExit({int(len(begun) == 1)})"
        return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)

    monkeypatch.setattr(reproduce, "start", start)
    assert main(options(jobs=1), rows) == 1
    assert begun == ["associative-recall-lstm-seed0", "copy-lstm-seed0"]
    error = capfd.readouterr().err
    assert "associative-recall-lstm-seed0 failed: see runs/reproduce/associative-recall" in error
    assert "copy-lstm-seed0 failed" not in error


def test_unfinished_runs_are_said_to_be():
    row = tiny_row("copy-lstm", "copy")
    run_here(options(), [row])
    for name in ("evaluation.json", "generalisation.json"):
        Path(f"runs/reproduce/copy-lstm-seed0/{name}").unlink()
    assert reproduce.state(reproduce.plan(options(), [row])[0]) == (
        "trained on 48 sequences so far"
    )
    assert main(options(only_write=True), [row]) == 0
    page = Path("docs/results.md").read_text()
    assert "| LSTM | 562 | 0 (unfinished) | never |" in page


def test_the_list(capsys):
    rows = [tiny_row(), tiny_row("copy-lstm", "copy")]
    run_here(options("assoc*"), rows)
    capsys.readouterr()
    assert main(options(list=True), rows) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["associative-recall-lstm-seed0", "done"],
        ["copy-lstm-seed0", "to"],
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ("sort",)}, "there is no row sort: the rows are associative-recall-lstm"),
        ({"jobs": 0}, "there must be a seed and at least 1 job, got --seeds (0,) and --jobs 0"),
        ({"seeds": ()}, "there must be a seed and at least 1 job, got --seeds ()"),
    ],
)
def test_errors(changes, message, capsys):
    assert main(options(**changes), [tiny_row()]) == 2
    assert message in capsys.readouterr().err


def test_a_page_without_marks_is_refused(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("# Results\n")
    with pytest.raises(ValueError, match="must have a line <!-- written by python -m experiments"):
        results_page.write(page, {}, [])


def test_the_kept_results_are_solved_by_what_the_tasks_state_or_say_that_they_are_not():
    kept = results.load(reproduce.ROOT / "docs" / "results", ROWS)
    assert list(kept) == [row.name for row in ROWS]
    earlier = set()
    for name, summary in kept.items():
        solved = make(summary["task"]).solved
        for run in summary["runs"]:
            if run["solved_is"] != rule(solved):
                earlier.add(name)
            if run["solved"] is None and run["finished"]:
                assert run["settings"]["training"][solved.metric][0] >= solved.below
    assert earlier == {name for name in kept if name.startswith("dynamic-ngram")}


def test_the_page_says_which_rows_were_found_solved_by_an_earlier_rule():
    def row(model, *rules):
        runs = [{"solved_is": rule} for rule in rules]
        return {"model": model, "runs": runs}

    now = rule(make("copy").solved)
    rows = [row("NTM", now, now), row("DNC", "below 2", now), row("LSTM", "below 2", "below 3")]
    assert results_page.earlier_rules("copy", rows) == [
        "Sequences and minutes to solve of DNC; LSTM were found by an earlier rule: below 2.\n",
        "Sequences and minutes to solve of LSTM were found by an earlier rule: below 3.\n",
    ]
    assert results_page.earlier_rules("copy", [row("NTM", now), {"model": "A", "runs": [{}]}]) == []


def test_medians_and_verdicts_of_goals():
    never = {"solved": None, "settings": {}}
    row = {"runs": [never, never, {"solved": {"sequences": 50}, "settings": {}}]}
    assert results_page.verdict(results_page.solved_after(row), 100) == "no"
    row["runs"][0] = {"solved": {"sequences": 80}, "settings": {}}
    assert results_page.verdict(results_page.solved_after(row), 100) == "**yes**: 80"
    assert results_page.verdict(results_page.solved_after(row), 79) == "no: 80"


def test_the_overview_counts_seeds_and_goals():
    def run(sequences, wrong):
        solved = None if sequences is None else {"sequences": sequences}
        return {"solved": solved, "settings": {"length_120": {"wrong_bits": [wrong, wrong, wrong]}}}

    runs = [run(30_000, 0.5), run(8_000, 3.0), run(None, 0.9)]
    row = {"task": "copy", "model": "NTM", "runs": runs}
    assert results_page.overview({"copy-ntm": row}) == (
        ["sequences to solve; goals reached", "NTM"],
        [["Copy", "30,000 (2 of 3 seeds); 1 of 2"]],
    )


def test_the_table_is_of_recipes_targets_and_settings_that_exist():
    assert len({row.name for row in ROWS}) == len(ROWS) == len(TARGETS) * len(COLUMNS)
    for row in ROWS:
        assert (row.task, row.model) in RECIPES
        assert parser.parse(command(row, 0)[2:]).task == row.task
    for name, target in TARGETS.items():
        there = set(grid(make(name)))
        for setting in (*target.settings, *(goal.setting for goal in target.goals)):
            assert setting in there
        for example in results_examples.of_task(name):
            assert set(example.settings) <= there
    assert {example.row for example in EXAMPLES} <= {row.name for row in ROWS}
    assert sum(len(results_examples.of_task(name)) for name in TARGETS) == len(EXAMPLES)
