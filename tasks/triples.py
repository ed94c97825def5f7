"""Sequences of labelled triples, as the graph tasks of the DNC's paper show and score them.

Graves et al. 2016 (Methods, "Graph task descriptions"). A triple has a source, an edge and a
destination, each a label from 0 to 999 whose three digits are one-hot, or blank: 90 numbers. Two
more channels mark the first step of each phase but the first, and every step of an answer. An
answer ends with a triple that stands for nothing in a graph, `END`.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tasks.base import Batch, Rows, check_outputs
from tasks.costs import Cost

LABELS = 1000
BLANK = LABELS
"""in place of a label that is not given"""
END = (0, 0, 0)
"""the triple that ends an answer; a triple of a graph has two nodes, whose labels differ"""
PLACES = (100, 10, 1)
DIGITS = 9
LABEL_SIZE = 30
TRIPLE_SIZE = 90
NEW_PHASE, ANSWER = 90, 91  # channels
INPUT_SIZE = 92

INPUT_ROWS = (
    *(Rows(name, LABEL_SIZE) for name in ("source", "edge", "destination")),
    Rows("new phase", 1),
    Rows("answer", 1),
)
OUTPUT_ROWS = INPUT_ROWS[:3]


class Phase(NamedTuple):
    """Some steps of all sequences of a batch: labels, or `BLANK`, of each step's triple."""

    shown: Tensor
    """[B, L, 3]"""
    due: Tensor | None = None
    """[B, L, 3], what is to be answered; None: nothing"""


@functools.cache
def _codes() -> Tensor:
    """The digits of each label, one-hot, and zeros for `BLANK`: [1001, 30]."""
    labels = torch.arange(LABELS)[:, None]
    digits = labels // torch.tensor(PLACES) % 10
    codes = one_hot(digits, 10).flatten(1).to(torch.float32)
    return torch.cat([codes, codes.new_zeros(1, LABEL_SIZE)])


def encode(labels: Tensor) -> Tensor:
    """Labels [..., 3] of triples as vectors [..., 90].

    >>> encode(torch.tensor([[0, BLANK, 12]])).nonzero()[:, 1]
    tensor([ 0, 10, 20, 60, 71, 82])
    """
    return _codes().to(labels.device)[labels].flatten(-2)


def decode(vectors: Tensor) -> Tensor:
    """The labels [..., 3] of vectors [..., 90]: the largest number of each ten is the digit.

    >>> decode(encode(torch.tensor([[999, 5, BLANK]]))).tolist()
    [[999, 5, 1000]]
    """
    digits = vectors.unflatten(-1, (3, 3, 10))
    labels = (digits.argmax(-1) * torch.tensor(PLACES, device=vectors.device)).sum(-1)
    return labels.masked_fill(digits.flatten(-2).sum(-1) == 0, BLANK)


def blank(like: Tensor) -> Tensor:
    """As many triples of which nothing is given."""
    return torch.full_like(like, BLANK)


def ended(triples: Tensor) -> Tensor:
    """The triples [B, L, 3] and the one that ends an answer: [B, L + 1, 3]."""
    end = torch.tensor(END, device=triples.device).expand(len(triples), 1, 3)
    return torch.cat([triples, end], dim=1)


def lay_out(phases: Sequence[Phase]) -> Batch:
    """The batch of sequences that go through these phases."""
    shown = encode(torch.cat([phase.shown for phase in phases], dim=1)).transpose(0, 1)
    inputs = shown.new_zeros(*shown.shape[:2], INPUT_SIZE)
    inputs[..., :TRIPLE_SIZE] = shown
    targets, mask = torch.zeros_like(shown), shown.new_zeros(shown.shape[:2])
    first = 0
    for phase in phases:
        end = first + phase.shown.shape[1]
        inputs[first, :, NEW_PHASE] = float(first > 0)
        if phase.due is not None:
            inputs[first:end, :, ANSWER] = 1
            targets[first:end] = encode(phase.due).transpose(0, 1)
            mask[first:end] = 1
        first = end
    return Batch(inputs, targets, mask)


def phases(inputs: Tensor) -> list[slice]:
    """The steps of each phase of the sequences with these inputs [T, B, 92]."""
    begins = [0, *inputs[:, 0, NEW_PHASE].nonzero().flatten().tolist(), len(inputs)]
    return [slice(first, end) for first, end in itertools.pairwise(begins)]


def digit_bits(logits: Tensor, batch: Batch) -> Tensor:
    """The cross-entropy of the digits of the scored triples, nine softmaxes a step, [B] in bits.

    Raises:
        ValueError: the logits have another shape than the targets.

    >>> batch = lay_out([Phase(blank(answer), answer) for answer in [torch.tensor([[[1, 2, 3]]])]])
    >>> digit_bits(torch.zeros(1, 1, 90), batch)  # 9 log2(10)
    tensor([29.8974])
    """
    check_outputs(logits, batch)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).unflatten(-1, (DIGITS, 10))
    right = (logits * batch.targets.to(logits.dtype).view_as(logits)).sum(-1)
    nats = (logits.logsumexp(-1) - right).sum(-1)
    return (nats * batch.mask).sum(0) / math.log(2)


def wrong_triples(logits: Tensor, batch: Batch) -> Tensor:
    """How many scored triples have a digit whose logit is not the highest of its ten, [B].

    A NaN or a tie counts as wrong.

    Raises:
        ValueError: the logits have another shape than the targets.
    """
    check_outputs(logits, batch)
    logits = logits.unflatten(-1, (DIGITS, 10))
    digit = batch.targets.view_as(logits) > 0.5
    right = torch.where(digit, logits, -math.inf).amax(-1)
    others = torch.where(digit, -math.inf, logits).amax(-1)
    return (~(right > others).all(-1) * batch.mask).sum(0)


TRIPLES = Cost(
    "bits_per_sequence",
    digit_bits,
    "wrong_triples",
    wrong_triples,
    activate=lambda logits: logits.unflatten(-1, (DIGITS, 10)).softmax(-1).flatten(-2),
    answers=lambda batch: batch.mask.sum(),
    loss_unit=math.log(2),
)
"""Nine digits a triple; a sequence is right, as the paper measures it, if no triple is wrong."""
TRIPLE_BITS = DIGITS * math.log2(10)
"""what a triple costs if it is guessed"""


def text(batch: Batch, row: int = 0) -> str:
    """A sequence in numbers, a phase a line: triples, `_` for a blank, what is due in brackets."""
    return "\n".join(
        " ".join(_said(batch, step, row) for step in range(phase.start, phase.stop))
        for phase in phases(batch.inputs)
    )


def _said(batch: Batch, step: int, row: int) -> str:
    shown, due = (
        said(decode(part[step, row, :TRIPLE_SIZE]).tolist())
        for part in (batch.inputs, batch.targets)
    )
    if not batch.mask[step, row]:
        return shown
    return f"[{due}]" if shown == "_-_-_" else f"{shown}[{due}]"


def said(labels: Sequence[int]) -> str:
    """A triple in numbers.

    >>> said([12, 345, BLANK])
    '12-345-_'
    """
    return "-".join("_" if label == BLANK else str(label) for label in labels)


def numbers(labels: Tensor) -> Iterator[list[tuple[int, int, int]]]:
    """The triples of each sequence, from labels [L, B, 3], as numbers of Python."""
    for row in labels.transpose(0, 1).tolist():
        yield [(source, edge, destination) for source, edge, destination in row]
