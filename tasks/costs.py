"""How answers are scored: as bits, as symbols or as real numbers.

>>> import torch
>>> from tasks.base import Batch
>>> batch = Batch(torch.zeros(3, 2, 1), torch.eye(4)[:3, None].expand(3, 2, 4), torch.ones(3, 2))
>>> SYMBOLS.per_sequence(torch.zeros(3, 2, 4), batch)  # 3 symbols of 4, guessed: 2 bits each
tensor([6., 6.])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tasks.base import Batch, bits_per_sequence, check_outputs, wrong_bits


class Cost(NamedTuple):
    """What a task charges for its answers; every function takes a network's outputs [T, B, O]."""

    name: str
    """of the cost in metrics: bits_per_sequence or squared_error"""
    per_sequence: Callable[[Tensor, Batch], Tensor]
    """the cost of each sequence, [B]; differentiable"""
    errors_name: str
    """of the errors in metrics; begins with `wrong_`"""
    errors: Callable[[Tensor, Batch], Tensor]
    """how many answers of each sequence are wrong, [B]"""
    activate: Callable[[Tensor], Tensor]
    """the outputs as probabilities or numbers that compare with the targets, [T, B, O]"""
    answers: Callable[[Batch], Tensor]
    """how many answers are scored in all, a scalar"""
    loss_unit: float
    """what one unit of the cost is in the loss: a bit is ln 2 nats"""
    accuracy: Callable[[Tensor, Batch], Tensor] | None = None
    """the share of the answers of each sequence that are right, [B], where the paper reports it"""

    def loss(self, per_sequence: Tensor, batch: Batch) -> Tensor:
        """The mean cost of an answer, a scalar: its scale does not grow with the sequences.

        >>> from tasks.base import Batch
        >>> batch = Batch(torch.zeros(5, 2, 1), torch.zeros(5, 2, 4), torch.ones(5, 2))
        >>> BITS.loss(torch.tensor([20.0, 20.0]), batch)  # all guessed: ln 2
        tensor(0.6931)
        """
        return per_sequence.sum() * self.loss_unit / self.answers(batch)

    def measure(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The cost, the errors, whether there are none, and the accuracy, by name, each [B].

        The accuracy is there where the cost has one.
        """
        errors = self.errors(outputs, batch)
        found = {
            self.name: self.per_sequence(outputs, batch),
            self.errors_name: errors,
            "exact_match": errors == 0,
        }
        if self.accuracy is not None:
            found["accuracy"] = self.accuracy(outputs, batch)
        return found


def symbol_bits(logits: Tensor, batch: Batch) -> Tensor:
    """The cross-entropy of the scored symbols, `-log2 softmax(logits)[symbol]`, [B] in bits.

    The targets are one-hot; half precision is computed in float32.

    Raises:
        ValueError: the logits have another shape than the targets.
    """
    check_outputs(logits, batch)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nats = -(logits.log_softmax(-1) * batch.targets.to(logits.dtype)).sum(-1)
    return (nats * batch.mask).sum(0) / math.log(2)


def wrong_symbols(logits: Tensor, batch: Batch) -> Tensor:
    """How many scored symbols do not have the highest logit, [B]; a NaN or a tie counts as wrong.

    Raises:
        ValueError: the logits have another shape than the targets.
    """
    check_outputs(logits, batch)
    return _wrong_steps(logits, batch).sum(0)


def _wrong_steps(logits: Tensor, batch: Batch) -> Tensor:
    """1 at the scored steps whose symbol does not have the highest logit, [T, B]."""
    symbol = batch.targets > 0.5
    right = torch.where(symbol, logits, -math.inf).amax(-1)
    others = torch.where(symbol, -math.inf, logits).amax(-1)
    return ~(right > others) * batch.mask  # a NaN compares as False, on either side


def wrong_questions(logits: Tensor, batch: Batch) -> Tensor:
    """How many questions of each sequence have a wrong symbol in their answer, [B].

    A question's answer is a row of scored steps without another step between them; as in
    `wrong_symbols`, a NaN or a tie counts as wrong.

    Raises:
        ValueError: the logits have another shape than the targets.

    >>> mask = torch.tensor([1.0, 1.0, 0.0, 1.0])[:, None]  # answers of two words and of one
    >>> batch = Batch(torch.zeros(4, 1, 1), torch.eye(2)[[0] * 4, None] * mask[..., None], mask)
    >>> wrong_questions(torch.eye(2)[[1, 1, 0, 0], None], batch)
    tensor([1.])
    """
    check_outputs(logits, batch)
    wrong = _wrong_steps(logits, batch)
    # Of each answer, the steps from its first to this one that are wrong.
    before = wrong.cumsum(0) - wrong
    began = torch.where(_begins(batch.mask), before, 0).cummax(0).values
    return ((wrong.cumsum(0) > began) & _begins(batch.mask.flip(0)).flip(0)).sum(0).to(logits.dtype)


def _begins(mask: Tensor) -> Tensor:
    """At which steps the answer of a question begins."""
    before = torch.cat([torch.zeros_like(mask[:1]), mask[:-1]])
    return (mask > 0) & (before == 0)


def squared_errors(outputs: Tensor, batch: Batch) -> Tensor:
    """The squared errors of the scored numbers, summed over time and outputs, [B].

    Raises:
        ValueError: the outputs have another shape than the targets.
    """
    check_outputs(outputs, batch)
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    return ((outputs - batch.targets.to(outputs.dtype)).square().sum(-1) * batch.mask).sum(0)


def squared_error(tolerance: float) -> Cost:
    """The cost of real numbers, each of which is wrong unless it is off by less than the tolerance.

    >>> from tasks.base import Batch
    >>> batch = Batch(torch.zeros(1, 2, 1), torch.ones(1, 2, 1), torch.ones(1, 2))
    >>> squared_error(0.1).errors(torch.tensor([[[1.05], [1.5]]]), batch)
    tensor([0., 1.])
    """

    def wrong_answers(outputs: Tensor, batch: Batch) -> Tensor:
        check_outputs(outputs, batch)
        close = (outputs - batch.targets).abs() < tolerance  # a NaN is not
        return ((~close).sum(-1) * batch.mask).sum(0)

    return Cost(
        "squared_error",
        squared_errors,
        "wrong_answers",
        wrong_answers,
        activate=lambda outputs: outputs,
        answers=lambda batch: batch.mask.sum() * batch.targets.shape[-1],
        loss_unit=1.0,
    )


BITS = Cost(
    "bits_per_sequence",
    bits_per_sequence,
    "wrong_bits",
    wrong_bits,
    activate=torch.sigmoid,
    answers=lambda batch: batch.mask.sum() * batch.targets.shape[-1],
    loss_unit=math.log(2),
)
SYMBOLS = Cost(
    "bits_per_sequence",
    symbol_bits,
    "wrong_symbols",
    wrong_symbols,
    activate=lambda logits: logits.softmax(-1),
    answers=lambda batch: batch.mask.sum(),
    loss_unit=math.log(2),
)
QUESTIONS = SYMBOLS._replace(
    errors_name="wrong_questions",
    errors=wrong_questions,
    answers=lambda batch: _begins(batch.mask).sum().to(batch.mask),
)
"""as `SYMBOLS`, but a question whose answer has several symbols is right if all of them are"""
