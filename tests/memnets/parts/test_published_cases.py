"""Small cases with known answers, as other implementations check them (values only)."""

import numpy as np
import pytest
import torch

from memnets import parts
from tests import samples
from tests.samples import assert_equal_to, tensor


def test_strength_one_and_plain_scores_give_a_softmax() -> None:
    """Unit keys, unit slots: the similarity is the dot product, the weighting its softmax."""
    random = np.random.default_rng(0)
    keys, slots = random.normal(size=(5, 3, 4)), random.normal(size=(5, 7, 4))
    keys /= np.linalg.norm(keys, axis=-1, keepdims=True)
    slots /= np.linalg.norm(slots, axis=-1, keepdims=True)
    actual = parts.content.content_weights(
        tensor(slots), tensor(keys), torch.ones(5, 3, dtype=torch.float64), epsilon=0.0
    )
    scores = np.exp(keys @ slots.transpose(0, 2, 1))
    assert_equal_to(actual, scores / scores.sum(-1, keepdims=True))


def test_cosine_weights_of_known_rows() -> None:
    """Keys equal to rows find them; the scores are numpy's own."""
    random = np.random.default_rng(1)
    slots, keys = random.normal(size=(5, 10, 2)), random.normal(size=(5, 4, 2))
    slots[0, :3] = [[1, 2], [3, 4], [5, 6]]
    keys[0] = [[5, 6], [1, 2], [5, 6], [3, 4]]
    strengths = 1 + np.log1p(np.exp(random.normal(size=(5, 4))))
    lengths = np.linalg.norm(keys, axis=-1)[..., None] * np.linalg.norm(slots, axis=-1)[:, None]
    scores = np.exp(strengths[..., None] * (keys @ slots.transpose(0, 2, 1)) / lengths)
    actual = parts.content.content_weights(
        tensor(slots), tensor(keys), tensor(strengths), epsilon=0.0
    )
    assert_equal_to(actual, scores / scores.sum(-1, keepdims=True))
    similarity = parts.content.cosine_similarity(tensor(slots), tensor(keys), epsilon=0.0)[0]
    best = similarity[torch.arange(4), torch.tensor([2, 0, 2, 1])]
    assert_equal_to(best, np.ones(4))


def test_smooth_cosine_of_known_rows() -> None:
    """An epsilon under the root lowers the similarity by less than epsilon / (2 |k|^2 |m|^2)."""
    rows = tensor([[[1, 2, 3], [2, 2, 2], [3, 2, 1], [0, 2, 4]]])
    key = tensor([[[2, 2, 2]]])
    exact = np.array([[[0.9258201, 1.0, 0.9258201, 0.7745967]]])
    actual = parts.content.cosine_similarity(rows, key, epsilon=1e-3)
    assert_equal_to(actual, exact, tolerance=1e-3 / (2 * 12 * 12) + 1e-7)
    assert (actual < tensor(exact) + 1e-7).all()


@pytest.mark.parametrize(
    ("weights", "shifts", "expected"),
    [
        ([1, 2, 3, 4, 5, 6, 7], [0, 0, 1], [7, 1, 2, 3, 4, 5, 6]),
        ([1, 2, 3, 4, 5, 6, 7], [1, 0, 0], [2, 3, 4, 5, 6, 7, 1]),
        ([0, 0, 1, 0, 0], [0.5, 0, 0.5], [0, 0.5, 0, 0.5, 0]),
        ([0, 0, 1, 0, 0], [0, 1, 0], [0, 0, 1, 0, 0]),
        ([1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0]),
        ([1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]),
        ([1, 2, 3, 4, 5], [0, 0, 1, 0, 1], [5, 7, 4, 6, 8]),
    ],
)
def test_circular_shift(weights: list, shifts: list, expected: list) -> None:
    actual = parts.location.shift(tensor([[weights]]), tensor([[shifts]]))
    assert_equal_to(actual, np.array([[expected]], dtype=float), tolerance=0)


# weighting, erase, add, and what that weighting then reads from a memory that began as ones
WRITES_IN_SEQUENCE = [
    ([1, 0, 0, 0], [1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]),
    ([0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]),
    ([0, 0, 1, 0], [0.5, 0, 0, 0.5], [0, 0, 0, 0], [0.5, 1, 1, 0.5]),
    ([0, 0, 0, 1], [0, 0, 0, 0.5], [0, 0, 0, 0.2], [1, 1, 1, 0.7]),
    ([0.5, 0.5, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0.525, 0.55, 0.575, 0.6]),
]


def test_writes_in_sequence() -> None:
    slots = torch.ones(1, 4, 4, dtype=torch.float64)
    for weights, erase, add, expected in WRITES_IN_SEQUENCE:
        w = tensor([[weights]])
        slots = parts.writing.write(slots, w, tensor([[erase]]), tensor([[add]]))
        assert_equal_to(parts.writing.read(slots, w), np.array([[expected]]), tolerance=1e-15)


def test_one_hot_writes_touch_their_slots_only() -> None:
    slots = tensor(np.random.default_rng(2).normal(size=(2, 5, 3)))
    one_hot = torch.eye(5, dtype=torch.float64)[torch.tensor([[1, 3], [0, 4]])]
    ones, zeros = torch.ones(2, 2, 3).double(), torch.zeros(2, 2, 3).double()
    values = tensor(np.random.default_rng(3).normal(size=(2, 2, 3)))
    written = one_hot.sum(1).bool()

    erased = parts.writing.write(slots, one_hot, ones, zeros)
    assert (erased[written] == 0).all()
    assert torch.equal(erased[~written], slots[~written])
    assert torch.equal(parts.writing.write(slots, one_hot, zeros, zeros), slots)
    replaced = parts.writing.write(slots, one_hot, ones, values)
    assert torch.equal(parts.writing.read(replaced, one_hot), values)
    assert torch.equal(replaced[~written], slots[~written])
    added = parts.writing.write(slots, one_hot, zeros, values)
    assert torch.equal(
        parts.writing.read(added, one_hot), parts.writing.read(slots, one_hot) + values
    )


def test_focus_on_an_identity_memory() -> None:
    focused = parts.location.focus(
        memory=torch.eye(4, dtype=torch.float64)[None],
        previous_weights=torch.full((1, 1, 4), 0.25, dtype=torch.float64),
        keys=tensor([[[1, 0, 0, 0]]]),
        strengths=tensor([[100]]),
        gates=tensor([[1]]),
        shifts=tensor([[[0, 1, 0]]]),
        sharpenings=tensor([[100]]),
    )
    assert_equal_to(focused, np.array([[[1.0, 0, 0, 0]]]), tolerance=1e-12)


def test_link_follows_one_hot_writes() -> None:
    """Random partial writes, then 0 then 1 by head 0, and 3 then 2 by head 1."""
    random = np.random.default_rng(4)
    link, precedence = torch.zeros(7, 5, 4, 4).double(), torch.zeros(7, 5, 4).double()
    for t in range(7):
        raw = random.random((7, 5, 4))
        weights = tensor(raw / (raw.sum(-1, keepdims=True) + 1))
        if t >= 5:
            weights[0, :2] = torch.eye(4, dtype=torch.float64)[[[0, 3], [1, 2]][t - 5]]
        link = parts.linkage.update_link(link, precedence, weights)
        precedence = parts.linkage.update_precedence(precedence, weights)
    one_hot = torch.eye(4, dtype=torch.float64)
    assert torch.equal(link[0, 0, :, 0], one_hot[1])
    assert torch.equal(link[0, 1, :, 3], one_hot[2])
    reads = one_hot[[0, 2]].expand(7, 2, 4)
    backward, forward = parts.linkage.directional_weights(link, reads)
    assert torch.equal(forward[0, 0, 0], one_hot[1])
    assert torch.equal(backward[0, 1, 1], one_hot[3])


def test_allocation_of_several_heads() -> None:
    """A head that writes by allocation takes its slot from the next head; one that does not, does
    not.
    """
    random = np.random.default_rng(5)
    usage = tensor(0.1 + 0.9 * random.random((7, 23)))
    usage[4, 4], usage[4, 3] = 0.0, 1e-4
    gates = tensor(random.random((7, 5)))
    gates[:, 0], gates[0, 1], gates[1, 2], gates[2, 3] = 1.0, 0.0, 0.0, 0.0
    gates[4, 1] = 1.0
    weights = parts.usage.allocate(usage, gates)
    assert (weights >= 0).all()
    assert (weights <= 1).all()
    assert_equal_to(weights.sum(-1), np.ones((7, 5)), tolerance=1e-3)
    assert torch.equal(weights[0, 1], weights[0, 2])
    assert torch.equal(weights[1, 2], weights[1, 3])
    assert torch.equal(weights[2, 3], weights[2, 4])
    assert ((weights[:, 0] - weights[:, 1]).abs().amax(-1) > 0.1).all()
    one_hot = np.eye(23)
    assert_equal_to(weights[4, 0], one_hot[4], tolerance=1e-3)
    assert_equal_to(weights[4, 1], one_hot[3], tolerance=1e-3)


def test_allocation_prefers_the_least_used_slot() -> None:
    usage = tensor(np.random.default_rng(6).random((7, 13)))
    weights = parts.usage.allocation(usage)
    assert torch.equal(weights.argmax(-1), usage.argmin(-1))
    assert torch.equal(weights.argmin(-1), usage.argmax(-1))
    assert_equal_to(weights.sum(-1), np.ones(7), tolerance=1e-2)


def test_link_update_from_a_link_that_is_not_empty() -> None:
    """One number by hand: (1 - 0.5 - 0.2) 0.4 + 0.5 * 0.3 = 0.27 at [0, 1]."""
    link = samples.tensor([[[[0, 0.4], [0.1, 0]]]])
    new = parts.linkage.update_link(link, tensor([[[0.6, 0.3]]]), tensor([[[0.5, 0.2]]]))
    expected = [[0, 0.3 * 0.4 + 0.5 * 0.3], [0.3 * 0.1 + 0.2 * 0.6, 0]]
    assert_equal_to(new, np.array([[expected]]), tolerance=1e-15)
