"""De-allocation that wipes and a sharpened linkage (Csordas and Schmidhuber 2019): beside loops,
and beside their published code in all combinations with masked content.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

import memnets
from memnets.dnc import DNCParameters
from memnets.parts.content import Content, ContentParameters
from memnets.parts.linkage import Linkage, SharpenedLinkageParameters
from memnets.parts.usage import Allocation, AllocationParameters
from memnets.parts.writing import WriteVectors
from tests import oracles, samples
from tests.samples import as_tensors, assert_equal_to, tensor

GOLDEN = Path(__file__).parents[2] / "golden" / "dnc_csordas.npz"
SMALL_EPSILON = GOLDEN.with_name("dnc_csordas_small_epsilon.npz")
COMBINATIONS = list(itertools.product([False, True], repeat=3))
NAMES = ("masked", "wiped", "sharpened")
EPSILON = 1e-3
WEIGHTS = ("interface.linear.weight", "interface.linear.bias")
"""whose gradients are compared"""


def wipe(memory: np.ndarray, retained: np.ndarray) -> np.ndarray:
    """Section 3.2: each slot times what the free gates keep of it."""
    after = memory.copy()
    for b, n, w in np.ndindex(*memory.shape):
        after[b, n, w] = memory[b, n, w] * retained[b, n]
    return after


def sharpen(ways: np.ndarray, powers: np.ndarray, epsilon: float) -> np.ndarray:
    """Section 3.3: each weighting to its power, over the sum; [B,R,H,N], [B,R,H] -> [B,R,H,N]."""
    after = np.zeros_like(ways)
    for b, r, h in np.ndindex(*powers.shape):
        largest = max(ways[b, r, h]) + epsilon
        raised = [((w + epsilon) / largest) ** powers[b, r, h] for w in ways[b, r, h]]
        after[b, r, h] = np.array(raised) / sum(raised)
    return after


def loop(i: Any, powers: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """One step, wiped and sharpened."""
    H, similarity = state.write_weights.shape[1], oracles.cosine(EPSILON)
    retained = oracles.retention(state.read_weights, i.free_gates)
    usage = oracles.update_usage(state.usage, state.write_weights, retained)
    allocated = oracles.allocate(usage, i.allocation_gates * i.write_gates, EPSILON)
    found = oracles.content_weights(state.memory, i.write_keys, i.write_strengths, similarity)
    writes = oracles.dnc_write_weights(i, found, allocated)
    wiped = wipe(state.memory, retained)
    memory = oracles.write(wiped, writes, i.erase_vectors, i.write_vectors)
    link = oracles.update_link(state.link, state.precedence, writes)
    backward, forward = oracles.directional_weights(link, state.read_weights)
    backward = sharpen(backward, powers[:, :, :H], EPSILON)
    forward = sharpen(forward, powers[:, :, H:], EPSILON)
    found = oracles.content_weights(memory, i.read_keys, i.read_strengths, similarity)
    reads = oracles.dnc_read_weights(i.read_modes, backward, forward, found)
    precedence = oracles.update_precedence(state.precedence, writes)
    after = SimpleNamespace(
        memory=memory,
        usage=usage,
        link=link,
        precedence=precedence,
        read_weights=reads,
        write_weights=writes,
    )
    return oracles.read(memory, reads), after


def parameters(interface: Any, powers: np.ndarray) -> DNCParameters:
    i = SimpleNamespace(**{name: tensor(array) for name, array in vars(interface).items()})
    return DNCParameters(
        ContentParameters(i.read_keys, i.read_strengths),
        ContentParameters(i.write_keys, i.write_strengths),
        WriteVectors(i.erase_vectors, i.write_vectors),
        AllocationParameters(i.free_gates, i.allocation_gates, i.write_gates),
        SharpenedLinkageParameters(i.read_modes, tensor(powers)),
    )


PARTS: dict[str, Any] = {
    "content": Content(similarity_epsilon=EPSILON),
    "allocation": Allocation(epsilon=EPSILON, wipe=True),
    "linkage": Linkage(sharpened=True, sharpen_epsilon=EPSILON),
}


@given(samples.sizes())
@settings(max_examples=40)
def test_a_step_beside_a_loop(s: SimpleNamespace) -> None:
    state = samples.dnc_memory(s)
    actual = as_tensors(memnets.DNCMemory, state)
    for _ in range(4):
        interface = samples.dnc_interface(s)
        powers = 1 + s.random.exponential(2, size=(s.B, s.R, 2 * s.H))
        expected, state = loop(interface, powers, state)
        vectors, actual = memnets.dnc.step(parameters(interface, powers), actual, **PARTS)
        assert_equal_to(vectors, expected)
        for name, array in vars(state).items():
            assert_equal_to(getattr(actual, name), array)


def test_gradients_of_a_step() -> None:
    s = SimpleNamespace(B=1, N=3, W=2, R=2, H=2, random=np.random.default_rng(3))
    powers = 1 + s.random.exponential(2, size=(s.B, s.R, 2 * s.H))
    given_ = parameters(samples.dnc_interface(s), powers)
    kinds, counts = [type(one) for one in given_], [len(one) for one in given_]
    state = as_tensors(memnets.DNCMemory, samples.dnc_memory(s))

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        rest = iter(tensors)
        made = [
            kind(*(next(rest) for _ in range(n))) for kind, n in zip(kinds, counts, strict=True)
        ]
        vectors, after = memnets.dnc.step(DNCParameters(*made), type(state)(*rest), **PARTS)
        return (vectors, *after)

    arguments = [one.requires_grad_() for table in (*given_, state) for one in table]
    assert torch.autograd.gradcheck(step, arguments)


@dataclass(frozen=True, kw_only=True)
class PublishedContent(Content):
    """Content with the epsilon where their code has it: `k.m / (|k| |m| + epsilon)`."""

    def weigh(self, memory: Tensor, parameters: Any) -> Tensor:
        keys, slots = parameters.keys[:, :, None], memory[:, None]
        if self.masked:
            keys, slots = (one * parameters.masks[:, :, None] for one in (keys, slots))
        products = (keys * slots).sum(-1)
        cosines = products / (keys.norm(dim=-1) * slots.norm(dim=-1) + 1e-6)
        return torch.softmax(parameters.strengths[..., None] * cosines, dim=-1)


def arrays_of(path: Path, prefix: str) -> dict[str, np.ndarray]:
    """Those of a file whose names begin so, by what follows."""
    with np.load(path) as file:
        return {one.removeprefix(prefix): file[one] for one in file if one.startswith(prefix)}


def published(switches: tuple[bool, ...], *, small_epsilon: bool = False) -> dict[str, np.ndarray]:
    """What their code made of `x` with these of the three changes."""
    chosen = [name for name, on in zip(NAMES, switches, strict=True) if on]
    prefix = "+".join(chosen or ["plain"]) + "/"
    changed = arrays_of(SMALL_EPSILON, prefix) if small_epsilon else {}
    with np.load(GOLDEN) as file:
        return {"x": file["x"], **arrays_of(GOLDEN, prefix), **changed}


def layer_of(
    switches: tuple[bool, ...], arrays: dict[str, np.ndarray], content: Content | None = None
) -> memnets.DNC:
    """Our layer with their weights, and the epsilons and the stopped gradient of their code."""
    masked, wiped, sharpened = switches
    layer = memnets.DNC(
        3,
        2,
        memory_size=5,
        word_size=4,
        read_heads=2,
        hidden_size=5,
        content=content or PublishedContent(masked=masked),
        allocation=Allocation(resolution=0.0, stop_gradient=True, wipe=wiped),
        linkage=Linkage(sharpened=sharpened),
        dtype=torch.float64,
    )
    prefix = "parameters/"
    own = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in own.items()})
    return layer


@pytest.mark.parametrize("switches", COMBINATIONS)
def test_the_published_code(switches: tuple[bool, ...]) -> None:
    """Outputs, every state and gradients of a whole layer over ten steps."""
    arrays = published(switches)
    layer = layer_of(switches, arrays)
    x = torch.from_numpy(arrays["x"]).requires_grad_()
    memory = memnets.record(layer, x).memory
    for name in ("memory", "usage", "read_weights", "write_weights"):
        found = getattr(memory, name).reshape(arrays[name].shape)
        assert_equal_to(found, arrays[name], 1e-12)
    assert_equal_to(memory.link[:, :, 0], arrays["link"], 1e-12)
    y, _ = layer(x)
    assert_equal_to(y, arrays["y"], 1e-12)
    wanted = [x, *(layer.get_parameter(name) for name in WEIGHTS)]
    gradients = torch.autograd.grad(y.square().sum(), wanted)
    for name, gradient in zip(("x", *WEIGHTS), gradients, strict=True):
        assert_equal_to(gradient, arrays[f"gradients/{name}"], 1e-10)


def slots_of(memory: np.ndarray, wanted: np.ndarray) -> list[int]:
    """The order of slots [N, W] in which they are nearest to those that are wanted.

    Which of two slots of the same usage is written to is decided by its rounding; the other is
    written to later, and what is read is the same.
    """
    orders = itertools.permutations(range(len(memory)))
    return min(map(list, orders), key=lambda order: abs(memory[order] - wanted).max())


def ordered(name: str, found: np.ndarray, order: list[int]) -> np.ndarray:
    """An array of one row with its slots in an order."""
    if name == "link":
        return found[order][:, order]
    return found[order] if name == "memory" else found[..., order]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("switches", COMBINATIONS)
def test_the_published_code_on_the_kernel(
    switches: tuple[bool, ...], dtype: torch.dtype, tolerance: float
) -> None:
    """Outputs, the last state and gradients of a whole layer over ten steps."""
    arrays = published(switches, small_epsilon=True)
    content = Content(masked=switches[0], similarity_epsilon=1e-26)
    layer = layer_of(switches, arrays, content).to(dtype)
    layer.backend = "fused"
    x = torch.from_numpy(arrays["x"]).to(dtype).requires_grad_()
    y, state = layer(x)
    assert_equal_to(y, arrays["y"], tolerance)
    for row, memory in enumerate(state.memory.memory.detach().double().numpy()):
        order = slots_of(memory, arrays["memory"][row])
        for name in ("memory", "usage", "read_weights", "write_weights", "link"):
            wanted = arrays[name][row]
            found = getattr(state.memory, name)[row].detach().reshape(wanted.shape).numpy()
            assert_equal_to(torch.from_numpy(ordered(name, found, order)), wanted, tolerance)
    wanted = [x, *(layer.get_parameter(name) for name in WEIGHTS)]
    gradients = torch.autograd.grad(y.square().sum(), wanted)
    for name, gradient in zip(("x", *WEIGHTS), gradients, strict=True):
        expected = arrays[f"gradients/{name}"]
        assert_equal_to(gradient / abs(expected).max(), expected / abs(expected).max(), tolerance)


def test_the_epsilon_of_the_published_code_is_refused_by_the_kernel() -> None:
    """It stands beside the norms, in a class of this page: their second file has it at 1e-13."""
    switches = (True, True, True)
    arrays = published(switches)
    layer = layer_of(switches, arrays)
    layer.backend = "fused"
    with pytest.raises(ValueError, match=r"knows Content as content; .*PublishedContent"):
        layer(torch.from_numpy(arrays["x"]))


def test_the_trajectories_depend_on_the_wiping() -> None:
    """It alone has no parameters: turned, it gives another trajectory with the same weights."""
    for switches in COMBINATIONS:
        arrays = published(switches)
        x = torch.from_numpy(arrays["x"])
        wiped = (switches[0], not switches[1], switches[2])
        assert not np.allclose(layer_of(wiped, arrays)(x)[0].detach(), arrays["y"], atol=1e-3)


def test_what_is_freed_is_not_found() -> None:
    """Read slot 0 and free it; the DNC keeps its word, the wiped memory has zeros there."""
    memory = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    reads, one = torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1)
    gates = AllocationParameters(one, one, one)
    assert Allocation().free(gates, memory, reads) is memory
    after = Allocation(wipe=True).free(gates, memory, reads)
    assert after.tolist() == [[[0.0, 0.0], [3.0, 4.0]]]


def test_a_sharp_linkage_undoes_what_writes_blurred() -> None:
    link = torch.tensor([[[[0.0, 0.1, 0.0], [0.8, 0.0, 0.1], [0.1, 0.1, 0.0]]]])
    reads = torch.tensor([[[1.0, 0.0, 0.0]]])
    forward = torch.tensor([[[0.0, 1.0, 0.0]]])
    nothing = torch.zeros(1, 1, 3)
    given_ = SharpenedLinkageParameters(forward, torch.full((1, 1, 2), 9.0))
    weights = Linkage(sharpened=True).mix(given_, link, reads, nothing)
    torch.testing.assert_close(weights, torch.tensor([[[0.0, 1.0, 0.0]]]), atol=1e-6, rtol=0)


def test_nothing_linked_is_sharpened_to_a_uniform_weighting() -> None:
    forward = torch.tensor([[[0.0, 1.0, 0.0]]])
    given_ = SharpenedLinkageParameters(forward, torch.full((1, 1, 2), 2.0))
    zeros = torch.zeros(1, 1, 4)
    weights = Linkage(sharpened=True).mix(given_, torch.zeros(1, 1, 4, 4), zeros, zeros)
    assert weights.tolist() == [[[0.25] * 4]]


def test_settings_out_of_range() -> None:
    with pytest.raises(ValueError, match="wipe must be True or False"):
        Allocation(wipe=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="sharpened must be True or False"):
        Linkage(sharpened="yes")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="sharpen_epsilon must be above 0"):
        Linkage(sharpen_epsilon=0.0)
