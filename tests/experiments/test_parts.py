"""A small task for each part: what the flags make, and what the command trains and writes."""

import json
import shlex
from pathlib import Path

import pytest

from experiments import parts
from experiments.parts import PARTS, Options, Part, main
from training.command_line import parser
from training.options.config import make_layer, make_task

TINY = (
    "--task copy --task.max-length 1 --task.bits 1 --model ntm --model.memory-size 3 "
    "--model.word-size 2 --model.controller.hidden-size 3 --run.sequences 320"
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_is_another_layer_on_a_small_task(part):
    config = parser.parse(shlex.split(part.flags))
    assert make_task(config).max_length == 2  # pyright: ignore[reportAttributeAccessIssue]
    plain = parts.DNC if config.model == "dnc" else parts.NTM
    other = parser.parse(shlex.split(f"--task {config.task} {plain}"))
    assert make_layer(config).config != make_layer(other).config


def test_names_differ():
    assert len({part.folder(Path()) for part in PARTS}) == len(PARTS)


def test_what_is_missing_is_trained_and_written(monkeypatch, capsys):
    monkeypatch.setattr(parts, "PARTS", (Part("one part", TINY), Part("other", TINY)))
    options = {"runs": Path("runs"), "folder": Path("docs")}
    assert main(Options(parts=("one part",), **options)) == 0
    (found,) = json.loads(Path("docs/results/parts.json").read_text())
    assert found["part"] == "one part"
    assert found["command"] == f"python train.py {TINY} --seed 0"
    assert 0 <= found["wrong_bits"] <= 1
    assert [count for count, _ in found["curve"]] == sorted(count for count, _ in found["curve"])
    assert Path("docs/pictures/parts.png").stat().st_size > 5_000
    before = Path("runs/one-part/metrics.jsonl").stat().st_mtime_ns
    assert main(Options(parts=("one part", "other"), **options)) == 0
    assert Path("runs/one-part/metrics.jsonl").stat().st_mtime_ns == before
    assert len(json.loads(Path("docs/results/parts.json").read_text())) == 2
    capsys.readouterr()
    assert main(Options(only_write=True, **{**options, "parts": ("other",)})) == 0
    assert "| one part |" in capsys.readouterr().out


def test_an_unknown_part(capsys):
    assert main(Options(parts=("none such",))) == 2
    assert "there is no part none such: there are softmax allocation" in capsys.readouterr().err
