"""Rules of writing beside the published code of others: tests/golden/README.md has which."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from memnets.parts import decay_add, delta_rule, gated_delta, gated_delta_2, mlstm
from memnets.parts.writing import read

GOLDEN = Path(__file__).parents[2] / "golden" / "writing_rules.npz"
TOLERANCE = 1e-5


@pytest.fixture(scope="module", name="golden")
def _golden() -> dict[str, Tensor]:
    with np.load(GOLDEN) as arrays:
        return {name: torch.from_numpy(arrays[name]).double() for name in arrays.files}


def vectors(name: str, golden: dict[str, Tensor], t: int) -> Any:
    """What the rule takes at step t, of one write head."""
    v, writes = golden["add_vectors"][t][:, None], golden["write_gates"][t][:, None]
    rate, decay = golden["rates"][t][:, None], golden["decays"][t][:, None]
    if name == "delta_rule":
        return delta_rule.DeltaRuleVectors(v, rate)
    if name == "gated_delta":
        return gated_delta.GatedDeltaVectors(v, rate, decay)
    if name == "decay_add":
        return decay_add.DecayAddVectors(v)
    one = torch.ones_like(v)
    return gated_delta_2.GatedDelta2Vectors(
        v, writes, rate[..., None] * one, decay[..., None] * one
    )


RULES = {
    "delta_rule": delta_rule.DeltaRule(),
    "gated_delta": gated_delta.GatedDelta(),
    "gated_delta_2": gated_delta_2.GatedDelta2(),
    "decay_add": decay_add.DecayAdd(decay=0.9),
}


@pytest.mark.parametrize("name", RULES)
def test_the_published_numbers(name: str, golden: dict[str, Tensor]) -> None:
    memory, reads = golden["memory"], []
    for t, (weights, wanted) in enumerate(
        zip(golden["weights"], golden["read_weights"], strict=True)
    ):
        memory = RULES[name].write(memory, weights[:, None], vectors(name, golden, t))
        reads.append(read(memory, wanted[:, None])[:, 0])
    expected = golden[f"{name}/read_vectors"]
    torch.testing.assert_close(torch.stack(reads), expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(memory, golden[f"{name}/memory"], rtol=0, atol=TOLERANCE)


def test_the_published_numbers_of_an_mlstm(golden: dict[str, Tensor]) -> None:
    memory, rule = golden["memory"], mlstm.MLSTM()
    state = rule.initial_state(memory)
    for t, expected in enumerate(golden["mlstm/read_vectors"]):
        given = mlstm.MLSTMVectors(
            golden["add_vectors"][t][:, None],
            golden["log_input_gates"][t][:, None],
            logsigmoid(golden["forget_logits"][t][:, None]),
        )
        memory, state = rule.write(memory, golden["weights"][t][:, None], given, state)
        found = rule.read(memory, golden["read_weights"][t][:, None], state)[:, 0]
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)
    for name, found in {"memory": memory, **state._asdict()}.items():
        torch.testing.assert_close(found, golden[f"mlstm/{name}"], rtol=0, atol=TOLERANCE)
