"""The Tree-LSTM against a recursion over single numbers, and what its command writes."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from experiments import tree_network
from experiments.tree_network import (
    HIDDEN,
    NETWORKS,
    SYMBOLS,
    Options,
    TreeLSTM,
    drawn,
    forest,
    main,
    parsed,
)
from tasks.modular_arithmetic_brackets import MODULUS, evaluate


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def value(tree) -> int:
    if isinstance(tree, int):
        return tree % MODULUS if tree < MODULUS else -(tree - MODULUS) % MODULUS
    sign, left, right = tree[0], value(tree[1]), value(tree[2])
    return (left + right, left - right, left * right)[sign - 2 * MODULUS] % MODULUS


def test_a_tree_has_the_value_of_its_text():
    draws = random.Random(0)
    for length in range(1, 40):
        for text in drawn(5, length, draws)[0]:
            assert value(parsed(text)) == evaluate(text)


def test_states_beside_a_recursion():
    torch.manual_seed(0)
    model = TreeLSTM().double()
    weight, bias = (p.detach().numpy() for p in model.gates.parameters())

    def state(tree):
        x, sides = np.zeros(SYMBOLS), [(np.zeros(HIDDEN), np.zeros(HIDDEN))] * 2
        x[tree if isinstance(tree, int) else tree[0]] = 1
        if not isinstance(tree, int):
            sides = [state(tree[1]), state(tree[2])]
        z = weight @ np.concatenate([x, sides[0][0], sides[1][0]]) + bias
        i, left, right, o, u = z.reshape(5, HIDDEN)
        c = sigmoid(i) * np.tanh(u) + sigmoid(left) * sides[0][1] + sigmoid(right) * sides[1][1]
        return sigmoid(o) * np.tanh(c), c

    draws = random.Random(1)
    texts = [drawn(1, length, draws)[0][0] for length in (1, 4, 5, 17, 30)]
    trees = [parsed(text) for text in texts]
    together = forest(trees)
    expected = [np.concatenate(state(tree)) for tree in trees]
    found = model.states(together)[together.roots].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    read = model.readout(torch.tensor(np.array(expected))[:, :HIDDEN])
    torch.testing.assert_close(model(texts), read, rtol=0, atol=1e-10)


def test_the_gradient_through_the_structure(monkeypatch):
    monkeypatch.setattr(tree_network, "HIDDEN", 2)
    torch.manual_seed(0)
    model = TreeLSTM().double()
    texts = ["((1*(-3))-1)", "2", "(4+(-0))"]

    def answer(*values):
        names = [name for name, _ in model.named_parameters()]
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (texts,))

    assert torch.autograd.gradcheck(answer, tuple(model.parameters()))


def test_it_learns_sums_soon():
    torch.manual_seed(0)
    model, draws = TreeLSTM(), random.Random(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(400):
        texts, values = drawn(64, 5, draws)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(texts), values).backward()
        optimizer.step()
    assert tree_network.right(model, 5) > 0.8  # two digits and a sign; guessing has a fifth


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_answers(network):
    model = NETWORKS[network]()
    answers = model(["(1+2)", "(4*0)"])
    assert answers.shape == (2, MODULUS)
    assert not torch.equal(answers[0], answers[1])


def test_the_command_trains_what_is_missing_and_draws_it():
    options = Options(
        seeds=(0, 1), longest=6, lengths=(5, 9), steps=2, every=1, folder=Path("docs")
    )
    assert main(options) == 0
    found = json.loads(Path("docs/results/tree_network.json").read_text())
    assert [one["network"] for one in found] == [*NETWORKS, *NETWORKS]
    assert [row["expressions"] for row in found[0]["curve"]] == [0, 32, 64]
    assert set(found[0]["lengths"]) == {"5", "9"}
    assert Path("docs/pictures/tree_network.png").stat().st_size > 5_000
    kept = Path("runs/tree_network/LSTM-seed0.json")
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "commit": "kept"}))
    assert main(options) == 0
    assert "kept" in Path("docs/results/tree_network.json").read_text()
