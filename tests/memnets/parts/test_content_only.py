"""A DNC without a linkage: it reads by content alone, and nothing in it costs N^2.

Its equations are in test_oracle_access.py, its properties those of the table of tests/layers.py.
"""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import memnets
from memnets.state import leaves
from tests.layers import BY_NAME, B, I, O, inputs

SLOTS = 97
"""So many that N^2 is more than any other tensor of the layer has."""


class Sizes(TorchDispatchMode):
    """The number of elements of every tensor that an operation makes, and of its storage."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, list | tuple) else [made]:
            if isinstance(one, Tensor):
                self.largest = max(self.largest, one.numel())
        return made


def layer(**options: Any) -> memnets.DNC:
    torch.manual_seed(0)
    sizes = {"memory_size": SLOTS, "word_size": 4, "read_heads": 2, "write_heads": 2}
    return memnets.DNC(I, O, **sizes, hidden_size=6, backend="reference", **options)


def largest(made: memnets.DNC) -> tuple[int, int, int]:
    """Elements of the largest tensor of a state, of what a step and its backward make, and of what
    autograd keeps between them.
    """
    kept = [0]

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    state = made.initial_state(1)
    with Sizes() as sizes, torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        y, after = made(torch.ones(3, 1, I), state)
        (y.square().sum() + sum(leaf.sum() for leaf in leaves(after))).backward()
    biggest = max(leaf.numel() for leaf in (*leaves(state), *leaves(after)))
    return biggest, sizes.largest, max(kept)


def test_nothing_is_as_large_as_the_link_would_be() -> None:
    """Neither in the state nor among all that the forward and the backward make."""
    made = layer(linkage=None)
    assert max(parameter.numel() for parameter in made.parameters()) < SLOTS**2
    assert max(largest(made)) < SLOTS**2
    for count in largest(layer()):  # the same looks find the link where there is one
        assert count >= SLOTS**2


def test_its_state_names_no_link() -> None:
    state = layer(linkage=None).initial_state(B)
    assert (state.memory.link, state.memory.precedence) == ((), ())
    names = set(memnets.flatten(layer().initial_state(B)))
    assert names - set(memnets.flatten(state)) == {"memory.link", "memory.precedence"}
    assert set(memnets.flatten(state)) < names


def test_it_emits_no_read_modes() -> None:
    """R (2H + 1) numbers fewer, and the record names what each part receives."""
    without, whole = layer(linkage=None), layer()
    fewer = whole.interface.linear.out_features - without.interface.linear.out_features
    assert fewer == 2 * (2 * 2 + 1)
    trace = memnets.record(without, torch.zeros(3, I))
    assert isinstance(trace.interface, memnets.DNCParameters)
    assert trace.interface.linkage == ()
    assert trace.interface.read.keys.shape == (3, 2, 4)
    assert isinstance(memnets.record(whole, torch.zeros(3, I)).interface, memnets.DNCInterface)


def test_its_reads_are_the_softmax_of_its_strengths_times_cosines() -> None:
    content = memnets.Content(similarity_epsilon=1e-14)  # torch's cosine has none that counts
    made = BY_NAME["dnc_content_only"].build(content=content)
    trace = memnets.record(made, inputs())
    keys, memory = trace.interface.read.keys, trace.memory.memory
    cosines = torch.cosine_similarity(keys[:, :, :, None], memory[:, :, None], dim=-1)
    expected = torch.softmax(trace.interface.read.strengths[..., None] * cosines, dim=-1)
    torch.testing.assert_close(trace.memory.read_weights, expected, rtol=0, atol=1e-8)


def test_a_linkage_that_reads_by_content_gives_the_same() -> None:
    """The paper's DNC with its read modes all on content is the layer without a linkage."""
    without, whole = BY_NAME["dnc_content_only"].build(), BY_NAME["dnc_lstm"].build()
    modes = whole.interface.sizes[-1]
    with torch.no_grad():
        for name, one in without.named_parameters():
            other = whole.get_parameter(name)
            other[: len(one)].copy_(one)
        for head in range(whole.read_heads):
            start = whole.interface.linear.out_features - modes + 3 * head
            whole.interface.linear.weight[start : start + 3] = 0
            whole.interface.linear.bias[start : start + 3] = torch.tensor([-1e3, -1e3, 1e3])
    y, state = without(inputs())
    expected, other = whole(inputs())
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-10)
    assert other.memory.link.any()
    for name in ("memory", "usage", "read_weights", "write_weights"):
        one, wanted = getattr(state.memory, name), getattr(other.memory, name)
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-10)


def test_the_kernel_keeps_nothing_as_large_as_the_link() -> None:
    """What it keeps for a backward grows by N and not by N^2."""
    small, large = (numbers_kept(memory_size) for memory_size in (64, 128))
    assert large < 2.1 * small


def numbers_kept(memory_size: int) -> int:
    made = memnets.DNC(I, 2, memory_size=memory_size, linkage=None, backend="fused")
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        made(torch.zeros(8, 1, I))
    return max(tensor.numel() for tensor in kept)


def test_a_picture_of_a_link_that_is_not_there() -> None:
    plots = pytest.importorskip("memnets.inspect.plots")
    trace = memnets.record(layer(linkage=None), torch.zeros(3, I))
    with pytest.raises(ValueError, match="with linkage=None it has no link"):
        plots.link_figure(trace)
    assert plots.heads_figure(trace).axes
