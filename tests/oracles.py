"""The equations of the papers as plain NumPy loops: one scalar at a time, nothing shared with the
library.

NTM: Graves, Wayne, Danihelka 2014, section 3. DNC: Graves et al. 2016, Methods; several write heads
as in DeepMind's code.
LRUA: Santoro et al. 2016, section 3.2. Every array has its batch axis first; axes are B, N, W, R,
H, S as in the library.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Similarity = Callable[[Array, Array], float]


def cosine(epsilon: float = 0.0) -> Similarity:
    """The cosine of a key and a row, with epsilon added to the product of the squared lengths."""

    def similarity(key: Array, row: Array) -> float:
        dot = sum(float(k) * float(m) for k, m in zip(key, row, strict=True))
        key_square = sum(float(k) ** 2 for k in key)
        row_square = sum(float(m) ** 2 for m in row)
        return dot / math.sqrt(key_square * row_square + epsilon)

    return similarity


def deepmind_cosine(epsilon: float = 1e-6) -> Similarity:
    """DeepMind's cosine: epsilon under the root of each length and on their product."""

    def similarity(key: Array, row: Array) -> float:
        dot = sum(float(k) * float(m) for k, m in zip(key, row, strict=True))
        key_length = math.sqrt(sum(float(k) ** 2 for k in key) + epsilon)
        row_length = math.sqrt(sum(float(m) ** 2 for m in row) + epsilon)
        return dot / (key_length * row_length + epsilon)

    return similarity


def softmax(scores: list[float]) -> Array:
    """Exponentials over their sum, the largest score taken off first."""
    largest = max(scores)
    exponentials = [math.exp(score - largest) for score in scores]
    return np.array([value / sum(exponentials) for value in exponentials])


def content_weights(memory: Array, keys: Array, strengths: Array, similarity: Similarity) -> Array:
    """NTM (5), DNC C(M, k, beta): [B,N,W], [B,R,W], [B,R] -> [B,R,N]."""
    B, N, _ = memory.shape
    R = keys.shape[1]
    weights = np.zeros((B, R, N))
    for b in range(B):
        for r in range(R):
            scores = [strengths[b, r] * similarity(keys[b, r], memory[b, n]) for n in range(N)]
            weights[b, r] = softmax(scores)
    return weights


def interpolate(content: Array, previous: Array, gates: Array) -> Array:
    """NTM (7): g c + (1 - g) w(t-1)."""
    result = np.zeros_like(content)
    for b, r, n in np.ndindex(*content.shape):
        result[b, r, n] = gates[b, r] * content[b, r, n] + (1 - gates[b, r]) * previous[b, r, n]
    return result


def shift(weights: Array, shifts: Array) -> Array:
    """NTM (8): weight on shift +1 moves slot i to slot i + 1, around the end to slot 0."""
    B, R, N = weights.shape
    reach = shifts.shape[2] // 2
    result = np.zeros_like(weights)
    for b, r, n in np.ndindex(B, R, N):
        for offset in range(-reach, reach + 1):
            result[b, r, (n + offset) % N] += weights[b, r, n] * shifts[b, r, offset + reach]
    return result


def sharpen(weights: Array, sharpenings: Array, epsilon: float = 0.0) -> Array:
    """NTM (9): w^gamma over its sum, of the weights raised by epsilon."""
    B, R, N = weights.shape
    result = np.zeros_like(weights)
    for b, r in np.ndindex(B, R):
        largest = max(weights[b, r]) + epsilon
        powers = [((weights[b, r, n] + epsilon) / largest) ** sharpenings[b, r] for n in range(N)]
        for n in range(N):
            result[b, r, n] = powers[n] / sum(powers)
    return result


def read(memory: Array, weights: Array) -> Array:
    """NTM (2): r = M^T w; [B,N,W], [B,R,N] -> [B,R,W]."""
    (B, N, W), R = memory.shape, weights.shape[1]
    vectors = np.zeros((B, R, W))
    for b, r, n, w in np.ndindex(B, R, N, W):
        vectors[b, r, w] += weights[b, r, n] * memory[b, n, w]
    return vectors


def write(memory: Array, weights: Array, erase_vectors: Array, add_vectors: Array) -> Array:
    """NTM (3, 4): every head erases (in any order, so a product), then every head adds."""
    (B, N, W), H = memory.shape, weights.shape[1]
    result = memory.copy()
    for b, h, n, w in np.ndindex(B, H, N, W):
        result[b, n, w] *= 1 - weights[b, h, n] * erase_vectors[b, h, w]
    for b, h, n, w in np.ndindex(B, H, N, W):
        result[b, n, w] += weights[b, h, n] * add_vectors[b, h, w]
    return result


def focus(
    memory: Array,
    previous: Array,
    head: Any,
    similarity: Similarity,
    sharpen_epsilon: float,
) -> Array:
    """NTM figure 2, all four steps; head has keys, strengths, gates, shifts, sharpenings."""
    content = content_weights(memory, head.keys, head.strengths, similarity)
    gated = interpolate(content, previous, head.gates)
    return sharpen(shift(gated, head.shifts), head.sharpenings, sharpen_epsilon)


def ntm_heads(interface: Any) -> tuple[Any, Any]:
    """The five addressing parameters of the read heads and those of the write heads."""
    names = ("keys", "strengths", "gates", "shifts", "sharpenings")
    return (
        SimpleNamespace(**{name: getattr(interface, f"read_{name}") for name in names}),
        SimpleNamespace(**{name: getattr(interface, f"write_{name}") for name in names}),
    )


def ntm_access(
    interface: Any,
    state: Any,
    similarity: Similarity,
    sharpen_epsilon: float = 0.0,
    read_first: bool = False,
) -> tuple[Array, Any]:
    """One step of the NTM's memory; state has memory, read_weights, write_weights."""
    reading, writing = ntm_heads(interface)
    before = state.memory
    write_weights = focus(before, state.write_weights, writing, similarity, sharpen_epsilon)
    after = write(before, write_weights, interface.erase_vectors, interface.add_vectors)
    source = before if read_first else after
    read_weights = focus(source, state.read_weights, reading, similarity, sharpen_epsilon)
    new_state = SimpleNamespace(
        memory=after, read_weights=read_weights, write_weights=write_weights
    )
    return read(source, read_weights), new_state


def least_used(usage: Array, count: int) -> Array:
    """One-hot of the count least used slots, the lowest index first among equals."""
    B, N = usage.shape
    result = np.zeros((B, count, N))
    for b in range(B):
        taken: list[int] = []
        for place in range(count):
            best = min((n for n in range(N) if n not in taken), key=lambda n: (usage[b, n], n))
            taken.append(best)
            result[b, place, best] = 1.0
    return result


def retention(read_weights: Array, free_gates: Array) -> Array:
    """DNC psi: the share of each slot that no read head frees; [B,R,N], [B,R] -> [B,N]."""
    B, R, N = read_weights.shape
    result = np.ones((B, N))
    for b, r, n in np.ndindex(B, R, N):
        result[b, n] *= 1 - free_gates[b, r] * read_weights[b, r, n]
    return result


def update_usage(usage: Array, write_weights: Array, retained: Array) -> Array:
    """DNC u: raised by the writing of the step before, head after head, then lowered by freeing."""
    B, H, N = write_weights.shape
    result = usage.copy()
    for b, n in np.ndindex(B, N):
        for h in range(H):
            w = write_weights[b, h, n]
            result[b, n] = result[b, n] + w - result[b, n] * w
        result[b, n] *= retained[b, n]
    return result


def allocation(usage: Array, epsilon: float = 0.0, resolution: float = 2.0**-16) -> Array:
    """DNC a: down the free list; usage is first raised to epsilon + (1 - epsilon) u. Slots whose
    usage rounds to the same multiple of the resolution are listed by number.
    """
    B, N = usage.shape
    raised = epsilon + (1 - epsilon) * usage
    result = np.zeros((B, N))
    for b in range(B):
        free_list = sorted(range(N), key=lambda n: (round(float(usage[b, n]) / resolution), n))
        product = 1.0
        for n in free_list:
            result[b, n] = (1 - raised[b, n]) * product
            product *= raised[b, n]
    return result


def allocate(usage: Array, gates: Array, epsilon: float = 0.0) -> Array:
    """Several write heads: each head's gated share is in use for the next head."""
    (B, N), H = usage.shape, gates.shape[1]
    result = np.zeros((B, H, N))
    current = usage.copy()
    for h in range(H):
        result[:, h] = allocation(current, epsilon)
        for b, n in np.ndindex(B, N):
            current[b, n] += (1 - current[b, n]) * gates[b, h] * result[b, h, n]
    return result


def dnc_write_weights(interface: Any, content: Array, allocated: Array) -> Array:
    """DNC w_w: g_w (g_a a + (1 - g_a) c)."""
    result = np.zeros_like(content)
    for b, h, n in np.ndindex(*content.shape):
        gate = interface.allocation_gates[b, h]
        mixed = gate * allocated[b, h, n] + (1 - gate) * content[b, h, n]
        result[b, h, n] = interface.write_gates[b, h] * mixed
    return result


def update_precedence(precedence: Array, write_weights: Array) -> Array:
    """DNC p: (1 - sum w_w) p + w_w, each write head by itself."""
    result = np.zeros_like(precedence)
    for b, h, n in np.ndindex(*precedence.shape):
        total = sum(write_weights[b, h])
        result[b, h, n] = (1 - total) * precedence[b, h, n] + write_weights[b, h, n]
    return result


def update_link(link: Array, precedence: Array, write_weights: Array) -> Array:
    """DNC L: link[i, j] is how far i was written right after j; precedence is that before."""
    B, H, N = write_weights.shape
    result = np.zeros_like(link)
    for b, h, i, j in np.ndindex(B, H, N, N):
        if i != j:
            kept = (1 - write_weights[b, h, i] - write_weights[b, h, j]) * link[b, h, i, j]
            result[b, h, i, j] = kept + write_weights[b, h, i] * precedence[b, h, j]
    return result


def directional_weights(link: Array, read_weights: Array) -> tuple[Array, Array]:
    """DNC b = L^T w_r(t-1) and f = L w_r(t-1), per write head: two of [B,R,H,N]."""
    (B, H, N, _), R = link.shape, read_weights.shape[1]
    backward, forward = np.zeros((B, R, H, N)), np.zeros((B, R, H, N))
    for b, r, h, i, j in np.ndindex(B, R, H, N, N):
        forward[b, r, h, i] += link[b, h, i, j] * read_weights[b, r, j]
        backward[b, r, h, j] += link[b, h, i, j] * read_weights[b, r, i]
    return backward, forward


def dnc_read_weights(modes: Array, backward: Array, forward: Array, content: Array) -> Array:
    """DNC w_r: the modes are ordered backward (H), forward (H), content."""
    B, R, H, N = backward.shape
    result = np.zeros((B, R, N))
    for b, r, n in np.ndindex(B, R, N):
        result[b, r, n] = modes[b, r, 2 * H] * content[b, r, n]
        for h in range(H):
            result[b, r, n] += modes[b, r, h] * backward[b, r, h, n]
            result[b, r, n] += modes[b, r, H + h] * forward[b, r, h, n]
    return result


def dnc_access(
    interface: Any, state: Any, similarity: Similarity, allocation_epsilon: float = 0.0
) -> tuple[Array, Any]:
    """One step of the DNC's memory; state has the fields of a DNCMemory."""
    retained = retention(state.read_weights, interface.free_gates)
    usage = update_usage(state.usage, state.write_weights, retained)
    allocated = allocate(
        usage, interface.allocation_gates * interface.write_gates, allocation_epsilon
    )
    write_content = content_weights(
        state.memory, interface.write_keys, interface.write_strengths, similarity
    )
    write_weights = dnc_write_weights(interface, write_content, allocated)
    memory = write(state.memory, write_weights, interface.erase_vectors, interface.write_vectors)
    link = update_link(state.link, state.precedence, write_weights)
    precedence = update_precedence(state.precedence, write_weights)
    read_content = content_weights(
        memory, interface.read_keys, interface.read_strengths, similarity
    )
    backward, forward = directional_weights(link, state.read_weights)
    read_weights = dnc_read_weights(interface.read_modes, backward, forward, read_content)
    new_state = SimpleNamespace(
        memory=memory,
        usage=usage,
        link=link,
        precedence=precedence,
        read_weights=read_weights,
        write_weights=write_weights,
    )
    return read(memory, read_weights), new_state


def dnc_content_access(
    interface: Any, state: Any, similarity: Similarity, allocation_epsilon: float = 0.0
) -> tuple[Array, Any]:
    """One step of a DNC without a linkage: it reads by content alone, and has no read modes."""
    free = retention(state.read_weights, interface.free_gates)
    usage = update_usage(state.usage, state.write_weights, free)
    shares = interface.allocation_gates * interface.write_gates
    allocated = allocate(usage, shares, allocation_epsilon)
    found = content_weights(
        state.memory, interface.write_keys, interface.write_strengths, similarity
    )
    writes = dnc_write_weights(interface, found, allocated)
    memory = write(state.memory, writes, interface.erase_vectors, interface.write_vectors)
    reads = content_weights(memory, interface.read_keys, interface.read_strengths, similarity)
    after = SimpleNamespace(memory=memory, usage=usage, read_weights=reads, write_weights=writes)
    return read(memory, reads), after


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x)."""
    return 1 / (1 + math.exp(-x))


def affine(weight: Array, bias: Array, x: Array) -> Array:
    """W x + b by loops."""
    return np.array(
        [sum(float(w) * float(v) for w, v in zip(row, x, strict=True)) for row in weight]
    ) + np.asarray(bias)


def lstm_cell(x: Array, h: Array, c: Array, weights: Any) -> tuple[Array, Array]:
    """One row through an LSTM cell, gates in the order input, forget, cell, output: (h, c)."""
    gates = affine(weights.weight_ih, weights.bias_ih, x) + affine(
        weights.weight_hh, weights.bias_hh, h
    )
    size = len(h)
    new_h, new_c = np.zeros(size), np.zeros(size)
    for i in range(size):
        enter, keep = sigmoid(gates[i]), sigmoid(gates[size + i])
        candidate, leave = math.tanh(gates[2 * size + i]), sigmoid(gates[3 * size + i])
        new_c[i] = keep * c[i] + enter * candidate
        new_h[i] = leave * math.tanh(new_c[i])
    return new_h, new_c


def gru_cell(x: Array, h: Array, weights: Any) -> Array:
    """One row through a GRU cell: reset, update, new; reset acts after the hidden product."""
    from_x = affine(weights.weight_ih, weights.bias_ih, x)
    from_h = affine(weights.weight_hh, weights.bias_hh, h)
    size = len(h)
    result = np.zeros(size)
    for i in range(size):
        reset = sigmoid(from_x[i] + from_h[i])
        update = sigmoid(from_x[size + i] + from_h[size + i])
        candidate = math.tanh(from_x[2 * size + i] + reset * from_h[2 * size + i])
        result[i] = (1 - update) * candidate + update * h[i]
    return result


def elman_cell(x: Array, h: Array, weights: Any) -> Array:
    """One row through an Elman cell: tanh of both products."""
    total = affine(weights.weight_ih, weights.bias_ih, x) + affine(
        weights.weight_hh, weights.bias_hh, h
    )
    return np.array([math.tanh(value) for value in total])
