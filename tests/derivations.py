"""The gradients of docs/derivations.md, each function named after its section of the page.

Each is the section's final form, written from the page and not from the kernel: it takes a
mechanism's arguments and the gradients of its results, and returns the gradients of the arguments,
as NumPy arrays with the axes of memnets.parts. Nothing is differentiated by a library, and no
number is divided by a factor that may be 0.
"""

import numpy as np
import torch

from memnets import parts
from memnets.parts import writing as slots

LIMIT = 1.5
EPSILON, SHARPEN_EPSILON, RESOLUTION = 1e-6, 1e-12, 2**-16


def forward(function, *arguments):
    """The value of a mechanism, which its gradient may need."""
    found = function(*map(torch.from_numpy, arguments))
    return found.numpy() if isinstance(found, torch.Tensor) else tuple(f.numpy() for f in found)


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def total(x):
    return x.sum(-1, keepdims=True)


def others(factors):
    """Of factors [B, heads, ...], the product of the other heads', for each head."""
    found = np.ones_like(factors)
    for h in range(1, factors.shape[1]):
        found[:, h] = found[:, h - 1] * factors[:, h - 1]  # those before
    after = np.ones_like(factors[:, 0])
    for h in reversed(range(factors.shape[1])):
        found[:, h] *= after  # and those after
        after = after * factors[:, h]
    return found


def begin_anew(fresh, state, d_state):
    """Of one step, at which every second row begins anew."""
    begins = np.arange(len(fresh)) % 2 == 0
    return begins[:, None] * d_state, ~begins[:, None] * d_state


# ---------------------------------------------------------------------------- ranges


def real(x, d_y):
    return (d_y,)


def unit(x, d_y):
    y = 1 / (1 + np.exp(-x))
    return (d_y * y * (1 - y),)


def bounded(x, d_y):
    return (d_y * (1 - np.tanh(x) ** 2),)


def simplex(x, d_y):
    y = softmax(x)
    return (y * (d_y - total(y * d_y)),)


def positive(x, d_y):
    return (d_y / (1 + np.exp(-x)),)


def oneplus(x, d_y):
    return positive(x, d_y)


def values(x, d_y):
    """Of a field with the range `oneplus` and a limit."""
    (d_x,) = oneplus(x, d_y)
    return (np.where(1 + np.log1p(np.exp(x)) < LIMIT, d_x, 0.0),)


# ----------------------------------------------------------------------------- cells


def linear(z, weight, bias, d_p):
    return d_p @ weight, d_p.T @ z, d_p.sum(0)


def lstm(x, h, c, weight_ih, weight_hh, bias_ih, bias_hh, d_h, d_c):
    p = x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh
    p_i, p_f, p_g, p_o = np.split(p, 4, axis=-1)
    i, f, o = (1 / (1 + np.exp(-q)) for q in (p_i, p_f, p_o))
    g = np.tanh(p_g)
    t = np.tanh(f * c + i * g)
    d_c = d_c + d_h * o * (1 - t**2)
    d_p = [
        d_c * g * i * (1 - i),
        d_c * c * f * (1 - f),
        d_c * i * (1 - g**2),
        d_h * t * o * (1 - o),
    ]
    d_p = np.concatenate(d_p, axis=-1)
    d_x, d_weight_ih, d_bias_ih = linear(x, weight_ih, bias_ih, d_p)
    d_before, d_weight_hh, d_bias_hh = linear(h, weight_hh, bias_hh, d_p)
    return d_x, d_before, d_c * f, d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh


def gru(x, h, weight_ih, weight_hh, bias_ih, bias_hh, d_h):
    of_x = np.split(x @ weight_ih.T + bias_ih, 3, axis=-1)
    of_h = np.split(h @ weight_hh.T + bias_hh, 3, axis=-1)
    r, u = (1 / (1 + np.exp(-(of_x[k] + of_h[k]))) for k in (0, 1))
    n = np.tanh(of_x[2] + r * of_h[2])
    d_q = d_h * (1 - u) * (1 - n**2)
    d_r = d_q * of_h[2] * r * (1 - r)
    d_u = d_h * (h - n) * u * (1 - u)
    d_of_x = np.concatenate([d_r, d_u, d_q], axis=-1)
    d_of_h = np.concatenate([d_r, d_u, d_q * r], axis=-1)
    d_x, d_weight_ih, d_bias_ih = linear(x, weight_ih, bias_ih, d_of_x)
    d_before, d_weight_hh, d_bias_hh = linear(h, weight_hh, bias_hh, d_of_h)
    return d_x, d_before + d_h * u, d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh


def elman(x, h, weight_ih, weight_hh, bias_ih, bias_hh, d_h):
    y = np.tanh(x @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh)
    d_p = d_h * (1 - y**2)
    d_x, d_weight_ih, d_bias_ih = linear(x, weight_ih, bias_ih, d_p)
    d_before, d_weight_hh, d_bias_hh = linear(h, weight_hh, bias_hh, d_p)
    return d_x, d_before, d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh


def feedforward(x, weight, bias, d_h):
    return linear(x, weight, bias, np.where(x @ weight.T + bias > 0, d_h, 0.0))


def feedforward_tanh(x, weight, bias, d_h):
    return linear(x, weight, bias, d_h * (1 - np.tanh(x @ weight.T + bias) ** 2))


# ---------------------------------------------------------------------------- memory


def product(factors, d_result):
    return (d_result[:, None] * others(factors),)


def read(memory, weights, d_vectors):
    return weights.swapaxes(1, 2) @ d_vectors, d_vectors @ memory.swapaxes(1, 2)


def write(memory, weights, erase, add, d_memory):
    outer = weights[..., None] * erase[:, :, None, :]
    erased = d_memory[:, None] * memory[:, None] * others(1 - outer)
    d_weights = d_memory[:, None] * add[:, :, None, :] - erased * erase[:, :, None, :]
    d_before = d_memory * np.prod(1 - outer, axis=1)
    d_erase = -(erased * weights[..., None]).sum(2)
    return d_before, d_weights.sum(-1), d_erase, weights @ d_memory


# ------------------------------------------------------------------------ by content


def cosine_similarity(memory, keys, d_s):
    of_slots, of_keys = (memory**2).sum(-1)[:, None], (keys**2).sum(-1)[..., None]
    rho = 1 / np.sqrt(of_keys * of_slots + EPSILON)
    s = keys @ memory.swapaxes(1, 2) * rho
    d_t, d_q = d_s * rho, -d_s * s * rho**2 / 2
    d_keys = d_t @ memory + 2 * keys * total(d_q * of_slots)
    d_memory = d_t.swapaxes(1, 2) @ keys + 2 * memory * (d_q * of_keys).sum(1)[..., None]
    return d_memory, d_keys


def masked_similarity(memory, keys, masks, d_s):
    passes = masks**2
    of_slots, of_keys = passes @ (memory**2).swapaxes(1, 2), (passes * keys**2).sum(-1)[..., None]
    rho = 1 / np.sqrt(of_keys * of_slots + EPSILON)
    s = (passes * keys) @ memory.swapaxes(1, 2) * rho
    d_t, d_q = d_s * rho, -d_s * s * rho**2 / 2
    along, squared, d_norm = d_t @ memory, d_q @ memory**2, total(d_q * of_slots)
    d_keys = passes * (along + 2 * keys * d_norm)
    d_masks = 2 * masks * (keys * along + of_keys * squared + keys**2 * d_norm)
    d_memory = d_t.swapaxes(1, 2) @ (passes * keys)
    d_memory += 2 * memory * ((d_q * of_keys).swapaxes(1, 2) @ passes)
    return d_memory, d_keys, d_masks


def content_weights(memory, keys, strengths, d_c):
    of_slots, of_keys = (memory**2).sum(-1)[:, None], (keys**2).sum(-1)[..., None]
    s = keys @ memory.swapaxes(1, 2) / np.sqrt(of_keys * of_slots + EPSILON)
    (d_x,) = simplex(strengths[..., None] * s, d_c)
    d_memory, d_keys = cosine_similarity(memory, keys, strengths[..., None] * d_x)
    return d_memory, d_keys, (d_x * s).sum(-1)


# ---------------------------------------------------------------------- of few words


def read_words(words, keys, strengths, d_weights, d_vectors):
    """Head after head, whose words are the memory of `content_weights`."""
    found = []
    for h in range(words.shape[1]):
        memory, key, strength = words[:, h], keys[:, h : h + 1], strengths[:, h : h + 1]
        d_w = d_weights[:, h : h + 1] + d_vectors[:, h : h + 1] @ memory.swapaxes(1, 2)
        d_memory, d_key, d_strength = content_weights(memory, key, strength, d_w)
        weights = _content(memory, key, strength)
        d_memory = d_memory + weights.swapaxes(1, 2) * d_vectors[:, h : h + 1]
        found.append((d_memory[:, None], d_key, d_strength))
    return tuple(np.concatenate(one, axis=1) for one in zip(*found, strict=True))


def _content(memory, keys, strengths):
    squares = (memory**2).sum(-1)[:, None] * (keys**2).sum(-1)[..., None]
    x = strengths[..., None] * (keys @ memory.swapaxes(1, 2)) / np.sqrt(squares + EPSILON)
    weights = np.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def added_words(read_weights, write_gates, reuse_gates, vectors, d_weights, d_added):
    gate, reuse = write_gates[..., None], reuse_gates[..., None]
    shares = np.concatenate([reuse * read_weights, 1 - reuse], axis=-1)
    d_w = d_weights + (d_added @ vectors[..., None])[..., 0]
    d_vectors = ((gate * shares)[..., None] * d_added).sum(-2)
    of_last = d_w[..., :-1]
    d_reuse = write_gates * ((of_last * read_weights).sum(-1) - d_w[..., -1])
    return gate * reuse * of_last, (d_w * shares).sum(-1), d_reuse, d_vectors


# ----------------------------------------------------------------------- by location


def interpolate(content, previous, gates, d_w):
    g = gates[..., None]
    return g * d_w, (1 - g) * d_w, (d_w * (content - previous)).sum(-1)


def shift(weights, shifts, d_v):
    reach, i = shifts.shape[-1] // 2, np.arange(weights.shape[-1])
    d_weights, d_shifts = np.zeros_like(weights), np.zeros_like(shifts)
    for j in range(-reach, reach + 1):
        ahead, behind = (i + j) % len(i), (i - j) % len(i)
        d_weights += d_v[..., ahead] * shifts[..., j + reach, None]
        d_shifts[..., j + reach] = (d_v * weights[..., behind]).sum(-1)
    return d_weights, d_shifts


def sharpen(weights, sharpenings, d_y):
    logarithms, gamma = np.log(weights + SHARPEN_EPSILON), sharpenings[..., None]
    (d_x,) = simplex(gamma * logarithms, d_y)
    return gamma * d_x / (weights + SHARPEN_EPSILON), (d_x * logarithms).sum(-1)


def focus(memory, previous, keys, strengths, gates, shifts, sharpenings, d_w):
    content = forward(parts.content.content_weights, memory, keys, strengths)
    gated = forward(parts.location.interpolate, content, previous, gates)
    shifted = forward(parts.location.shift, gated, shifts)
    d_shifted, d_sharpenings = sharpen(shifted, sharpenings, d_w)
    d_gated, d_shifts = shift(gated, shifts, d_shifted)
    d_content, d_previous, d_gates = interpolate(content, previous, gates, d_gated)
    d_memory, d_keys, d_strengths = content_weights(memory, keys, strengths, d_content)
    return d_memory, d_previous, d_keys, d_strengths, d_gates, d_shifts, d_sharpenings


# -------------------------------------------------------------------------- by usage


def retention(reads, free_gates, d_psi):
    f = free_gates[..., None]
    (d_factors,) = product(1 - f * reads, d_psi)
    return -f * d_factors, -(d_factors * reads).sum(-1)


def wipe_freed(memory, psi, d_memory):
    return psi[..., None] * d_memory, (d_memory * memory).sum(-1)


def update_usage(usage, writes, psi, d_usage):
    raised = [usage]
    for h in range(writes.shape[1]):
        raised.append(raised[-1] + (1 - raised[-1]) * writes[:, h])
    d, d_writes = d_usage * psi, np.zeros_like(writes)
    for h in reversed(range(writes.shape[1])):
        d_writes[:, h] = d * (1 - raised[h])
        d = d * (1 - writes[:, h])
    return d, d_writes, d_usage * raised[-1]


def allocation(usage, d_a):
    d_usage = np.zeros_like(usage)
    for u, d, result in zip(usage, d_a, d_usage, strict=True):
        order = np.argsort(np.round(u / RESOLUTION), kind="stable")
        lifted, d = EPSILON + (1 - EPSILON) * u[order], d[order]
        before = np.concatenate([[1.0], np.cumprod(lifted)[:-1]])
        terms = d * (1 - lifted) * before
        later = np.concatenate([np.cumsum(terms[::-1])[::-1][1:], [0.0]])
        result[order] = (1 - EPSILON) * (later / lifted - d * before)
    return (d_usage,)


def allocate(usage, gates, d_weights):
    seen, weights = [usage], []
    for h in range(gates.shape[1]):
        weights.append(forward(parts.usage.allocation, seen[-1]))
        seen.append(seen[-1] + (1 - seen[-1]) * gates[:, h, None] * weights[-1])
    d, d_gates = np.zeros_like(usage), np.zeros_like(gates)
    for h in reversed(range(gates.shape[1])):
        rest, gate = d * (1 - seen[h]), gates[:, h, None]
        d_gates[:, h] = (rest * weights[h]).sum(-1)
        (d_seen,) = allocation(seen[h], d_weights[:, h] + rest * gate)
        d = d * (1 - gate * weights[h]) + d_seen
    return d, d_gates


# --------------------------------------------------------------- by the order of writes


def update_precedence(before, w, d_p):
    return (1 - total(w)) * d_p, d_p - total(d_p * before)


def update_link(before, precedence, w, d_link):
    g = d_link * (1 - np.eye(w.shape[-1]))
    to, since = w[..., :, None], w[..., None, :]
    d_w = (g * (precedence[..., None, :] - before)).sum(-1) - (g * before).sum(-2)
    return g * (1 - to - since), (g * to).sum(-2), d_w


def directional_weights(link, reads, d_backward, d_forward):
    d_b, d_f = d_backward.swapaxes(1, 2), d_forward.swapaxes(1, 2)  # head, reader, slot
    d_link = d_f.swapaxes(-1, -2) @ reads[:, None] + reads[:, None].swapaxes(-1, -2) @ d_b
    return d_link, (d_f @ link + d_b @ link.swapaxes(-1, -2)).sum(1)


# ------------------------------------------------------------------------ whole steps


def write_weighting(allocated, content, allocation_gates, write_gates, d_w):
    a, g = allocation_gates[..., None], write_gates[..., None]
    along, across = (d_w * allocated).sum(-1), (d_w * content).sum(-1)
    d_allocation_gates = write_gates * (along - across)
    d_write_gates = allocation_gates * along + (1 - allocation_gates) * across
    return g * a * d_w, g * (1 - a) * d_w, d_allocation_gates, d_write_gates


def read_weighting(modes, ways, d_w):
    return (d_w[:, :, None] * ways).sum(-1), modes[..., None] * d_w[:, :, None]


def dnc_access(*arguments):
    rk, rb, wk, wb, e, a, free, ag, wg, modes, memory, usage, link, precedence = arguments[:14]
    reads, writes, d_vectors, d_memory, d_usage, d_link, d_precedence = arguments[14:21]
    d_reads, d_writes = arguments[21:]
    psi = forward(parts.usage.retention, reads, free)
    used = forward(parts.usage.update_usage, usage, writes, psi)
    allocated = forward(parts.usage.allocate, used, wg * ag)
    by_content = forward(parts.content.content_weights, memory, wk, wb)
    w = wg[..., None] * (ag[..., None] * allocated + (1 - ag[..., None]) * by_content)
    after = forward(slots.write, memory, w, e, a)
    new_link = forward(parts.linkage.update_link, link, precedence, w)
    back, ahead = forward(parts.linkage.directional_weights, new_link, reads)
    content = forward(parts.content.content_weights, after, rk, rb)
    ways = np.concatenate([back, ahead, content[:, :, None]], axis=2)
    # And back; what has several uses gets the sum of their gradients.
    by_read, more_reads = read(after, (modes[..., None] * ways).sum(2), d_vectors)
    d_modes, d_ways = read_weighting(modes, ways, d_reads + more_reads)
    by_key, d_rk, d_rb = content_weights(after, rk, rb, d_ways[:, :, -1])
    d_back, d_ahead = np.split(d_ways[:, :, :-1], 2, axis=2)
    more_link, d_reads = directional_weights(new_link, reads, d_back, d_ahead)
    d_link, more_precedence, by_link = update_link(link, precedence, w, d_link + more_link)
    d_precedence, by_precedence = update_precedence(precedence, w, d_precedence)
    d_memory, by_write, d_e, d_a = write(memory, w, e, a, d_memory + by_read + by_key)
    d_w = d_writes + by_link + by_precedence + by_write
    d_allocated, d_by_content, d_ag, d_wg = write_weighting(allocated, by_content, ag, wg, d_w)
    more_memory, d_wk, d_wb = content_weights(memory, wk, wb, d_by_content)
    more_usage, d_joint = allocate(used, wg * ag, d_allocated)
    d_usage, d_writes, d_psi = update_usage(usage, writes, psi, d_usage + more_usage)
    more_reads, d_free = retention(reads, free, d_psi)
    d_ag, d_wg = d_ag + wg * d_joint, d_wg + ag * d_joint
    d_memory, d_precedence = d_memory + more_memory, d_precedence + more_precedence
    d_interface = d_rk, d_rb, d_wk, d_wb, d_e, d_a, d_free, d_ag, d_wg, d_modes
    return *d_interface, d_memory, d_usage, d_link, d_precedence, d_reads + more_reads, d_writes


def ntm_access(*arguments, read_first=False):
    reading, writing, (e, a) = arguments[:5], arguments[5:10], arguments[10:12]
    memory, reads, writes, d_vectors, d_memory, d_reads, d_writes = arguments[12:]
    w = forward(parts.location.focus, memory, writes, *writing)
    after = forward(slots.write, memory, w, e, a)
    seen = memory if read_first else after
    weights = forward(parts.location.focus, seen, reads, *reading)
    # And back.
    by_read, more_reads = read(seen, weights, d_vectors)
    by_key, d_reads, *d_reading = focus(seen, reads, *reading, d_reads + more_reads)
    d_seen = by_read + by_key
    d_after = d_memory if read_first else d_memory + d_seen
    d_memory, more_writes, d_e, d_a = write(memory, w, e, a, d_after)
    more_memory, d_writes, *d_writing = focus(memory, writes, *writing, d_writes + more_writes)
    d_memory = d_memory + more_memory + (d_seen if read_first else 0.0)
    return *d_reading, *d_writing, d_e, d_a, d_memory, d_reads, d_writes


def ntm_access_read_first(*arguments):
    return ntm_access(*arguments, read_first=True)
