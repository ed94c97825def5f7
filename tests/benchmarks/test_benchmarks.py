"""The benchmark runs at tiny sizes, is red when results differ, and lives without other packages.

No times are asserted.
"""

import json
import re
import sys
import types
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import memnets
import tasks
from benchmarks import __main__ as command
from benchmarks import (
    cases,
    compare,
    contestants,
    data_rate,
    gate,
    graphs,
    isolated,
    limits,
    machine,
    peers,
    starts,
    steps,
    timing,
    trainer_cost,
)
from benchmarks.cases import Case
from benchmarks.contestants import LSTM, Absent, Contestant
from memnets.backends import registry

TINY = Case(
    input_size=3, output_size=2, memory_size=4, word_size=3, hidden_size=5, batch=2, steps=3
)
REFERENCE = registry.BACKENDS["reference"]
QUICK = compare.Settings(seconds=0.01)


@pytest.fixture(autouse=True)
def _nothing_is_compiled(monkeypatch):
    """It takes a minute in all."""
    monkeypatch.delitem(registry.BACKENDS, "compiled")


NTM_STUB = """
import torch
class EncapsulatedNTM(torch.nn.Module):
    def __init__(self, num_inputs, num_outputs, **others):
        super().__init__()
        self.linear = torch.nn.Linear(num_inputs, num_outputs)
    def init_sequence(self, batch_size):
        self.state = torch.zeros(batch_size, 1)
    def forward(self, x):
        self.state = self.state + x.mean(1, keepdim=True)
        return self.linear(x) + self.state, self.state
"""


class DNCStub(torch.nn.Module):
    def __init__(self, input_size, hidden_size, **others):
        super().__init__()
        self.linear = torch.nn.Linear(input_size, input_size)

    def forward(self, x, state=None):
        return self.linear(x), None


CSORDAS_STUB = """
import torch
class LSTMController:
    def __init__(self, sizes):
        self.sizes = sizes
class DNC(torch.nn.Module):
    def __init__(self, input_size, output_size, **others):
        super().__init__()
        self.linear = torch.nn.Linear(input_size, output_size)
    def forward(self, x):
        return self.linear(x)
"""

# As the repository's newest code, it takes [B, T, I] and returns [T, B, I].
DNC_REPOSITORY_STUB = """
import torch
class DNC(torch.nn.Module):
    def __init__(self, input_size, batch_first, **others):
        super().__init__()
        assert batch_first
        self.linear = torch.nn.Linear(input_size, input_size)
    def forward(self, x, state):
        return self.linear(x).transpose(0, 1), None
"""


@pytest.fixture
def repository(tmp_path):
    files = {
        "ntm/aio.py": NTM_STUB,
        "dnc/dnc.py": DNC_REPOSITORY_STUB,
        "Models/DNC.py": CSORDAS_STUB,
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).parent.joinpath("__init__.py").write_text("")
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.fixture
def package(monkeypatch):
    module = types.ModuleType("dnc")
    module.DNC = DNCStub
    monkeypatch.setitem(sys.modules, "dnc", module)
    monkeypatch.setattr(peers.metadata, "version", lambda name: "0.0")


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "dnc", None)  # import raises ImportError


@pytest.fixture
def tiny(monkeypatch):
    """The command with tiny cases, which all commands share."""
    small = {"ntm-128x20": TINY, "dnc-128x20": replace(TINY, kind="DNC")}
    monkeypatch.setattr(cases, "CASES", small)
    monkeypatch.setattr(cases, "MAIN", tuple(small.values()))
    monkeypatch.setattr(cases, "GROWTH", {"memory_size": (4, 8), "steps": (2, 3)})
    monkeypatch.setattr(Case, "batch", 2)
    monkeypatch.setattr(Case, "steps", 3)


def given(repository: Path) -> list[str]:
    flags = ("--ntm-repository", "--dnc-repository", "--csordas-repository")
    return [part for flag in flags for part in (flag, str(repository))]


def test_table_json_and_picture(tmp_path, repository, package, tiny, capsys):
    target, picture = tmp_path / "times.json", tmp_path / "times.png"
    flags = ["--seconds", "0.01", "--json", str(target), "--plot", str(picture)]
    assert command.main([*given(repository), *flags]) == 0
    printed = capsys.readouterr().out
    content = json.loads(target.read_text())
    assert {"processor", "cores", "threads", "torch", "python", "commit"} <= set(content["machine"])
    ntm, dnc = content["compare"]
    assert ntm["absent"] == dnc["absent"] == []
    everyone = {"memnets.NTM reference", "memnets.DNC reference", *peers.GET, LSTM}
    rows = [*ntm["rows"], *dnc["rows"]]
    assert {row["contestant"] for row in rows} >= everyone
    assert all(name in printed for name in everyone)
    for row in rows:
        assert len(row["rounds"]) >= timing.LEAST_TURNS
        assert min(row["rounds"].values()) > 0
        if row["contestant"] == LSTM:
            assert row["ratio_to_lstm"] == {"median": 1, "lower": 1, "upper": 1}
        if row["contestant"] == "memnets.DNC reference":
            assert set(row["times_faster"]) == set(peers.GET) - {"pytorch-ntm"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_missing_packages_give_a_sentence(no_package):
    absent = [*compare.compare(TINY, QUICK).absent]
    absent += compare.compare(replace(TINY, kind="DNC"), QUICK).absent
    for name, how in peers.GET.items():
        assert any(f"{name} is left out" in said and how in said for said in absent)


@pytest.mark.parametrize("build", [peers.pytorch_ntm, peers.pytorch_dnc, peers.csordas_dnc])
def test_a_folder_that_is_no_repository(tmp_path, build):
    with pytest.raises(Absent, match=r"is left out: .* has no \w+/\w+.py \(git clone"):
        build(tmp_path)(TINY)


def test_a_repository_that_cannot_be_imported(repository):
    (repository / "ntm" / "aio.py").write_text("import a_module_that_is_gone")
    with pytest.raises(Absent, match=r"cannot be imported with torch .*a_module_that_is_gone"):
        peers.pytorch_ntm(repository)(TINY)


def test_a_repository_that_does_not_run(repository):
    broken = CSORDAS_STUB.replace("self.linear(x)", "self.linear(x).view(-1, 7, 5)")
    (repository / "Models" / "DNC.py").write_text(broken)
    settings = replace(QUICK, repositories=peers.Repositories(csordas=repository))
    present, absent = compare.assemble(replace(TINY, kind="DNC"), [], settings)
    assert peers.CSORDAS_DNC not in {one.name for one in present}
    assert any("does not run with torch" in said and "invalid for input" in said for said in absent)


def test_a_repository_leaves_nothing_behind(repository, monkeypatch):
    mine = types.ModuleType("ntm")
    monkeypatch.setitem(sys.modules, "ntm", mine)
    before = list(sys.path)
    contestant = peers.pytorch_ntm(repository)(TINY)
    assert contestant.run(torch.zeros(3, 2, 3)).shape == (3, 2, 2)
    assert sys.modules["ntm"] is mine
    assert "ntm.aio" not in sys.modules
    assert sys.path == before


def test_the_repository_of_the_package_is_not_the_package(repository, package):
    contestant = peers.pytorch_dnc(repository)(TINY)
    assert not isinstance(contestant.model, DNCStub)
    assert contestant.run(torch.zeros(3, 2, 3)).shape == (3, 2, 3)


def same(layer, x, state, *others):
    return REFERENCE(layer, x, state, *others)


def test_a_new_backend_appears_by_itself(monkeypatch):
    monkeypatch.setitem(registry.BACKENDS, "quick", same)
    found = compare.compare(TINY, replace(QUICK, rivals=False))
    assert any("memnets.NTM quick" in sentence for sentence in found.checks)
    (row,) = [
        row
        for row in found.rows
        if row["contestant"] == "memnets.NTM quick" and row["pass"] == "training"
    ]
    assert set(row["times_faster"]) == {"memnets.NTM reference"}


def test_a_backend_that_cannot_serve_is_left_out_with_its_reason(monkeypatch):
    def refuse(layer, x, state, *others):
        raise RuntimeError("quick needs a compiler; none was found.\nAnd more.")

    monkeypatch.setitem(registry.BACKENDS, "quick", refuse)
    found = compare.compare(TINY, replace(QUICK, rivals=False))
    assert "memnets.NTM quick" not in {row["contestant"] for row in found.rows}
    assert found.absent == (
        "memnets.NTM quick is left out: RuntimeError: quick needs a compiler; none was found.",
    )


def test_what_memory_has_no_room_for_is_left_out(monkeypatch):
    case = replace(TINY, kind="DNC", memory_size=64)
    monkeypatch.setattr(machine, "free_memory", lambda: 2e5)
    found = compare.compare(case, replace(QUICK, rivals=False))
    assert {row["contestant"] for row in found.rows} == {LSTM}
    assert "keeps about" in found.absent[0]
    assert gate.steps_in_memory(replace(case, steps=40)) < 40


@pytest.mark.parametrize("kind", ["NTM", "DNC"])
def test_the_gate_is_red_when_outputs_differ(monkeypatch, kind, capsys, tiny):
    def wrong(layer, x, state, *others):
        right = REFERENCE(layer, x, state, *others)
        return right._replace(h=right.h * (1 + 1e-4))

    monkeypatch.setitem(registry.BACKENDS, "auto", wrong)
    with pytest.raises(gate.Disagreement, match=rf"memnets.{kind} auto: output differs"):
        gate.check_backends(replace(TINY, kind=kind))
    assert command.main(["--seconds", "0.01"]) == 1
    assert "us/step" not in capsys.readouterr().out


def test_the_gate_is_red_when_only_gradients_differ(monkeypatch):
    def wrong(layer, x, state, *others):
        right = REFERENCE(layer, x, state, *others)
        fixed = right.h.detach()
        return right._replace(h=fixed + 1.001 * (right.h - fixed))

    monkeypatch.setitem(registry.BACKENDS, "auto", wrong)
    with pytest.raises(gate.Disagreement, match="gradient of"):
        gate.check_backends(TINY)


def narrow_only(layer, x, state, *others):
    """Right in float64; in float32 wrong where there are more than two steps."""
    right = REFERENCE(layer, x, state, *others)
    if x.dtype == torch.float64 or len(x) <= 2:
        return right
    return right._replace(h=right.h * (1 + 1e-4))


def test_rounding_shortens_the_float32_comparison_and_is_said(monkeypatch):
    monkeypatch.setitem(registry.BACKENDS, "quick", narrow_only)
    monkeypatch.setattr(gate, "rounding", lambda case: 1.1e-5)
    (sentence,) = gate.check_backends(replace(TINY, steps=8), ["quick"]).sentences
    assert "float32 over 2 steps" in sentence


def test_a_float32_error_that_rounding_does_not_explain_is_red(monkeypatch):
    assert gate.rounding(TINY) < 1e-5
    monkeypatch.setitem(registry.BACKENDS, "quick", narrow_only)
    with pytest.raises(gate.Disagreement, match="output differs"):
        gate.check_backends(replace(TINY, steps=8), ["quick"])


def test_the_gate_is_red_at_a_nan():
    fine = {"output": torch.ones(2)}
    with pytest.raises(gate.Disagreement, match="output differs"):
        gate.agree("x", {"output": torch.tensor([1.0, torch.nan])}, fine)
    with pytest.raises(gate.Disagreement, match="float32"):
        gate.agree("x", {"output": torch.ones(2, dtype=torch.float64)}, fine)
    with pytest.raises(gate.Disagreement, match="returns"):
        gate.agree("x", {}, fine)


def test_a_contestant_must_be_at_work():
    model = torch.nn.Linear(3, 2)
    idle = Contestant("idle", model, lambda x: model(x).detach() + 0 * model(x), 2)
    with pytest.raises(gate.Disagreement, match="gradient of weight is missing, zero"):
        gate.check_at_work(idle, TINY)
    with pytest.raises(gate.Disagreement, match="returns"):
        gate.check_at_work(Contestant("short", model, lambda x: model(x[1:]), 2), TINY)


def test_contestants_take_turns(monkeypatch):
    model = torch.nn.Linear(3, 2)
    calls = []

    def named(name):
        def run(x):
            calls.append(name)
            return model(x)

        return Contestant(name, model, run, 2)

    turns = {"a": timing.Turns(1, 1), "b": timing.Turns(2, 3)}
    monkeypatch.setattr(timing, "plan", lambda costs, seconds: (3, turns))
    both = [named("a"), named("b")]
    times = timing.measure(both, TINY, seconds=1.0, clock="processor")
    # Forward and training, twice to warm up; then b stays out of round 1 and runs thrice in others.
    a, b = ["a"] * 2, ["b"] * 6
    assert calls == [*a, *a, *["b"] * 4, *a, *b, *a, *a, *b]
    rounds = {name: list(passes["training"]) for name, passes in times.items()}
    assert rounds == {"a": [0, 1, 2], "b": [0, 2]}


@pytest.mark.parametrize(
    "costs",
    [
        {"one": 1.0},
        {"fast": 1e-5, "slow": 60.0},
        {"a": 0.03, "b": 0.4, "c": 1.1, "d": 0.0004},
        {"a": 5.0, "b": 5.0},
    ],
)
def test_a_plan_keeps_to_its_seconds_and_pairs_rounds(costs):
    seconds = 20.0
    rounds, turns = timing.plan(costs, seconds)
    share = seconds / len(costs)
    taken_part = {name: set(range(0, rounds, turn.stride)) for name, turn in turns.items()}
    for name, turn in turns.items():
        assert timing.LEAST_TURNS <= len(taken_part[name]) <= timing.MOST_ROUNDS
        spent = len(taken_part[name]) * turn.repeats * costs[name]
        # A turn more than the share, or the least number of turns with the next smaller stride.
        least = (2 * timing.LEAST_TURNS + 1) * turn.repeats * costs[name]
        assert spent <= max(share + turn.repeats * costs[name], least)
    ordered = sorted(taken_part.values(), key=len)
    assert all(few <= many for few, many in pairwise(ordered))


def test_ratios_are_medians_of_rounds_in_which_both_ran():
    sample = {0: 1.0, 1: 2.0, 2: 4.0}
    times = {
        "memnets.NTM reference": dict.fromkeys(timing.PASSES, sample),
        "peer": {name: {0: 3.0, 2: 12.0} for name in timing.PASSES},
        LSTM: {name: {0: 0.5, 1: 0.5, 2: 1.0} for name in timing.PASSES},
    }
    model = torch.nn.Linear(1, 1)
    present = [Contestant(name, model, model, 1, own=name.startswith("memnets")) for name in times]
    found = list(compare.rows(TINY, present, times))
    assert [row["contestant"] for row in found[::2]] == list(times)
    assert found[0]["times_faster"] == {"peer": {"median": 3.0, "lower": 3.0, "upper": 3.0}}
    assert found[0]["ratio_to_lstm"] == {"median": 4.0, "lower": 3.0, "upper": 4.0}
    assert found[2]["ratio_to_lstm"] == {"median": 9.0, "lower": 7.5, "upper": 10.5}
    assert found[2]["times_faster"] == {}
    assert timing.Spread.of([2.0]) == timing.Spread(2.0, 2.0, 2.0)


def test_backends_with_the_references_own_code_are_not_timed():
    def reference():
        pass

    def other():
        pass

    backends = {"auto": reference, "reference": reference, "other": other}
    assert contestants.timed_backends(backends) == ["other"]
    assert contestants.timed_backends({**backends, "auto": other}) == ["other"]


def test_growth_has_a_line_for_each_backend_and_axis(tiny, capsys, tmp_path):
    target = tmp_path / "growth.json"
    flags = ["--growth", "--cases", "dnc-128x20", "--backends", "reference", "--seconds", "0.01"]
    assert command.main([*flags, "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "memory_size^" in printed
    assert printed.count("operations, thousands") == printed.count("KiB moved") == 2
    slots, steps = json.loads(target.read_text())["growth"]
    assert set(slots["microseconds_per_step"]) == {"memnets.DNC reference", LSTM}
    assert list(slots["microseconds_per_step"]["memnets.DNC reference"]) == ["4", "8"]
    assert steps["axis"] == "steps"
    assert steps["exponent"]["operations, thousands"] == 0, (
        "a step of a longer sequence costs as much"
    )
    counted = slots["counted"]["operations, thousands"]
    assert float(counted["8"]) > float(counted["4"])
    assert timing.exponent({5: 1.0}) is None


def test_profile_says_how_far_from_the_limit(tiny, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "peak_flops", lambda: 1e6)
    monkeypatch.setattr(limits, "copy_rate", lambda size: 1e6)
    target = tmp_path / "profile.json"
    flags = ["--profile", "--cases", "ntm-128x20", "--backend", "reference", "--seconds", "0.01"]
    assert command.main([*flags, "--json", str(target)]) == 0
    printed = capsys.readouterr().out
    assert "aten::" in printed
    assert "x the limit" in printed
    (found,) = json.loads(target.read_text())["profile"]
    for name, one in found["limits"].items():
        assert one["computing_microseconds"] == limits.step_flops(TINY, name)
        assert one["moving_microseconds"] == limits.step_bytes(TINY, name)
        slower = max(one["computing_microseconds"], one["moving_microseconds"])
        assert one["times_the_limit"] == pytest.approx(one["microseconds_per_step"] / slower)


def test_profile_of_a_backend_that_cannot_serve(tiny, monkeypatch, capsys):
    def refuse(layer, x, state, *others):
        raise ValueError("quick cannot.")

    monkeypatch.setitem(registry.BACKENDS, "quick", refuse)
    assert command.main(["--profile", "--backend", "quick"]) == 1
    assert "quick cannot." in capsys.readouterr().err


def test_peak_memory_is_that_of_a_fresh_process():
    small = replace(TINY, kind="DNC", memory_size=64, steps=20)
    large = replace(small, memory_size=256)
    few, many = (isolated.peak_memory(case, "reference") for case in (small, large))
    # MiB that one link more of every step takes.
    links = small.batch * small.steps * (256**2 - 64**2) * 4 / 2**20
    # What the gradient needs of a step holds two, and the step that is computed a few more.
    assert 2 * links < many["of_the_sequence"] - few["of_the_sequence"] < 3 * links
    assert many["mebibytes"] > many["of_the_sequence"]


def test_a_failure_in_a_fresh_process_is_told():
    found = isolated.peak_memory(TINY, "no such backend")
    assert "backend must be one of" in found["failed"]


def test_first_call_in_fresh_processes_with_caches_of_its_own(monkeypatch):
    asked = []

    def answer(request, case, environment):
        asked.append(environment)
        return {"first": 1.0, "second": 0.5}

    monkeypatch.setattr(isolated, "_ask", answer)
    found = isolated.first_call(TINY, "reference")
    assert list(found) == ["cold", "cached"]
    cold, cached = asked
    assert cold == cached
    assert {*isolated.CACHES, "HOME"} <= set(cold)
    assert not Path(cold["HOME"]).exists()


def test_first_and_second_call_are_timed():
    found = isolated.measure_first_call(TINY, {"backend": "reference"})
    assert min(found["first"], found["second"]) > 0


def test_every_task_has_its_rate(monkeypatch):
    assert data_rate.TASKS is tasks.TASKS
    short = {
        "copy": lambda: tasks.Copy(max_length=2),
        "sort": lambda: tasks.PrioritySort(length=16),
    }
    monkeypatch.setattr(data_rate, "TASKS", short)
    found = data_rate.rates(seconds=0.001, batch=2)
    assert set(found) == set(short)
    for one in found.values():
        assert one["ratio"] == pytest.approx(one["made"] / one["trained"])
    assert all(name in data_rate.page(found) for name in found)


@pytest.mark.parametrize("flags", [["--batch", "0"], ["--seconds", "-1"], ["--memory", "--tasks"]])
def test_bad_flags_are_refused(capsys, flags):
    with pytest.raises(SystemExit):
        command.main(flags)
    assert flags[0] in capsys.readouterr().err


def test_the_trainers_cost_is_a_share_of_an_iteration(capsys):
    trainer_cost.main(steps=3, rounds=1)
    printed = capsys.readouterr().out
    whole, network = (float(one) for one in re.findall(r"([\d.]+) ms", printed))
    share = float(re.search(r"own +([-\d.]+) %", printed)[1])
    assert share == pytest.approx(100 * (1 - network / whole), abs=0.2)


@pytest.mark.parametrize("kind", ["NTM", "DNC"])
def test_starts_are_compared_with_separate_runs(kind, capsys, monkeypatch):
    sizes = {"memory_size": 4, "word_size": 2, "batch": 3, "steps": 6, "rounds": 1}
    starts.main(kind, rates=(0.0, 0.5), **sizes)
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()[2:]]
    assert [row[0] for row in rows] == ["none", "0", "0.5"]
    assert all(float(row[-1]) < 1e-10 for row in rows[1:])
    # Of starts that are ignored, the difference shows.
    run = starts.train
    monkeypatch.setattr(starts, "train", lambda layer, x, _: run(layer, x, None))
    starts.main(kind, rates=(0.5,), **sizes)
    assert float(capsys.readouterr().out.split()[-1]) > 1e-3


def test_a_compiled_step_is_compared_with_the_eager_one(capsys, monkeypatch):
    sizes = {"memory_size": 4, "word_size": 2, "batch": 2, "steps": 3, "rounds": 1}
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **_: compiler(model, backend="eager"))
    graphs.main("NTM", **sizes, steps_a_round=1)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["output", "output"]
    assert all(float(row.split()[-1]) < 1e-5 for row in rows)
    # Of a graph that computes something else, the difference shows.
    monkeypatch.setattr(torch, "compile", lambda model, **_: lambda x: model(2 * x))
    graphs.main("NTM", **sizes, steps_a_round=1)
    assert float(capsys.readouterr().out.split()[-1]) > 1e-3


@pytest.mark.parametrize("kind", ["NTM", "DNC"])
def test_a_streams_steps_are_compared_with_the_layers(kind, capsys, monkeypatch):
    sizes = {"memory_size": 4, "word_size": 2, "batch": (1, 3), "rounds": 1}
    monkeypatch.setattr(steps, "CALLS", 1)
    steps.main(kind, **sizes)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1] for row in rows] == 2 * ["nn.LSTMCell", "memnets.Stream", "layer.step"]
    assert all(float(row[-1]) < 1e-12 for row in rows if row[1] == "memnets.Stream")
    # Of a state that is not carried on, the difference shows.
    step = memnets.Stream.step
    monkeypatch.setattr(
        memnets.Stream, "step", lambda self, x: step(self, x, torch.ones(len(x)).bool())
    )
    steps.main(kind, **sizes)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert all(float(row[-1]) > 1e-4 for row in rows if row[1] == "memnets.Stream")
