"""Games of POPGym: baselines with starts, runs that go on, and the page that says what they say."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from examples import ppo
from experiments import popgym, popgym_page
from experiments.popgym import Options, Recurrent, main
from tests.examples.test_ppo import Recall

PAGE = Path("docs/popgym.md")


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM])
def test_a_baseline_begins_anew_row_by_row(cell):
    torch.manual_seed(0)
    layer = Recurrent(cell, 3, 2, hidden_size=4).double()
    x, state = torch.randn(6, 3, 3, dtype=torch.float64), layer.initial_state(3)
    _, state = layer(x, state, starts=torch.zeros(6, 3, dtype=torch.bool))
    starts = torch.zeros(6, 3, dtype=torch.bool)
    starts[0, 0] = starts[2, 1] = starts[5, 1] = starts[3, 2] = True
    y, after = layer(x, state, starts=starts)
    now, rows = state, torch.arange(3)
    for t in range(6):
        now = tuple(torch.where(starts[t, :, None], torch.zeros_like(s), s) for s in now)
        packed = tuple(s[None] for s in now)
        h, end = layer.core(x[t : t + 1], packed if cell is nn.LSTM else packed[0])
        now = tuple(s[0] for s in (end if cell is nn.LSTM else (end,)))
        torch.testing.assert_close(y[t, rows], layer.readout(h[0]), rtol=1e-10, atol=1e-10)
    for one, other in zip(after, now, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.fixture
def tiny(monkeypatch):
    """Three updates of a small game in place of POPGym's."""
    calls = []

    def train(run, chosen):
        calls.append(run.name)
        found = ppo.train(Recall, popgym.MEMORIES[run.memory], chosen)
        return [next(found) for _ in range(3)]

    monkeypatch.setattr(popgym, "train", train)
    PAGE.parent.mkdir()
    small = ppo.Options(rows=4, steps=6, epochs=1, parts=2)
    options = {"games": ("Recall",), "memories": ("ntm", "gru"), "seeds": (0, 1), "ppo": small}
    return options, calls


def test_what_is_missing_is_trained_and_the_page_says_what_the_files_say(tiny):
    options, calls = tiny
    assert main(Options(**options, page=PAGE)) == 0
    names = [f"Recall-{memory}-seed{seed}" for seed in (0, 1) for memory in ("ntm", "gru")]
    assert calls == names
    files = [json.loads(Path(f"runs/popgym/{name}.json").read_text()) for name in names]
    assert all(file["curve"][-1]["steps"] == 3 * 4 * 6 for file in files)
    text = PAGE.read_text()
    cells = [popgym_page.cell([files[i], files[i + 2]]) for i in (0, 1)]
    assert f"| Recall | {cells[0]} | {cells[1]} |" in text
    assert "| game | NTM | GRU |" in text
    assert "seeds 0, 1" in text
    assert "rows 4, steps 6" in text
    assert (PAGE.parent / "pictures/popgym.png").is_file()
    assert len(json.loads((PAGE.parent / "results/popgym.json").read_text())) == 4

    # The second time, only what is lost is trained again, and what is around the marks stays.
    Path(f"runs/popgym/{names[1]}.json").unlink()
    PAGE.write_text(f"Before.\n{text}After.\n")
    assert main(Options(**options, page=PAGE)) == 0
    assert calls == [*names, names[1]]
    assert PAGE.read_text().startswith("Before.\n")
    assert PAGE.read_text().endswith("After.\n")


def test_a_run_of_other_settings_is_refused(tiny, capsys):
    options, _ = tiny
    assert main(Options(**options, page=PAGE)) == 0
    assert main(Options(**options, page=PAGE, minutes=2.0)) == 2
    said = capsys.readouterr().err
    assert "Recall-ntm-seed0.json was trained with other settings (minutes): move it away" in said


def test_nothing_to_write_and_a_page_without_marks(tiny, capsys):
    options, _ = tiny
    assert main(Options(**options, page=PAGE, only_write=True)) == 2
    assert "no run has been trained" in capsys.readouterr().err
    PAGE.write_text("# No marks\n")
    assert main(Options(**options, page=PAGE)) == 2
    assert "docs/popgym.md must have a line <!-- written by" in capsys.readouterr().err


def test_the_games_are_popgyms_and_a_training_runs():
    games = pytest.importorskip("popgym.envs", reason="the games need popgym: pip install popgym")
    options = ppo.Options(rows=2, steps=3, epochs=1, parts=1)
    for game in popgym.GAMES:
        row = next(ppo.train(getattr(games, game), popgym.MEMORIES["gru"], options))
        assert row["steps"] == 6
