"""The metrics against slow loops, and where they could break."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import SYMBOLS, Batch, bits_per_sequence, exact_match, squared_error, wrong_bits
from tasks.costs import squared_errors, symbol_bits, wrong_symbols

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def random_batch(seed: int, steps: int, rows: int, outputs: int) -> tuple[torch.Tensor, Batch]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(steps, rows, outputs, generator=generator)
    mask = torch.randint(2, (steps, rows), generator=generator).float()
    targets = torch.randint(2, (steps, rows, outputs), generator=generator) * mask.unsqueeze(-1)
    return logits, Batch(torch.zeros(steps, rows, 1), targets, mask)


@SETTINGS
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 4), st.integers(1, 5))
def test_the_metrics_are_those_of_slow_loops(seed, steps, rows, outputs):
    logits, batch = random_batch(seed, steps, rows, outputs)
    bits, wrong = np.zeros(rows), np.zeros(rows)
    for row in range(rows):
        for step in range(steps):
            if batch.mask[step, row] == 0:
                continue
            for output in range(outputs):
                probability = 1 / (1 + math.exp(-float(logits[step, row, output])))
                if batch.targets[step, row, output] == 1:
                    bits[row] -= math.log2(probability)
                    wrong[row] += probability <= 0.5
                else:
                    bits[row] -= math.log2(1 - probability)
                    wrong[row] += probability > 0.5
    np.testing.assert_allclose(bits_per_sequence(logits, batch).numpy(), bits, 1e-4, 1e-5)
    np.testing.assert_array_equal(wrong_bits(logits, batch).numpy(), wrong)
    np.testing.assert_array_equal(exact_match(logits, batch).numpy(), wrong == 0)


@SETTINGS
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 4), st.integers(2, 5))
def test_the_metrics_of_symbols_are_those_of_slow_loops(seed, steps, rows, outputs):
    logits, batch = random_batch(seed, steps, rows, outputs)
    symbols = torch.randint(outputs, (steps, rows), generator=torch.Generator().manual_seed(seed))
    one_hot = torch.nn.functional.one_hot(symbols, outputs) * batch.mask.unsqueeze(-1)
    batch = batch._replace(targets=one_hot)
    bits, wrong = np.zeros(rows), np.zeros(rows)
    for row in range(rows):
        for step in range(steps):
            if batch.mask[step, row] == 0:
                continue
            odds = [math.exp(logit) for logit in logits[step, row].tolist()]
            bits[row] -= math.log2(odds[symbols[step, row]] / sum(odds))
            wrong[row] += max(odds) != odds[symbols[step, row]]
    np.testing.assert_allclose(symbol_bits(logits, batch).numpy(), bits, 1e-4, 1e-5)
    np.testing.assert_array_equal(wrong_symbols(logits, batch).numpy(), wrong)
    loss = SYMBOLS.loss(symbol_bits(logits, batch), batch)
    count = float(batch.mask.sum())
    if count:
        assert float(loss) == pytest.approx(bits.sum() * math.log(2) / count, rel=1e-4)


def test_a_symbol_that_is_not_ahead_is_wrong():
    targets = torch.tensor([[[1.0, 0.0, 0.0]]])
    batch = Batch(torch.zeros(1, 1, 1), targets, torch.ones(1, 1))
    for logits, wrong in (
        ([1.0, 0.0, 0.5], 0),
        ([1.0, 1.0, 0.5], 1),  # a tie
        ([math.nan, 0.0, 0.0], 1),
        ([1.0, math.nan, 0.0], 1),
        ([1.0, 2.0, 3.0], 1),
    ):
        assert wrong_symbols(torch.tensor([[logits]]), batch).tolist() == [wrong]


def test_squared_errors_by_hand():
    # Row 0: step 1 is scored, off by 0.5 and 0. Row 1: both steps, off by 1, 1, 0 and 0.125.
    outputs = torch.tensor([[[9.0, 9.0], [1.0, 1.0]], [[0.5, 1.0], [0.0, 0.125]]])
    targets = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    batch = Batch(torch.zeros(2, 2, 1), targets, torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    cost = squared_error(0.25)
    assert cost.per_sequence(outputs, batch).tolist() == [0.25, 2.015625]
    assert cost.errors(outputs, batch).tolist() == [1.0, 2.0]
    assert cost.measure(outputs, batch)["exact_match"].tolist() == [False, False]
    assert float(cost.loss(cost.per_sequence(outputs, batch), batch)) == pytest.approx(2.265625 / 6)
    assert cost.errors(targets, batch).tolist() == [0.0, 0.0]
    assert squared_error(1.5).errors(outputs, batch).tolist() == [0.0, 0.0]
    assert cost.errors(outputs * math.nan, batch).tolist() == [2.0, 4.0]


def test_a_worked_example():
    # Row 0: step 1 is scored, with p = 1/4 for a 1 and p = 1/2 for a 0, so 2 + 1 bits.
    # Row 1: both steps are scored, all with p = 1/2 for the truth, so 4 bits.
    logits = torch.tensor([[[9.0, 9.0], [0.0, 0.0]], [[-math.log(3), 0.0], [0.0, 0.0]]])
    targets = torch.tensor([[[0.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]]])
    batch = Batch(torch.zeros(2, 2, 1), targets, torch.tensor([[0.0, 1.0], [1.0, 1.0]]))
    torch.testing.assert_close(bits_per_sequence(logits, batch), torch.tensor([3.0, 4.0]))
    assert wrong_bits(logits, batch).tolist() == [1.0, 1.0]
    assert exact_match(logits, batch).tolist() == [False, False]
    assert exact_match(logits, batch).dtype == torch.bool


def test_huge_logits_cost_what_they_should():
    targets = torch.tensor([[[1.0, 0.0]]])
    batch = Batch(torch.zeros(1, 1, 1), targets, torch.ones(1, 1))
    right, wrong = torch.tensor([[[1e4, -1e4]]]), torch.tensor([[[-1e4, 1e4]]])
    assert bits_per_sequence(right, batch).tolist() == [0.0]
    torch.testing.assert_close(bits_per_sequence(wrong, batch), torch.tensor([2e4 / math.log(2)]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    # 300 bits of which each costs 1: bfloat16 sums would stop growing at 256.
    batch = Batch(torch.zeros(300, 1, 1), torch.ones(300, 1, 1), torch.ones(300, 1))
    cost = bits_per_sequence(torch.zeros(300, 1, 1, dtype=dtype), batch)
    assert cost.dtype == torch.float32
    torch.testing.assert_close(cost, torch.tensor([300.0]))


def test_double_precision_stays():
    logits, batch = random_batch(0, 4, 2, 3)
    assert bits_per_sequence(logits.double(), batch).dtype == torch.float64


def test_no_gradient_comes_from_steps_that_are_not_scored():
    logits, batch = random_batch(1, 6, 3, 2)
    logits.requires_grad_()
    bits_per_sequence(logits, batch).sum().backward()
    assert logits.grad is not None
    assert (logits.grad[batch.mask == 0] == 0).all()
    assert (logits.grad[batch.mask == 1] != 0).all()


def test_a_nan_is_never_right():
    batch = Batch(torch.zeros(2, 1, 1), torch.zeros(2, 1, 3), torch.ones(2, 1))
    logits = torch.full((2, 1, 3), float("nan"))
    assert wrong_bits(logits, batch).tolist() == [6.0]
    assert exact_match(logits, batch).tolist() == [False]


@pytest.mark.parametrize(
    "metric",
    [
        *(bits_per_sequence, wrong_bits, exact_match, symbol_bits, wrong_symbols, squared_errors),
        squared_error(0.1).errors,
    ],
)
@pytest.mark.parametrize("shape", [(4, 2, 1), (2, 4, 3), (4, 2), (1, 2, 3)])
def test_logits_of_another_shape_are_refused(metric, shape):
    _, batch = random_batch(0, 4, 2, 3)
    with pytest.raises(ValueError, match=r"targets' shape \[T, B, O\].*\[4, 2, 3\]: pass all"):
        metric(torch.zeros(shape), batch)
