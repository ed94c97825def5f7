"""A state as named tensors, and back."""

import pytest
import torch

import memnets
from tests.layers import WITH_STACKS, B, Case, assert_same, inputs, leaves


@pytest.mark.parametrize("case", WITH_STACKS, ids=str)
def test_round_trip(case: Case) -> None:
    layer = case.build()
    _, state = layer(inputs())
    tensors = memnets.flatten(state)
    assert len(tensors) == len(leaves(state))
    shuffled = dict(reversed(tensors.items()))
    assert_same(memnets.unflatten(shuffled, like=layer.initial_state(B)), state, tolerance=0)


def test_other_names_are_refused() -> None:
    state = memnets.NTM(3, 2, memory_size=4, word_size=2).initial_state(1)
    tensors = memnets.flatten(state)
    tensors["reads"] = tensors.pop("read_vectors")
    with pytest.raises(ValueError, match=r"missing: \['read_vectors'\], unknown: \['reads'\]"):
        memnets.unflatten(tensors, like=state)


def test_a_step_is_exported_for_any_number_of_rows() -> None:
    """The batch size is a symbol then, which the checks of sizes let through."""
    layer = memnets.NTM(3, 2, memory_size=4, word_size=2, hidden_size=5)

    class Fresh(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x_t: torch.Tensor) -> torch.Tensor:
            return self.layer.step(x_t)[0]

    rows = ({0: torch.export.Dim("rows", max=64)},)
    program = torch.export.export(Fresh(), (torch.zeros(2, 3),), dynamic_shapes=rows)
    x_t = torch.randn(7, 3)
    torch.testing.assert_close(program.module()(x_t), layer.step(x_t)[0])
