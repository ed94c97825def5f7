"""Masked content (Csordas and Schmidhuber 2019): beside a loop, and where masks change nothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memnets.parts.content import (
    Content,
    MaskedContentParameters,
    cosine_similarity,
)
from memnets.parts.masking import masked_similarity

EPSILON = 1e-6


def loop(memory, keys, masks, strengths):
    """Equation 3 as it stands: both sides times the mask, then the cosine, then the softmax."""
    B, N, W = memory.shape
    weights = np.zeros((B, keys.shape[1], N))
    for b in range(B):
        for r in range(keys.shape[1]):
            scores = []
            for slot in memory[b]:
                key = [keys[b, r, w] * masks[b, r, w] for w in range(W)]
                word = [slot[w] * masks[b, r, w] for w in range(W)]
                size = sum(x * x for x in key) * sum(x * x for x in word)
                product = sum(x * y for x, y in zip(key, word, strict=True))
                scores.append(strengths[b, r] * product / math.sqrt(size + EPSILON))
            powers = np.exp(np.array(scores) - max(scores))
            weights[b, r] = powers / powers.sum()
    return weights


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_beside_a_loop(seed, slots, word, heads):
    dice = np.random.default_rng(seed)
    memory, keys = dice.normal(size=(2, slots, word)), dice.normal(size=(2, heads, word))
    masks, strengths = dice.uniform(size=keys.shape), 1 + dice.exponential(size=(2, heads))
    given_ = MaskedContentParameters(*map(torch.from_numpy, (keys, strengths, masks)))
    found = Content(masked=True).weigh(torch.from_numpy(memory), given_)
    np.testing.assert_allclose(found, loop(memory, keys, masks, strengths), atol=1e-12)


def test_a_mask_of_ones_is_the_cosine():
    memory, keys = torch.randn(2, 5, 3).double(), torch.randn(2, 4, 3).double()
    found = masked_similarity(memory, keys, torch.ones_like(keys), EPSILON)
    torch.testing.assert_close(found, cosine_similarity(memory, keys, EPSILON))


def test_what_is_masked_reaches_nothing():
    memory, keys = torch.randn(1, 5, 3), torch.randn(1, 1, 3)
    masks = torch.tensor([[[1.0, 0.0, 1.0]]])
    found = masked_similarity(memory, keys, masks)
    memory[..., 1], keys[..., 1] = torch.randn(1, 5), 9.0
    torch.testing.assert_close(masked_similarity(memory, keys, masks), found)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    given_ = [torch.randn(2, n, 3, generator=generator, dtype=torch.float64) for n in (4, 2, 2)]
    arguments = [one.requires_grad_() for one in given_]
    assert torch.autograd.gradcheck(masked_similarity, arguments)


@pytest.mark.parametrize("masked", [None, 1, "yes"])
def test_a_switch(masked):
    with pytest.raises(ValueError, match="masked must be True or False"):
        Content(masked=masked)
