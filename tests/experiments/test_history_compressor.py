"""The history compressor: what is passed on, what each level sees, and that it bridges a lag."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from experiments import history_compressor
from experiments.history_compressor import (
    BATCH,
    NETWORKS,
    SYMBOLS,
    HistoryCompressor,
    Options,
    Plain,
    Predictor,
    compressed,
    main,
    sequences,
)


def test_events_beside_a_loop():
    random = np.random.default_rng(0)
    for _ in range(50):
        T, B = random.integers(1, 8), random.integers(1, 4)
        symbols, unexpected = random.integers(0, 9, size=(T, B)), random.random((T, B)) < 0.4
        unexpected[0] = True
        events, counts = compressed(torch.tensor(symbols), torch.tensor(unexpected))
        for b in range(B):
            kept = [int(symbols[t, b]) for t in range(T) if unexpected[t, b]]
            assert events[: len(kept), b].tolist() == kept
            assert not events[len(kept) :, b].any()
            assert counts[:, b].tolist() == [unexpected[: t + 1, b].sum() for t in range(T)]
        assert len(events) == counts.max()


def test_the_last_symbol_is_the_first_and_nothing_else_tells_it():
    symbols = sequences(200, 25, torch.Generator().manual_seed(0))
    assert symbols.shape == (28, 200)
    assert torch.equal(symbols[0], symbols[-1])
    assert 60 < symbols[0].sum() < 140
    assert (symbols[1:-1] == symbols[1:-1, :1]).all()
    assert symbols.max() == SYMBOLS - 1


def test_the_chunker_sees_what_the_automatizer_did_not_expect(monkeypatch):
    torch.manual_seed(0)
    model, symbols = HistoryCompressor(), sequences(3, 12, torch.Generator().manual_seed(1))
    seen = []
    model.chunker.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    shares = model.automatizer(symbols[:-1])[0].softmax(-1).detach()
    limit = float(shares.gather(-1, symbols[1:, :, None]).median())
    monkeypatch.setattr(history_compressor, "EXPECTED", limit)
    told = model(symbols)
    lengths = []
    for b in range(3):
        missed = [t for t in range(1, len(symbols)) if shares[t - 1, b, symbols[t, b]] < limit]
        expected = [int(symbols[t, b]) for t in (0, *missed)]
        lengths.append(len(expected))
        assert seen[0][: len(expected), b].tolist() == expected
        # Of what came before the last symbol, the chunker tells what is unexpected next.
        before = torch.tensor([symbols[t, b] for t in (0, *missed) if t < len(symbols) - 1])
        above = model.chunker(before[:, None])[0][-1, 0].argmax()
        passed_on = len(symbols) - 1 in missed
        assert told.by_both[b] == (above if passed_on else told.by_automatizer[b])
    assert told.events == np.mean(lengths, dtype=np.float32)


def test_the_automatizer_learns_within_its_window_and_not_from_the_chunker():
    torch.manual_seed(0)
    predictor, symbols = Predictor(nn.RNN), sequences(1, 12, torch.Generator())
    whole, parts = predictor(symbols)[0], predictor(symbols, 4)[0]
    torch.testing.assert_close(whole, parts)
    weight = predictor.core.weight_ih_l0
    far, near = (torch.autograd.grad(y[-1].sum(), weight)[0] for y in (whole, parts))
    before = symbols[-4]  # of 15 symbols: the last window has three, and this one is not among them
    assert far[:, before].any()
    assert not near[:, before].any()
    assert near[:, symbols[-3]].any()
    model = HistoryCompressor()
    model(symbols).loss.backward()
    imitated = model.chunker.core.weight_hh_l0.grad.clone()
    with torch.no_grad():
        model.imitation.weight.mul_(3)
    model.zero_grad()
    model(symbols).loss.backward()
    assert torch.equal(model.chunker.core.weight_hh_l0.grad, imitated)


def test_it_bridges_a_lag_beyond_its_window():
    rows = list(history_compressor.train("compressor", 24, 0, Options(steps=300, every=20)))
    assert [row["by_both"] for row in rows].count(1) > 3
    assert rows[0]["events"] > 20 > 8 > rows[-1]["events"]  # of 27 symbols
    assert rows[-1]["sequences"] == 300 * BATCH


def test_the_command_trains_what_is_missing_and_draws_it():
    options = Options(lags=(3,), seeds=(0, 1), steps=2, every=1, folder=Path("docs"))
    assert main(options) == 0
    found = json.loads(Path("docs/results/history_compressor.json").read_text())
    assert [(one["network"], one["seed"]) for one in found] == [
        (network, seed) for network in sorted(NETWORKS) for seed in (0, 1)
    ]
    assert [row["sequences"] for row in found[0]["curve"]] == [0, BATCH, 2 * BATCH]
    assert Path("docs/pictures/history_compressor.png").stat().st_size > 5_000
    kept = Path("runs/history_compressor/LSTM-lag3-seed0.json")
    changed = {**json.loads(kept.read_text()), "commit": "kept"}
    kept.write_text(json.dumps(changed))
    others = {"lags": (5,), "seeds": (2,), "networks": ("RNN",), "steps": 1, "every": 1}
    assert main(Options(**others, folder=Path("docs"))) == 0
    written = Path("docs/results/history_compressor.json").read_text()
    assert "kept" in written
    assert len(json.loads(written)) == len(found) + 1


def test_a_plain_network_sees_every_symbol():
    told = Plain(nn.LSTM)(sequences(2, 5, torch.Generator()))
    assert told.events == 8
    assert torch.equal(told.by_automatizer, told.by_both)
