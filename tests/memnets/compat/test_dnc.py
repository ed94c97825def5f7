"""`memnets.compat.dnc`: the numbers of PyPI's `dnc`, its calls, and what is refused by name."""

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from memnets.compat import dnc
from memnets.compat.dnc import DNC, SAM, SDNC, DifferenceWarning, converted

ROOT = Path(__file__).parents[3]
GOLDEN = np.load(ROOT / "tests" / "golden" / "dnc_pypi.npz")
SIZES: dict[str, Any] = {"nr_cells": 5, "cell_size": 3, "read_heads": 2}
CASES: dict[str, dict[str, Any]] = {
    "lstm": {"rnn_type": "lstm"},
    "gru": {"rnn_type": "GRU", "num_layers": 2},
    "rnn": {"rnn_type": "rnn", "num_layers": 2, "share_memory": False, "independent_linears": True},
}


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DifferenceWarning)
        yield


def golden(name: str) -> dict[str, Tensor]:
    """The arrays of a case, by the rest of their names."""
    return {
        key.removeprefix(f"{name}/"): torch.from_numpy(GOLDEN[key])
        for key in GOLDEN.files
        if key.startswith(f"{name}/")
    }


def weights(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    start = "weights/"
    return {key.removeprefix(start): one for key, one in arrays.items() if key.startswith(start)}


def hidden(arrays: dict[str, Tensor], when: str, *, share: bool) -> tuple[Any, Any, Tensor]:
    """(controller_hidden, memory, read_vectors) as dnc has them."""
    places = re.findall(rf"{when}/(controller|memory)/(\d+)/(\w+)", " ".join(arrays))
    entries: dict[str, dict[str, dict[str, Tensor]]] = {"controller": {}, "memory": {}}
    for kind, layer, key in places:
        entries[kind].setdefault(layer, {})[key] = arrays[f"{when}/{kind}/{layer}/{key}"]
    cells = [tuple(one.values()) for one in entries["controller"].values()]
    controllers = [cell if len(cell) == 2 else cell[0] for cell in cells]
    memories = list(entries["memory"].values())
    return controllers, memories[0] if share else memories, arrays[f"{when}/read_vectors"]


def network(name: str, *, reads: bool, backend: str = "auto") -> DNC:
    """The network of a case, with the epsilons of the golden file."""
    made = DNC(3, 4, **SIZES, **CASES[name]).double()
    made.load_state_dict(converted(weights(golden(name)), reads=reads))
    for layer in made._layers:
        layer.backend = backend
        layer.content = replace(layer.content, similarity_epsilon=1e-26)
        layer.allocation = replace(layer.allocation, resolution=0.0)
    return made


def assert_close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_a_sequence_is_dncs_step_by_step(name: str) -> None:
    """From a state that it left, with weights of its own: outputs and all of the state after."""
    arrays, share = golden(name), CASES[name].get("share_memory", True)
    made = network(name, reads=True)
    y, after = made(arrays["x"], hidden(arrays, "begin", share=share))
    assert_close(y, arrays["outputs"])
    controllers, memory, reads = hidden(arrays, "end", share=share)
    assert_close(after, (controllers, memory, reads))
    given = memory if share else memory[0]
    assert list(after[1] if share else after[1][0]) == list(given)


@pytest.mark.parametrize("name", CASES)
def test_a_network_that_was_trained_over_sequences_keeps_its_numbers(name: str) -> None:
    """dnc's controller saw reads of 0 there; set to 0, its weights onto them make the same."""
    arrays = golden(name)
    controllers, memory, reads = hidden(
        arrays, "begin", share=CASES[name].get("share_memory", True)
    )
    y, _ = network(name, reads=False)(arrays["x"], (controllers, memory, 0 * reads))
    assert_close(y, arrays["outputs_of_a_sequence"])
    assert not torch.allclose(y, arrays["outputs"], atol=1e-3)


def test_one_layer_runs_on_the_kernel() -> None:
    arrays = golden("lstm")
    y, after = network("lstm", reads=True, backend="fused")(
        arrays["x"], hidden(arrays, "begin", share=True)
    )
    assert_close(y, arrays["outputs"])
    assert_close(after[1], hidden(arrays, "end", share=True)[1])


@pytest.mark.parametrize("name", CASES)
def test_the_state_goes_on_and_the_first_axis_is_a_choice(name: str) -> None:
    arrays, made = golden(name), network(name, reads=True)
    x = arrays["x"]
    whole, end = made(x, None)
    first, state = made(x[:, :2])
    second, last = made(x[:, 2:], state)
    assert_close(torch.cat([first, second], dim=1), whole)
    assert_close(last, end)
    other = DNC(3, 4, batch_first=False, **SIZES, **CASES[name]).double()
    other.load_state_dict(made.state_dict())
    made = DNC(3, 4, **SIZES, **CASES[name]).double()
    made.load_state_dict(other.state_dict())
    y, _ = other(x.transpose(0, 1))
    assert_close(y.transpose(0, 1), made(x)[0])


@pytest.mark.parametrize("name", CASES)
def test_experience_is_reset_and_the_rest_goes_on(name: str) -> None:
    arrays, made = golden(name), network(name, reads=True)
    controllers, memory, reads = hidden(
        arrays, "begin", share=CASES[name].get("share_memory", True)
    )
    y, _ = made(arrays["x"], (controllers, memory, reads), reset_experience=True)
    assert_close(y, made(arrays["x"], (controllers, None, reads))[0])
    assert not torch.allclose(y, made(arrays["x"], (controllers, memory, reads))[0])


@pytest.mark.parametrize("name", CASES)
def test_beside_the_memory_the_controllers_run_alone(name: str) -> None:
    arrays, share = golden(name), CASES[name].get("share_memory", True)
    made, given = network(name, reads=True), hidden(golden(name), "begin", share=share)
    y, (controllers, memory, reads) = made(arrays["x"], given, pass_through_memory=False)
    assert reads is None
    assert_close(memory, given[1])
    h = arrays["x"]
    for layer, start in zip(made._layers, given[0], strict=True):
        torchs = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[name](
            h.shape[2] + 6, 4, num_layers=2, batch_first=True
        ).double()
        named = {
            f"{part}_l{depth}": one
            for depth, cell in enumerate(layer.controller.cells)
            for part, one in cell.named_parameters()
        }
        torchs.load_state_dict(named)
        inputs = torch.cat([h, given[2][:, None].expand(-1, 6, -1)], dim=2)
        h, end = torchs(inputs, start)
        assert_close(controllers.pop(0), end)
    assert_close(y, made.output(torch.cat([h, given[2][:, None].expand(-1, 6, -1)], dim=2)))


def test_what_a_network_says_of_itself() -> None:
    made = DNC(3, 4, rnn_type="gru", num_layers=2, num_hidden_layers=1, **SIZES)
    sizes = (made.input_size, made.hidden_size, made.nr_cells, made.cell_size, made.read_heads)
    assert sizes == (3, 4, 5, 3, 2)
    assert (made.rnn_type, made.num_layers, made.num_hidden_layers) == ("gru", 2, 1)


def test_debug_returns_the_steps_of_the_first_row() -> None:
    made = DNC(3, 4, num_layers=2, debug=True, **SIZES)
    y, (_, memory, _), arrays = made(torch.randn(2, 6, 3))
    assert y.shape == (2, 6, 3)
    shapes = {name: one.shape for name, one in arrays.items()}
    assert shapes == {
        "memory": (12, 15),
        "link_matrix": (12, 25),
        "precedence": (12, 5),
        "read_weights": (12, 10),
        "write_weights": (12, 5),
        "usage_vector": (12, 5),
    }
    for name, one in arrays.items():
        np.testing.assert_array_equal(one[-1], memory[name][0].flatten().detach().numpy())


def test_a_packed_sequence() -> None:
    made, x = DNC(3, 4, **SIZES), torch.randn(2, 6, 3)
    packed = pack_padded_sequence(x, torch.tensor([6, 4]), batch_first=True)
    y, state = made(packed)
    padded, _ = pad_packed_sequence(y, batch_first=True)
    short, after = made(x[1:, :4])
    torch.testing.assert_close(padded[1:, :4], short)
    torch.testing.assert_close(state[1]["memory"][1:], after[1]["memory"])


class Recommender(nn.Module):
    """The call pattern of medication recommenders: two encoders, whose memories a decoder reads."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            DNC(
                input_size=8,
                hidden_size=8,
                rnn_type="gru",
                num_layers=1,
                num_hidden_layers=1,
                nr_cells=16,
                cell_size=8,
                read_heads=1,
                batch_first=True,
                gpu_id=0,
                independent_linears=False,
            )
            for _ in range(2)
        )
        self.decoder = nn.GRUCell(16, 16)
        self.heads = nn.Linear(16, 2 * (8 + 1 + 3))

    def forward(self, codes: Tensor, states: list[Any], steps: int) -> tuple[Tensor, list[Any]]:
        after = []
        for encoder, state in zip(self.encoders, states, strict=True):
            _, end = encoder(codes, (None, None, None) if state is None else state)
            after.append(end)
        h = torch.cat([controllers[0] for controllers, _, _ in after], dim=-1)[0]
        reads = [vectors for _, _, vectors in after]
        outputs = []
        for _ in range(steps):
            h = self.decoder(torch.cat(reads, dim=-1), h)
            keys, strengths, modes = self.heads(h).view(1, 2, 12).split([8, 1, 3], dim=-1)
            reads = [
                encoder.memories[0]
                .read(
                    torch.tanh(keys[:, i : i + 1]),
                    nn.functional.softplus(strengths[:, i]),
                    torch.softmax(modes[:, i : i + 1], -1),
                    after[i][1],
                )[0]
                .squeeze(1)
                for i, encoder in enumerate(self.encoders)
            ]
            outputs.append(h)
        return torch.stack(outputs), after


@pytest.mark.parametrize("train", [True, False])
def test_memories_that_a_decoder_reads(train: bool) -> None:
    torch.manual_seed(0)
    model = Recommender().train(train)
    codes, states = torch.randn(1, 5, 8), [None, None]
    y, states = model(codes, states, 3)
    assert y.shape == (3, 1, 16)
    loss = y.square().sum()
    loss.backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if ".output." not in n)
    again, _ = model(codes, states, 3)
    assert again.isfinite().all()


def test_a_read_goes_on_from_the_read_before() -> None:
    """Backward along the link: what was written before, and then what before that."""
    made = DNC(3, 4, nr_cells=4, cell_size=2, read_heads=1)
    _, (_, memory, _) = made(torch.zeros(1, 1, 3))
    memory["memory"] = torch.eye(4)[None, :, :2].contiguous()
    link = torch.zeros(1, 1, 4, 4)
    link[0, 0, 1, 0] = link[0, 0, 2, 1] = 1  # 1 was written after 0, and 2 after 1
    memory["link_matrix"] = link
    memory["read_weights"] = torch.eye(4)[None, 2:3]
    backward = torch.tensor([[[1.0, 0.0, 0.0]]])
    for slot in (1, 0):
        vectors, same = made.memories[0].read(
            torch.zeros(1, 1, 2), torch.ones(1, 1), backward, memory
        )
        assert same is memory
        assert torch.equal(memory["read_weights"][0, 0], torch.eye(4)[slot])
        assert torch.equal(vectors[0, 0], torch.eye(4)[slot, :2])


def test_a_policy_that_keeps_its_state_in_nine_tensors() -> None:
    """The call pattern of RL wrappers: flat zeros first, an output layer of another size."""
    rows, hidden_size, cells, heads, word = 3, 32, 2, 4, 16
    core = DNC(
        input_size=7,
        hidden_size=hidden_size,
        num_layers=1,
        num_hidden_layers=1,
        read_heads=heads,
        cell_size=word,
        nr_cells=cells,
        nonlinearity="tanh",
        gpu_id=-1,
    )
    core.output = nn.Linear(core.output.in_features, hidden_size)
    shapes = [(1, hidden_size), (1, hidden_size), (heads * word,), (cells, word)]
    shapes += [(1, cells, cells), (1, cells), (heads, cells), (1, cells), (cells,)]
    flat = [torch.zeros(rows, *shape) for shape in shapes]
    keys = ["memory", "link_matrix", "precedence", "read_weights", "write_weights", "usage_vector"]
    for _ in range(2):
        h, c, reads, *memory = flat
        cell = (h.permute(1, 0, 2).contiguous(), c.permute(1, 0, 2).contiguous())
        state = ([cell], dict(zip(keys, memory, strict=True)), reads)
        y, ((cell, *_), after, reads) = core(torch.randn(rows, 5, 7), state)
        flat = [*(one.permute(1, 0, 2) for one in cell), reads, *after.values()]
        assert y.shape == (rows, 5, hidden_size)
        assert [tuple(one.shape[1:]) for one in flat] == shapes
    y.sum().backward()
    assert core.output.weight.grad is not None


def test_gradients_reach_every_weight() -> None:
    made = DNC(3, 4, num_layers=2, share_memory=False, **SIZES).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    y, (_, memory, _) = made(torch.randn(2, 5, 3).double())
    (y.square().sum() + sum(one["memory"].sum() for one in memory)).backward()
    assert not [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rnn_type": "transformer"}, "rnn_type must be one of lstm, gru, rnn; got 'transformer'."),
        ({"bias": False}, "bias must be True here; got False: leave it out."),
        ({"dropout": 0.1}, "dropout must be 0 here; got 0.1: put an nn.Dropout before or after"),
        ({"bidirectional": True}, "dnc ignored it; memnets.Bidirectional is so."),
        ({"nonlinearity": "relu"}, "nonlinearity must be 'tanh' here; got 'relu'"),
        ({"clip": 0.5}, "clip must be 0 or at least 1, as h is within [-1, 1] and is not"),
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1; got 0."),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number of at least 1"),
        ({"nr_cells": 0}, "nr_cells must be a whole number of at least 1; got 0."),
    ],
)
def test_arguments_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        DNC(3, 4, **settings)


@pytest.mark.parametrize("kind", [SAM, SDNC])
def test_the_sparse_classes_are_refused_by_name(kind: Any) -> None:
    with pytest.raises(
        NotImplementedError,
        match=rf"has no {kind.__name__}: .* Use DNC, or memnets.{kind.__name__}",
    ):
        kind(input_size=3, hidden_size=4, sparse_reads=2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ((None, None), "hx must be (controller_hidden, memory, read_vectors), as a call returns"),
        (([], None, None), "hx has in controller_hidden a list of one entry for each of 1 layers"),
        (([None], None, None), "A controller's state in hx must be h [L, B, hidden], or (h, c)"),
        ((None, {"memory": torch.zeros(1)}, None), "dictionary of memory, link_matrix, precedence"),
        ((None, [None], None), "The memory in hx must be a dictionary of memory, link_matrix"),
        (([torch.zeros(9, 9, 9)], None, None), "hx is not of this network and this input: hx of"),
        ((None, None, torch.zeros(3, 6)), "The read vectors in hx must be a tensor [B, R * W] ="),
        ((None, None, torch.zeros(2, 5)), "as a call returns; got (2, 5)."),
        ((None, None, [1]), "as a call returns; got list."),
    ],
)
def test_hidden_states_that_are_not_the_networks(changed: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        DNC(3, 4, **SIZES)(torch.zeros(2, 5, 3), changed)


def test_inputs_that_are_not_the_networks() -> None:
    made = DNC(3, 4, **SIZES)
    with pytest.raises(ValueError, match=r"input must be \[B, T, I\]; got \(5, 3\)"):
        made(torch.zeros(5, 3))
    for layers in (1, 2):
        several = DNC(3, 4, num_layers=layers, **SIZES)
        with pytest.raises(ValueError, match="x must have input_size=3 as its last axis"):
            several(torch.zeros(2, 5, 4))
        with pytest.raises(ValueError, match="x needs at least one step and one row"):
            several(torch.zeros(2, 0, 3))
        with pytest.raises(TypeError, match=r"x is torch\.float64 and the layer torch\.float32"):
            several(torch.zeros(2, 5, 3, dtype=torch.float64))
    packed = pack_padded_sequence(torch.zeros(2, 3, 3), torch.tensor([3, 2]), batch_first=True)
    with pytest.raises(ValueError, match="A PackedSequence is taken by a network of num_layers=1"):
        DNC(3, 4, num_layers=2, **SIZES)(packed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unknown": torch.zeros(1)}, "unknown is none of its names"),
        ({"rnn_layer_memory_shared.interface_weights.bias": None}, "it lacks"),
        ({"output.weight": None}, "nothing in it is output.weight"),
    ],
)
def test_weights_that_are_not_dncs(change: dict[str, Any], message: str) -> None:
    given = {**weights(golden("lstm")), **change}
    given = {name: one for name, one in given.items() if one is not None}
    with pytest.raises(ValueError, match=message):
        converted(given)


def test_a_gpu_that_is_not_there() -> None:
    dnc._warn_once.cache_clear()
    with (
        mock.patch.object(torch.cuda, "is_available", return_value=False),
        pytest.warns(DifferenceWarning, match="gpu_id=0, and torch finds no GPU here"),
    ):
        made = DNC(3, 4, gpu_id=0, **SIZES)
    assert {one.device.type for one in made.parameters()} == {"cpu"}


def test_the_first_network_says_what_differs_and_the_second_nothing() -> None:
    code = (
        "import warnings; warnings.simplefilter('always'); from memnets.compat.dnc import DNC;"
        "DNC(3, 4); DNC(3, 4)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("feeds what is read to the controller at the next step") == 1
    assert "<string>:1: DifferenceWarning" in done.stderr
