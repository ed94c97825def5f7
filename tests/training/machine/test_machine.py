"""Device, precision, determinism and compilation: what they change, and what they must not."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import memnets
import train
from tests.training.tiny import arguments, rows
from training.baselines import lstm
from training.command_line.parser import parse
from training.machine import device
from training.options.config import to_json
from training.options.models import MODELS
from training.run import loop
from training.run.state import start

ROOT = Path(__file__).parents[3]


def losses(model, *more, steps=6):
    config = parse(arguments(model=model, more=more))
    training = start(config)
    return torch.stack([loop.train_step(config, training)["loss"] for _ in range(steps)])


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_learns_along_with_float32(model):
    whole, half = losses(model), losses(model, "--precision", "bf16")
    assert half.dtype == torch.float32
    assert half.isfinite().all()
    assert not torch.equal(whole, half)
    torch.testing.assert_close(half, whole, atol=0.02, rtol=0.02)


def test_the_lstm_learns_in_bfloat16_on_a_cpu_whose_onednn_has_no_such_lstm():
    """As with AVX2 alone, which oneDNN can be told; without oneDNN there is nothing to tell."""
    words = arguments("copy", "lstm", steps=6, more=["--run.log-every", "1"])
    assert train.main([*words, "--name", "whole"]) == 0
    found = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words, "--precision", "bf16", "--name", "half"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    if torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64"):
        assert (
            "no LSTM in bfloat16 for this CPU: the layers of the LSTM compute in float32"
            in found.stdout
        )
    whole, half = (
        torch.tensor([row["loss"] for row in rows(Path("runs", name)) if "loss" in row])
        for name in ("whole", "half")
    )
    assert len(half) == 6
    assert not torch.equal(whole, half)
    torch.testing.assert_close(half, whole, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 2]])
def test_layers_without_a_bfloat16_lstm_run_in_float32(monkeypatch, lengths, batch_first):
    monkeypatch.setattr(lstm, "cpu_trains_lstm", lambda dtype: False)
    layer = lstm.LSTM(3, 2, hidden_size=5, batch_first=batch_first)
    seen = []
    for inner in layer.layers:
        inner.register_forward_hook(lambda *given: seen.append(given[2][0]))
    x = torch.rand(2, 4, 3) if batch_first else torch.rand(4, 2, 3)
    wanted, _ = layer(x, lengths=lengths)
    seen.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = layer(x, lengths=lengths)
        layer(x.bfloat16().float(), state, lengths)
    assert y.dtype == torch.bfloat16
    parts = [getattr(output, "data", output) for output in seen]
    assert {part.dtype for part in parts} == {torch.float32}
    torch.testing.assert_close(y.float(), wanted, atol=0.02, rtol=0.02)
    y.float().sum().backward()
    gradients = [p.grad for p in layer.parameters() if p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in gradients)


def test_asking_for_a_bfloat16_lstm_changes_no_random_number():
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    with torch.inference_mode():
        assert lstm.cpu_trains_lstm.__wrapped__(torch.float32)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model lstm --precision bf16", True),
        ("--model lstm", False),
        ("--model ntm --precision bf16", False),
    ],
)
def test_what_runs_in_float32_is_said_at_the_start(monkeypatch, words, said):
    monkeypatch.setattr(lstm, "cpu_trains_lstm", lambda dtype: False)
    notes = device.notes(parse(words.split()))
    assert any("the layers of the LSTM compute in float32" in note for note in notes) == said
    monkeypatch.setattr(lstm, "cpu_trains_lstm", lambda dtype: True)
    assert device.notes(parse(words.split())) == []


@pytest.mark.parametrize("model", ["ntm", "dnc"])
def test_memory_and_weightings_stay_in_float32(model):
    config = parse(arguments(model=model, more=["--precision", "bf16"]))
    training = start(config)
    with device.autocast(config):
        y, state = training.layer(torch.rand(5, 2, training.task.input_size))
    assert y.dtype == torch.bfloat16
    assert {part.dtype for part in state.memory if isinstance(part, torch.Tensor)} == {
        torch.float32
    }
    # Widened before the softmax, not after: weightings of bfloat16 would sum to 1 within 2**-9.
    if model == "ntm":
        sums = state.memory.write_weights.sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-5, rtol=0)


def test_a_run_in_bfloat16_is_evaluated_and_loaded_in_float32():
    assert train.main(arguments(model="ntm", more=["--precision", "bf16", "--name", "half"])) == 0
    layer = memnets.load("runs/half")
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float32}
    assert len(rows(Path("runs/half"))) > 0


def test_deterministic_changes_no_number_on_the_cpu(request):
    request.addfinalizer(lambda: torch.use_deterministic_algorithms(False))
    for name, value in (("plain", "False"), ("strict", "True")):
        words = arguments(model="dnc", steps=6, more=["--name", name, "--deterministic", value])
        assert train.main(words) == 0
        assert torch.are_deterministic_algorithms_enabled() == (value == "True")
    assert rows(Path("runs/plain")) == rows(Path("runs/strict"))


@pytest.mark.parametrize("words", ["--compile", "--compile True", "--compile=True"])
def test_compile_is_short_for_a_backend(words):
    plain = parse(["--model.backend", "compiled"])
    assert to_json(parse(words.split())) == to_json(plain)
    assert parse([*words.split(), "--seed", "3"]).seed == 3


def test_the_lstm_has_nothing_to_compile(capsys):
    with pytest.raises(SystemExit):
        parse(["--model", "lstm", "--compile"])
    assert "there is no flag --model.backend" in capsys.readouterr().err


DEVICES = [
    ("abacus", "there is no such kind of device; say cpu, cuda, cuda:1 or mps"),
    ("meta", "it holds no numbers; say cpu, cuda or mps"),
    ("cuda", "finds no CUDA GPU; it takes a CUDA build of torch and an NVIDIA driver, or say"),
    ("mps", "torch finds no GPU of Apple's here; say --device cpu"),
]


@pytest.mark.parametrize(("name", "message"), DEVICES)
def test_a_missing_device_is_named_with_the_remedy(name, message, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        parse(["--device", name])
    error = capsys.readouterr().err
    assert f"--device {name} cannot be used: " in error
    assert message in error


def test_a_gpu_beyond_the_last_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.missing_device("cuda:2") == "there are 2 CUDA GPUs, and the first is cuda:0"


def test_what_bfloat16_cannot_be_beside(capsys, monkeypatch):
    assert parse(["--precision", "bf16", "--model.backend", "fused"]).precision == "bf16"
    monkeypatch.setattr(device, "missing_device", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(SystemExit):
        parse(["--precision", "bf16", "--device", "cuda"])
    assert "--precision bf16 needs a GPU with bfloat16" in capsys.readouterr().err


def test_several_processes_take_no_numbered_gpu(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(device, "missing_device", lambda name: None)
    with pytest.raises(SystemExit):
        parse(["--device", "cuda:0"])
    assert "--device must be cpu or cuda for 2 processes" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit):
        parse(["--device", "cuda:0"])
    assert capsys.readouterr().err == "", "said once, by the first"
