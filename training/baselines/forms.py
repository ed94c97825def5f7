"""The forms of input that a baseline takes, the same as `nn.LSTM`: turned to [T, B, I] and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from memnets.checks import checked_lengths
from memnets.state import map_tensors

Run = Callable[[Tensor, Any, Tensor | None], tuple[Tensor, Any]]
"""(x [T, B, I], a state or None, lengths [B] or None) -> (y [T, B, O], the state after it)"""


def time_first(
    run: Run, x: Tensor, state: Any, lengths: Tensor | Sequence[int] | None, *, batch_first: bool
) -> tuple[Tensor, Any]:
    """Call `run` with x as [T, B, I]; return y and the state in the form that x has.

    Args:
        run: what computes a batch.
        x: [T, B, I], [B, T, I] with batch_first, or [T, I], where the state has no batch axis.
        state: the state to go on from; None: the initial one.
        lengths: steps of each row; y is 0 beyond them. None: all T.
        batch_first: whether the batch is the first axis of x and y.

    Raises:
        ValueError: lengths are not B whole numbers from 1 to T.

    >>> y, _ = time_first(lambda x, s, n: (x + 1, s), torch.zeros(2, 2, 1), (), [2, 1],
    ...                   batch_first=True)
    >>> y[..., 0].tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """
    if x.dim() == 2:
        alone = None if state is None else map_tensors(lambda part: part[None], state)
        y, after = _masked(run, x[:, None], alone, lengths)
        return y[:, 0], map_tensors(lambda part: part[0], after)
    if batch_first:
        y, after = _masked(run, x.transpose(0, 1), state, lengths)
        return y.transpose(0, 1), after
    return _masked(run, x, state, lengths)


def _masked(
    run: Run, x: Tensor, state: Any, lengths: Tensor | Sequence[int] | None
) -> tuple[Tensor, Any]:
    checked = checked_lengths(lengths, x)
    if checked is None:
        return run(x, state, None)
    checked = checked.to(torch.int64)
    y, after = run(x, state, checked)
    real = torch.arange(len(x), device=y.device)[:, None] < checked.to(y.device)
    return torch.where(real[..., None], y, torch.zeros_like(y)), after
