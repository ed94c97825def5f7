"""Associative memories that are not trained: Hopfield's network and Kosko's BAM.

Hopfield 1982 ("Neural networks and physical systems with emergent collective computational
abilities", PNAS 79) and Kosko 1988 ("Bidirectional associative memories", IEEE Transactions on
Systems, Man, and Cybernetics 18). Patterns and states are of -1 and 1. The modern Hopfield network
is a part, `memnets.parts.hopfield`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def signs(fields: Tensor, before: Tensor) -> Tensor:
    """The sign of each field; a unit whose field is 0 stays as it was.

    >>> signs(torch.tensor([0.3, 0.0, -2.0]), torch.tensor([-1.0, -1.0, 1.0]))
    tensor([ 1., -1., -1.])
    """
    return torch.where(fields == 0, before, fields.sign())


def hopfield_weights(patterns: Tensor) -> Tensor:
    """Store patterns in a Hopfield network: `W = X^T X`, diagonal 0 (1982, eq. 2).

    Whole numbers: whether a unit's field is 0 is no question of rounding.

    Args:
        patterns: X, [patterns, units], of -1 and 1.

    Returns:
        W, [units, units], symmetric.

    >>> hopfield_weights(torch.tensor([[1.0, -1.0], [1.0, -1.0]]))
    tensor([[ 0., -2.],
            [-2.,  0.]])
    """
    return (patterns.T @ patterns).fill_diagonal_(0)


def hopfield_energy(weights: Tensor, states: Tensor) -> Tensor:
    """`E = -s^T W s / 2` of each state (1982, eq. 7), which no update of a unit raises.

    Args:
        weights: W, [units, units], symmetric with a diagonal of 0.
        states: s, [..., units].

    >>> weights = hopfield_weights(torch.tensor([[1.0, -1.0, 1.0, 1.0]]))
    >>> hopfield_energy(weights, torch.tensor([[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))
    tensor([-6., -0.])
    """
    return -((states @ weights) * states).sum(-1) / 2


def hopfield_update(weights: Tensor, states: Tensor, unit: int) -> Tensor:
    """The states after one unit has been updated: `s_i = sign(sum_j W_ij s_j)` (1982, eq. 1).

    Args:
        weights: W, [units, units], symmetric with a diagonal of 0.
        states: s, [..., units].
        unit: i.

    >>> weights = hopfield_weights(torch.tensor([[1.0, -1.0, 1.0, 1.0]]))
    >>> hopfield_update(weights, torch.tensor([1.0, 1.0, 1.0, 1.0]), 1)
    tensor([ 1., -1.,  1.,  1.])
    """
    after = states.clone()
    after[..., unit] = signs(states @ weights[unit], states[..., unit])
    return after


def hopfield_recall(weights: Tensor, states: Tensor, sweeps: int = 100) -> Tensor:
    """Update unit after unit, in their order, until no state changes, or so many times over.

    Args:
        weights: W, [units, units], symmetric with a diagonal of 0.
        states: where to begin, [..., units], of -1 and 1; 0 where nothing is known.
        sweeps: updates of every unit, at most.

    >>> patterns = torch.tensor([[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]])
    >>> hopfield_recall(hopfield_weights(patterns), torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0, 0.0]))
    tensor([ 1., -1.,  1., -1.,  1., -1.])
    """
    for _ in range(sweeps):
        before = states
        for unit in range(len(weights)):
            states = hopfield_update(weights, states, unit)
        if torch.equal(states, before):
            break
    return states


def bam_weights(keys: Tensor, values: Tensor) -> Tensor:
    """Store pairs in a bidirectional associative memory: `W = X^T Y` (1988).

    Args:
        keys: X, [pairs, key units], of -1 and 1.
        values: Y, [pairs, value units], of -1 and 1.

    Returns:
        W, [key units, value units].
    """
    return keys.T @ values


def bam_energy(weights: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """`E = -x^T W y` (1988), which updating all keys or all values never raises.

    Args:
        weights: W, [key units, value units].
        keys: x, [..., key units].
        values: y, [..., value units].

    >>> x, y = torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 1.0, -1.0]])
    >>> bam_energy(bam_weights(x, y), x, y)
    tensor([-6.])
    """
    return -((keys @ weights) * values).sum(-1)


def bam_recall(weights: Tensor, keys: Tensor, passes: int = 100) -> tuple[Tensor, Tensor]:
    """Resonate, `y = sign(W^T x)`, `x = sign(W y)`, until nothing changes, or so many times.

    Args:
        weights: W, [key units, value units].
        keys: where to begin, x, [..., key units], of -1 and 1.
        passes: there and back, at most.

    Returns:
        Keys and values; a value whose field was always 0 is 0.

    >>> keys = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0]])
    >>> values = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    >>> bam_recall(bam_weights(keys, values), torch.tensor([1.0, -1.0, 1.0, -1.0]))[1]
    tensor([ 1., -1.])
    """
    values = keys.new_zeros(*keys.shape[:-1], weights.shape[1])
    for _ in range(passes):
        before = keys, values
        values = signs(keys @ weights, values)
        keys = signs(values @ weights.T, keys)
        if torch.equal(keys, before[0]) and torch.equal(values, before[1]):
            break
    return keys, values
