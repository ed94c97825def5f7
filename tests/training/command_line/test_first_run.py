"""What a newcomer sees before the first step: the backend, the compiler at work, Ctrl-C in it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import memnets
import train
from memnets.backends import registry
from memnets.backends.cpu import library
from tests.training.tiny import arguments
from training.report.console import Console

ROOT = Path(__file__).parents[3]
CACHED = (library.load, library.reason_against, registry._say_once, registry._warn_once)


@pytest.fixture
def no_compiler(monkeypatch):
    """A machine on which no kernel can be had."""
    monkeypatch.setenv("MEMNETS_KERNEL", "native")  # not one that came along
    monkeypatch.setattr(library, "compiler", lambda: None)
    for cached in CACHED:
        cached.cache_clear()
    yield
    for cached in CACHED:
        cached.cache_clear()


def test_the_introduction_names_the_backend(capsys):
    assert train.main(arguments("copy", "ntm", steps=1)) == 0
    assert "\n  backend  fused: one kernel for the whole sequence\n" in capsys.readouterr().out
    assert train.main(arguments("copy", "lstm", steps=1)) == 0
    assert "  backend  " not in capsys.readouterr().out


def test_without_a_compiler_the_introduction_says_what_it_costs(no_compiler, capsys):
    assert train.main(arguments("copy", "ntm", steps=1)) == 0
    out = capsys.readouterr().out
    row = "\n  backend  reference, about 30 times slower than the kernel: There is no C++ compiler"
    assert out.count(row) == 1
    assert "apt install g++" in out


def test_a_layer_warns_once_and_says_which_backend(no_compiler, recwarn):
    layer = memnets.NTM(3, 2, memory_size=4, word_size=2, hidden_size=3)
    x = layer.readout.weight.new_zeros(2, 1, 3)
    with pytest.warns(memnets.PerformanceWarning, match=r"30 times slower.*apt install g\+\+"):
        layer(x)
    layer(x)  # a second warning would be an error
    choice = layer.backend_for(x)
    assert choice.backend == "reference"
    assert "no C++ compiler" in choice.reason
    layer.backend = "fused"
    with pytest.raises(ValueError, match='backend="fused" cannot serve'):
        layer.backend_for(x)


def test_backend_for_takes_what_the_layer_takes():
    layer = memnets.DNC(3, 2, memory_size=4, word_size=2, hidden_size=3, batch_first=True)
    x = layer.readout.weight.new_zeros(1, 5, 3)
    state = layer(x)[1]
    assert layer.backend_for(x, state) == ("fused", None)
    assert layer.backend_for(x[0]) == ("fused", None)
    with pytest.raises(ValueError, match="input_size=3"):
        layer.backend_for(x[..., :2])
    layer.controller.register_forward_hook(lambda *_: None)
    assert "hooks" in layer.backend_for(x).reason


def test_ctrl_c_stops_the_compiler_and_leaves_nothing_on_the_reference(tmp_path):
    """Ctrl-C goes to every process of a terminal's session, the compiler among them."""
    slow = tmp_path / "slow"
    # It is asked for its macros first, and compiles then.
    slow.write_text(
        f'#!/bin/sh\ncase "$*" in *-shared*) touch {tmp_path}/started; exec sleep 100;; esac\n'
    )
    slow.chmod(0o755)
    command = [sys.executable, str(ROOT / "train.py")]
    environment = {
        **os.environ,
        "CXX": str(slow),
        "MEMNETS_KERNEL": "native",
        "MEMNETS_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    run = subprocess.Popen(
        [*command, *arguments("copy", "ntm", steps=1, more=["--name", "run"])],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "started").exists():
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    out, errors = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGINT, errors
    assert "compiling the kernel" in errors
    assert "to go on from the last checkpoint: python train.py --resume runs/run" in errors
    assert "reference" not in out + errors
    assert not list((tmp_path / "cache").glob("*.so"))
    assert not Path(f"/proc/{run.pid}").exists()


def test_the_bar_begins_with_the_first_step(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    console = Console(100, 20)
    assert capsys.readouterr().err == ""
    console.advance(10)
    console.close()
    assert "30/100" in capsys.readouterr().err
