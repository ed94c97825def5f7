"""A small task for each part: what the flags make, and what the command trains and writes."""

import itertools
import json
import shlex
from pathlib import Path

from experiments import parts
from experiments.parts import PARTS, Options, Part, main
from training.command_line import parser
from training.options.config import make_layer, make_task

TINY = (
    "--task copy --task.max-length 1 --task.bits 1 --model ntm --model.memory-size 3 "
    "--model.word-size 2 --model.controller.hidden-size 3 --run.sequences 320"
)


def test_every_part_is_another_layer_or_has_another_task():
    configs = [parser.parse(shlex.split(part.flags)) for part in PARTS]
    made = [(make_task(config), make_layer(config).config) for config in configs]
    for (part, one), (other, two) in itertools.combinations(zip(PARTS, made, strict=True), 2):
        assert one != two, (part.name, other.name)


def test_names_differ():
    assert len({part.folder(Path()) for part in PARTS}) == len(PARTS)


def test_what_is_missing_is_trained_and_written(monkeypatch, capsys):
    monkeypatch.setattr(
        parts, "PARTS", (Part("one part", "an NTM", TINY), Part("other", "another", TINY))
    )
    options = {"runs": Path("runs"), "folder": Path("docs")}
    assert main(Options(parts=("one part",), **options)) == 0
    (found,) = json.loads(Path("docs/results/parts.json").read_text())
    assert found["part"] == "one part"
    assert found["command"] == f"python train.py {TINY} --seed 0"
    assert 0 <= found["wrong"] <= 2 * found["guessing"]
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
    assert "there is no part none such: there are nothing else" in capsys.readouterr().err
