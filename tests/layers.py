"""The table of layers that every property test runs over: a new model or controller is one line
here.

All are small and in float64, and their parameters are moved away from their initial values, so that
nothing that
should matter is zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import memnets
from memnets.interface import Field, Table, real
from memnets.parts.content import Content
from memnets.parts.controllers import Stack
from memnets.parts.decay_add import DecayAdd
from memnets.parts.delta_rule import DeltaRule
from memnets.parts.gated_delta import GatedDelta
from memnets.parts.gated_delta_2 import GatedDelta2
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.hopfield import Hopfield
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.mlstm import MLSTM
from memnets.parts.normalised_interface import NormalisedInterface
from memnets.parts.product_keys import ProductKeys
from memnets.parts.softmax_allocation import SoftmaxAllocation
from memnets.parts.sparse import Sparse
from memnets.parts.start import Start
from memnets.parts.stored_programs import StoredPrograms
from memnets.parts.titans import Titans
from memnets.parts.uniform_writing import UniformWriting
from memnets.parts.usage import Allocation, LeastRecentlyUsed
from memnets.parts.wiring import WiredStack
from memnets.parts.writing import EraseAdd

I, O, N, W, HIDDEN = 3, 2, 5, 4, 6  # noqa: E741
T, B = 5, 3


class Query(NamedTuple):
    """What `DotProduct` wants from the controller."""

    keys: Tensor


class DotProduct:
    """A user's own addressing: the softmax of plain dot products, with nothing carried over."""

    def table(self, count: int, word_size: int) -> Table:
        return Table(Query, {"keys": Field((count, word_size), real)})

    def __call__(
        self, parameters: Query, previous_weights: Tensor, memory: Any, state: Any
    ) -> tuple[Tensor, Any]:
        scores = parameters.keys @ memory.memory.transpose(1, 2)
        return torch.softmax(scores, dim=-1), state


class Momentum(nn.Module):
    """A user's own addressing with a parameter and a state: it keeps a running mean of where it
    was.
    """

    def __init__(self, **factory: Any) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.zeros((), **factory))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.rate)

    def table(self, count: int, word_size: int) -> Table:
        return Table(Query, {"keys": Field((count, word_size), real)})

    def initial_state(self, like: Tensor) -> Tensor:
        return torch.zeros_like(like)

    def __call__(
        self, parameters: Query, previous_weights: Tensor, memory: Any, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        rate = torch.sigmoid(self.rate).to(state)  # lerp in torch 2.6 wants one dtype
        mean = torch.lerp(state, previous_weights.mean(1), rate)
        scores = parameters.keys @ memory.memory.transpose(1, 2) + mean[:, None]
        return torch.softmax(scores, dim=-1), mean


class Fading(nn.Module):
    """A user's own rule of writing, with a parameter: all slots fade before anything is added."""

    def __init__(self, **factory: Any) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.zeros((), **factory))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.rate)

    def table(self, write_heads: int, word_size: int) -> Table:
        return Table(Query, {"keys": Field((write_heads, word_size), real)})

    def write(self, memory: Tensor, weights: Tensor, vectors: Query) -> Tensor:
        added = weights.transpose(1, 2) @ vectors.keys
        return torch.sigmoid(self.rate).to(memory) * memory + added


class OwnGRU(nn.Module):
    """A user's own controller: torch's GRU cell, ten lines."""

    def __init__(self, input_size: int, output_size: int, **factory: Any) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, output_size
        self.cell = nn.GRUCell(input_size, output_size, **factory)

    def initial_state(self, batch_size: int) -> tuple[Tensor]:
        return (self.cell.weight_hh.new_zeros(batch_size, self.output_size),)

    def forward(self, x: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        h = self.cell(x, state[0])
        return h, (h,)


@dataclass(frozen=True)
class Case:
    """One line of the table: a name, a constructor of (options) -> layer, and what it cannot do."""

    name: str
    make: Callable[..., Any]
    own_controller: bool = False
    kernel: bool = True
    """Whether the fused backend knows the layer."""
    kinks: bool = False
    """Whether a step has no gradient in the state before the first: its slots are at a maximum of
    two numbers that are equal."""

    stopped: bool = False
    """Whether something in a step has no gradient that a finite difference would find."""

    def build(self, *, seed: int = 0, **options: Any) -> Any:
        """Build the layer, in float64 unless `dtype` says otherwise, with perturbed parameters."""
        torch.manual_seed(seed)
        layer = self.make(**{"dtype": torch.float64, **options})
        with torch.no_grad():
            for parameter in layer.parameters():
                if not parameter.is_meta:
                    parameter.add_(0.5 * torch.randn_like(parameter))
        return layer

    def __str__(self) -> str:
        return self.name


def hidden_size(fixed: dict[str, Any]) -> dict[str, int]:
    """The controller's size, which one that is an object has itself."""
    return {"hidden_size": HIDDEN} if isinstance(fixed.get("controller", ""), str) else {}


def stack(**settings: Any) -> Stack:
    """A controller of several layers."""
    return Stack(hidden_size=HIDDEN, **settings)


def wired(**settings: Any) -> WiredStack:
    """A controller that is connected in another way."""
    return WiredStack(hidden_size=HIDDEN, **settings)


def focusing(**settings: Any) -> Heads:
    """Stock heads with these settings."""
    return Heads(read=ContentAndLocation(**settings))


def ntm(**fixed: Any) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        sizes = {"memory_size": N, "word_size": W, **hidden_size(fixed | options)}
        return memnets.NTM(I, **{"output_size": O, **sizes, **fixed, **options})

    return make


def dnc(**fixed: Any) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        sizes = {"memory_size": N, "word_size": W, "read_heads": 2, **hidden_size(fixed | options)}
        return memnets.DNC(I, **{"output_size": O, **sizes, **fixed, **options})

    return make


def neural_stack(**fixed: Any) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        sizes = {"memory_size": N, "word_size": W, **hidden_size(fixed | options)}
        return memnets.NeuralStack(I, O, **{**sizes, **fixed, **options})

    return make


PRODUCT_KEYS = ProductKeys(add_range="bounded", strength="softplus", sharpness_limit=1.7)
SOFTPLUS = Sparse(top_k=2, add_range="bounded", strength="softplus", sharpness_limit=1.7)

READS_FIRST = Sparse(top_k=3, read_first=True, keys_like_vectors=True)


def sam(**fixed: Any) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        sizes = {"memory_size": N, "word_size": W, **hidden_size(fixed | options)}
        sizes["addressing"] = Sparse(top_k=3)
        return memnets.SAM(I, **{"output_size": O, **sizes, **fixed, **options})

    return make


def sdnc(**fixed: Any) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        sizes = {"memory_size": N, "word_size": W, **hidden_size(fixed | options)}
        sizes |= {"addressing": Sparse(top_k=3), "links": 2}
        return memnets.SDNC(I, **{"output_size": O, **sizes, **fixed, **options})

    return make


def factory(options: dict[str, Any]) -> dict[str, Any]:
    """Device and dtype out of a layer's options, for modules that the user makes."""
    return {name: options[name] for name in ("device", "dtype") if name in options}


def own_controller(kind: Callable[..., Any], read_heads: int) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        controller = OwnGRU(I + read_heads * W, HIDDEN, **factory(options))
        return kind(controller=controller, read_heads=read_heads)(**options)

    return make


def momentum_heads(**options: Any) -> Any:
    heads = [ReadHead(Momentum(**factory(options)), 2), WriteHead(Momentum(**factory(options)))]
    return ntm(heads=heads)(**options)


def fading(**options: Any) -> Any:
    return ntm(writing=Fading(**factory(options)))(**options)


TABLE = [
    Case("ntm_lstm", ntm()),
    Case("ntm_lstm_2_layers", ntm(controller=stack(num_layers=2))),
    Case("ntm_lstm_skip_connections", ntm(controller=stack(num_layers=2, skip_connections=True))),
    Case("ntm_gru", ntm(controller="gru")),
    Case("ntm_gru1", ntm(controller="gru1"), kernel=False),
    Case("dnc_gru2", dnc(controller="gru2"), kernel=False),
    Case("ntm_gru3", ntm(controller="gru3"), kernel=False),
    Case("ntm_elman", ntm(controller="elman")),
    Case("ntm_ctrnn", ntm(controller="ctrnn"), kernel=False),
    Case("ntm_ctrnn_rk4", ntm(controller="ctrnn_rk4"), kernel=False),
    Case("ntm_indrnn", ntm(controller="indrnn"), kernel=False),
    Case("ntm_short_convolution", ntm(controller="short_convolution"), kernel=False),
    Case(
        "ntm_gru_residual",
        ntm(controller=stack(cell="gru", num_layers=3, residual=True)),
        kernel=False,
    ),
    Case("ntm_feedforward", ntm(controller="feedforward")),
    Case("ntm_feedforward_tanh", ntm(controller="feedforward_tanh")),
    Case("ntm_several_heads", ntm(read_heads=2, write_heads=3, heads=focusing(shift_range=2))),
    Case("ntm_learned_initial_state", ntm(start=Start(learned=True))),
    Case("ntm_read_first", ntm(heads=Heads(read_first=True))),
    Case("ntm_softplus", ntm(heads=focusing(strength="softplus"))),
    Case("ntm_bounded", ntm(heads=focusing(sharpness_limit=1.7, sharpening_bias=0.2))),
    Case(
        "ntm_plain",
        ntm(
            heads=focusing(gate_bias=0.0, sharpening_bias=0.0),
            writing=EraseAdd(add_range="real"),
        ),
    ),
    Case("ntm_content", ntm(heads=[ReadHead(Content(), 2), WriteHead(Content())])),
    Case(
        "ntm_masked_content",
        ntm(heads=[ReadHead(Content(masked=True), 2), WriteHead(Content(masked=True))]),
    ),
    Case("ntm_location", ntm(heads=[ReadHead(Location(shift_range=2)), WriteHead(Location())])),
    Case(
        "ntm_least_recently_used",
        ntm(heads=[ReadHead(Content(), 2), WriteHead(LeastRecentlyUsed(), 2)]),
        kernel=False,
    ),
    Case(
        "ntm_mixed_heads",
        ntm(
            heads=[
                WriteHead(LeastRecentlyUsed(decay=0.9)),
                ReadHead(ContentAndLocation(), 2),
                WriteHead(ContentAndLocation(shift_range=2)),
                ReadHead(Location()),
            ]
        ),
        kernel=False,
    ),
    Case(
        "ntm_own_addressing",
        ntm(heads=[ReadHead(DotProduct()), WriteHead(DotProduct(), 2)]),
        kernel=False,
    ),
    Case("ntm_own_addressing_module", momentum_heads, kernel=False),
    Case("ntm_own_writing", fading, kernel=False),
    Case("ntm_delta_rule", ntm(writing=DeltaRule()), kernel=False),
    Case("ntm_gated_delta", ntm(writing=GatedDelta(), write_heads=2), kernel=False),
    Case("ntm_gated_delta_2", ntm(writing=GatedDelta2(add_range="real")), kernel=False),
    Case("ntm_decay_add", ntm(writing=DecayAdd(decay=0.9), write_heads=2), kernel=False),
    Case("ntm_mlstm", ntm(writing=MLSTM(), write_heads=2), kernel=False),
    Case("ntm_titans", ntm(writing=Titans(), heads=Heads(read_first=True)), kernel=False),
    Case("ntm_hopfield", ntm(heads=Heads(read=Hopfield(iterations=2))), kernel=False),
    Case("ntm_without_readout", ntm(output_size=None, read_heads=2)),
    Case(
        "ntm_uniform",
        ntm(
            controller=wired(schedule=UniformWriting(interval=3, cached=False, read_between=True)),
            heads=[
                ReadHead(Content()),
                ReadHead(ContentAndLocation()),
                WriteHead(LeastRecentlyUsed()),
            ],
        ),
        kernel=False,
    ),
    Case("ntm_own_controller", own_controller(ntm, 1), own_controller=True, kernel=False),
    Case("dnc_lstm", dnc()),
    Case("dnc_lstm_2_layers", dnc(controller=stack(num_layers=2))),
    Case("dnc_lstm_skip_connections", dnc(controller=stack(num_layers=2, skip_connections=True))),
    Case("dnc_lstm_peephole", dnc(controller="lstm_peephole"), kernel=False),
    Case("dnc_gru", dnc(controller="gru")),
    Case("dnc_elman", dnc(controller="elman")),
    Case("dnc_jordan", dnc(controller="jordan"), kernel=False),
    Case("dnc_mtrnn", dnc(controller="mtrnn"), kernel=False),
    Case("dnc_feedforward", dnc(controller="feedforward")),
    Case("dnc_several_heads", dnc(read_heads=3, write_heads=2)),
    Case("dnc_learned_initial_state", dnc(start=Start(learned=True))),
    Case("dnc_one_read_head", dnc(read_heads=1)),
    Case("dnc_content_only", dnc(linkage=None)),
    Case("dnc_masked", dnc(content=Content(masked=True))),
    Case(
        "dnc_masked_content_only",
        dnc(content=Content(masked=True), linkage=None, read_heads=3, write_heads=2),
    ),
    Case("dnc_wiped", dnc(allocation=Allocation(wipe=True))),
    Case("dnc_sharpened", dnc(linkage=Linkage(sharpened=True), write_heads=2)),
    Case("neural_stack", neural_stack(), kernel=False, kinks=True),
    Case(
        "neural_queue_gru",
        neural_stack(order="queue", controller="gru"),
        kernel=False,
        kinks=True,
    ),
    Case("dnc_gru_without_readout", dnc(output_size=None, controller="gru")),
    Case("sam", sam(), kernel=False),
    Case("sam_several_heads", sam(read_heads=3, write_heads=2), kernel=False),
    Case("sam_softplus", sam(addressing=SOFTPLUS), kernel=False),
    Case("sam_reads_first", sam(addressing=READS_FIRST, read_heads=2), kernel=False),
    Case("sam_gru_all_words", sam(controller="gru", addressing=Sparse(top_k=4)), kernel=False),
    Case("sdnc", sdnc(), kernel=False, stopped=True),
    Case("sdnc_all_links", sdnc(read_heads=2, links=4), kernel=False, stopped=True),
    Case(
        "sam_product_keys_softplus",
        sam(addressing=PRODUCT_KEYS, memory_size=9, read_heads=2),
        kernel=False,
    ),
    Case(
        "sam_product_keys_all_words",
        sam(addressing=ProductKeys(), memory_size=4),
        kernel=False,
    ),
    Case("sam_without_readout", sam(output_size=None), kernel=False),
    Case(
        "sam_cached_uniform",
        sam(controller=wired(schedule=UniformWriting(interval=2))),
        kernel=False,
    ),
    Case(
        "sdnc_uniform",
        sdnc(controller=wired(schedule=UniformWriting(interval=3, cached=False))),
        kernel=False,
        stopped=True,
    ),
    Case("dnc_hopfield", dnc(content=Hopfield()), kernel=False),
    Case(
        "dnc_softmax_allocation",
        dnc(allocation=SoftmaxAllocation(wipe=True), write_heads=2),
        kernel=False,
    ),
    Case(
        "dnc_cached_uniform",
        dnc(controller=wired(schedule=UniformWriting(interval=2), num_layers=2)),
        kernel=False,
    ),
    Case(
        "dnc_cached_uniform_read_between",
        dnc(controller=wired(schedule=UniformWriting(interval=2, read_between=True))),
        kernel=False,
    ),
    Case(
        "dnc_normalised_interface",
        dnc(controller=wired(interface=NormalisedInterface())),
        kernel=False,
    ),
    Case(
        "ntm_normalised_interface",
        ntm(controller=wired(interface=NormalisedInterface(epsilon=0.1), cell="gru")),
        kernel=False,
    ),
    Case(
        "dnc_stored_programs",
        dnc(controller=wired(interface=StoredPrograms(programs=3))),
        kernel=False,
    ),
    Case("ntm_stored_programs", ntm(controller=wired(interface=StoredPrograms())), kernel=False),
    Case("dnc_own_controller", own_controller(dnc, 2), own_controller=True, kernel=False),
]

BY_NAME = {case.name: case for case in TABLE}


def one_memory(kind: Callable[..., Any]) -> Callable[..., Any]:
    """Two layers of a kind, without what `config`, `record` and the kernels need of a layer."""

    def make(**options: Any) -> Any:
        return memnets.OneMemory([kind(**{**options, "output_size": I}), kind(**options)])

    return make


WITH_STACKS = [
    *TABLE,
    Case("one_memory_ntm", one_memory(ntm(read_heads=2)), kernel=False),
    Case("one_memory_dnc", one_memory(dnc(output_size=None, controller="gru")), kernel=False),
    Case("one_memory_sam", one_memory(sam()), kernel=False),
]
"""All that is called as a layer is: what runs over this table asks for no more than that."""


def inputs(
    *, steps: int = T, batch: int = B, dtype: torch.dtype = torch.float64, seed: int = 1
) -> Tensor:
    """Random input [steps, batch, I]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, batch, I, generator=generator, dtype=torch.float64).to(dtype)


def leaves(state: Any) -> list[Tensor]:
    """The tensors of nested tuples, in order."""
    if isinstance(state, Tensor):
        return [state]
    return [leaf for part in state for leaf in leaves(part)]


def assert_same(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Two tensors or nested tuples of them have equal structure, shapes, dtypes and, nearly,
    values.
    """
    assert type(actual) is type(expected)
    if isinstance(expected, Tensor):
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)
        return
    assert len(actual) == len(expected)
    for part, expected_part in zip(actual, expected, strict=True):
        assert_same(part, expected_part, tolerance)


def numbers(state: Any) -> list[Tensor]:
    """The leaves that have a gradient: all but those that count, or point to slots."""
    return [leaf for leaf in leaves(state) if leaf.is_floating_point()]


def wanting(state: Any) -> Any:
    """A copy of a state whose numbers want a gradient."""
    copy = memnets.map_tensors(lambda leaf: leaf.detach().clone(), state)
    for leaf in numbers(copy):
        leaf.requires_grad_()
    return copy


def rows(state: Any, index: Any) -> Any:
    """The given rows of every tensor of a state."""
    return memnets.state.map_tensors(lambda leaf: leaf[index], state)


def results(layer: Any, *, steps: int = T, lengths: Any = None, seed: int = 0) -> list[Tensor]:
    """Output, final state, and gradients of x, of the state that was carried in and of every
    parameter; `seed` is for layers that draw at random.
    """
    x = inputs(steps=steps, dtype=layer.some_weight.dtype).requires_grad_()
    torch.manual_seed(seed)
    with torch.no_grad():
        carried = layer.initial_state(B)
        for x_t in inputs(steps=2, dtype=x.dtype, seed=2):
            carried = layer.advance(x_t, carried).state
    carried = wanting(carried)
    y, state = layer(x, carried, lengths=lengths)
    total = y.square().sum() + sum(leaf.square().sum() for leaf in leaves(state))
    wanted = [x, *numbers(carried), *layer.parameters()]
    gradients = torch.autograd.grad(total, wanted, materialize_grads=True)
    return [y, *leaves(state), *gradients]
