"""The benchmark runs at tiny sizes, is red when results differ, and lives without other packages.

No times are asserted.
"""

import json
import sys
import types

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import contestants, gate, peers, report, timing
from benchmarks.contestants import Absent, Contestant, Group, Sizes
from memnets import compiled, unroll

TINY = Sizes(
    input_size=3, output_size=2, memory_size=4, word_size=3, hidden_size=5, batch=2, steps=3
)


@pytest.fixture(autouse=True)
def _nothing_is_compiled(monkeypatch):
    """It takes a minute in all."""
    monkeypatch.delitem(unroll.BACKENDS, "compiled")


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

    def forward(self, x):
        return self.linear(x), None


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "ntm").mkdir()
    (tmp_path / "ntm" / "__init__.py").write_text("")
    (tmp_path / "ntm" / "aio.py").write_text(NTM_STUB)
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


def compare(**options):
    given = {"rounds": 2, "clock": "wall", "ntm_repository": None, "json_path": None}
    return command.compare(TINY, **{**given, **options})


def test_table_and_json(tmp_path, repository, package):
    target = tmp_path / "times.json"
    printed = compare(ntm_repository=repository, json_path=target)
    content = json.loads(target.read_text())
    names = {row["contestant"] for row in content["rows"]}
    assert names >= {"memnets.NTM reference", "pytorch-ntm", "memnets.DNC reference", "dnc (PyPI)"}
    assert content["absent"] == []
    assert all(name in printed for name in names)
    assert {"processor", "cores", "threads", "torch", "python", "commit"} <= set(content["machine"])
    for row in content["rows"]:
        assert len(row["rounds"]) == 2
        assert min(row["rounds"]) > 0
        if row["contestant"].endswith("reference"):
            assert row["ratio_to_reference"] == {"median": 1, "lower": 1, "upper": 1}


def test_missing_packages_give_a_sentence(no_package):
    printed = compare(rounds=1)
    assert "pytorch-ntm is left out: no --ntm-repository" in printed
    assert "dnc (PyPI) is left out" in printed
    assert "pip install --no-deps dnc==1.1.0" in printed


def test_a_folder_that_is_no_repository(tmp_path):
    with pytest.raises(Absent, match=r"has no ntm/aio.py"):
        peers.pytorch_ntm(tmp_path)(TINY)


def test_a_repository_leaves_nothing_behind(repository, monkeypatch):
    mine = types.ModuleType("ntm")
    monkeypatch.setitem(sys.modules, "ntm", mine)
    before = list(sys.path)
    contestant = peers.pytorch_ntm(repository)(TINY)
    assert contestant.run(torch.zeros(3, 2, 3)).shape == (3, 2, 2)
    assert sys.modules["ntm"] is mine
    assert "ntm.aio" not in sys.modules
    assert sys.path == before


def test_backends_are_compared(monkeypatch):
    monkeypatch.setattr(compiled, "COMPILER", "eager")
    monkeypatch.setitem(unroll.BACKENDS, "compiled", compiled.compiled)
    sentences = gate.check_backends("NTM", TINY)
    assert any("memnets.NTM auto" in sentence for sentence in sentences)
    assert any("memnets.NTM compiled" in sentence for sentence in sentences)


@pytest.mark.parametrize("kind", ["NTM", "DNC"])
def test_the_gate_is_red_when_outputs_differ(monkeypatch, kind, capsys):
    def wrong(layer, x, state, lengths, checkpoint_every):
        right = unroll.reference(layer, x, state, lengths)
        return right._replace(h=right.h * (1 + 1e-4))

    monkeypatch.setitem(unroll.BACKENDS, "auto", wrong)
    with pytest.raises(gate.Disagreement, match=rf"memnets.{kind} auto: output differs"):
        gate.check_backends(kind, TINY)
    monkeypatch.setattr(command, "Sizes", lambda **_: TINY)
    assert command.main(["--rounds", "1"]) == 1
    assert "us/step" not in capsys.readouterr().out


def test_the_gate_is_red_when_only_gradients_differ(monkeypatch):
    def wrong(layer, x, state, lengths, checkpoint_every):
        right = unroll.reference(layer, x, state, lengths)
        fixed = right.h.detach()
        return right._replace(h=fixed + 1.001 * (right.h - fixed))

    monkeypatch.setitem(unroll.BACKENDS, "auto", wrong)
    with pytest.raises(gate.Disagreement, match="gradient of"):
        gate.check_backends("NTM", TINY)


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


def test_contestants_take_turns():
    model = torch.nn.Linear(3, 2)
    calls = []

    def named(name):
        def run(x):
            calls.append(name)
            return model(x)

        return Contestant(name, model, run, 2)

    times = timing.measure([named("a"), named("b")], TINY, rounds=2, clock="processor")
    assert calls == ["a", "a", "b", "b"] * 3  # forward and training; the first round warms up
    assert {name: len(passes["training"]) for name, passes in times.items()} == {"a": 2, "b": 2}


def test_ratios_are_medians_of_rounds():
    times = {
        "a": {name: [1.0, 2.0, 4.0] for name in timing.PASSES},
        "b": {name: [3.0, 4.0, 12.0] for name in timing.PASSES},
    }
    model = torch.nn.Linear(1, 1)
    present = {name: Contestant(name, model, model, 1) for name in times}
    found = list(report.rows([Group("g", "a", ("b", "absent"))], present, times))
    assert [row["contestant"] for row in found] == ["a", "a", "b", "b"]
    assert found[2]["ratio_to_reference"] == {"median": 3.0, "lower": 2.5, "upper": 3.0}
    assert timing.Spread.of([2.0]) == timing.Spread(2.0, 2.0, 2.0)


def test_backends_with_the_references_own_code_are_not_timed():
    def reference():
        pass

    def other():
        pass

    backends = {"auto": reference, "reference": reference, "other": other}
    assert contestants.timed_backends(backends) == ["other"]


def test_a_bad_number_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--rounds", "0"])
    assert "--rounds" in capsys.readouterr().err
