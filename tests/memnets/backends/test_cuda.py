"""The kernel for a GPU, on an emulator: against the reference, in several orders of its threads."""

import contextlib
import ctypes
import itertools
import math
from typing import Any
from unittest import mock

import pytest
import torch

import memnets
from memnets.backends.cpu.plan import Plan, Problem
from memnets.backends.cuda import driver, kernels, node
from memnets.backends.cuda.sizes import memory_sizes
from memnets.backends.cuda.sources import Sources, sizes_text, sources
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads
from memnets.parts.location import ContentAndLocation
from tests.emulator import ORDERS, emulated, sizes
from tests.layers import BY_NAME, TABLE, inputs, leaves
from tests.memnets.backends.test_fused import TOLERANCES, assert_agree, results

SERVED = [case.name for case in TABLE if case.kernel]


def agrees(layer: Any, x: torch.Tensor, *given: Any, warps: int = 4) -> None:
    """With the reference, and in every order of the threads to the last bit."""
    found = []
    for order in ORDERS:
        with emulated(order, 32 * warps):
            found.append(results(layer, "cuda", x, *given))
            if order == 0:
                assert_agree(layer, x, *given, backend="cuda")
    for other in found[1:]:
        assert all(torch.equal(*pair) for pair in zip(found[0], other, strict=True))


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
@pytest.mark.parametrize("name", SERVED)
def test_agrees_with_the_reference(name: str, dtype: torch.dtype) -> None:
    agrees(BY_NAME[name].build(dtype=dtype), inputs(dtype=dtype))


@pytest.mark.parametrize("every", [1, 2, 100])
@pytest.mark.parametrize("name", ["ntm_lstm", "ntm_gru", "dnc_lstm", "dnc_several_heads"])
def test_segments_and_lengths(name: str, every: int) -> None:
    x = inputs(steps=7, batch=5)
    agrees(BY_NAME[name].build(), x, torch.tensor([3, 7, 1, 4, 6]), every)


@pytest.mark.parametrize("name", SERVED)
def test_starts(name: str) -> None:
    """Rows that begin anew at once, twice in turn, at the last step, at their end, and never."""
    starts = torch.tensor([[1, 0, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 1, 0, 0], [0, 1, 0, 0, 1]])
    x, lengths = inputs(steps=4, batch=5), torch.tensor([4, 4, 2, 3, 1])
    agrees(BY_NAME[name].build(), x, lengths, 3, starts.bool())


@pytest.mark.parametrize("sizes", [(1, 1), (32, 2), (33, 17), (70, 40)])
@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_sizes_around_a_vector(kind: Any, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    options = {"read_heads": 5, "write_heads": 2, "hidden_size": 35, "dtype": torch.float64}
    layer = kind(3, 2, memory_size=sizes[0], word_size=sizes[1], **options)
    agrees(layer, torch.randn(2, 3, 3, dtype=torch.float64))


@pytest.mark.parametrize("warps", [1, 2, 8])
@pytest.mark.parametrize("name", ["dnc_lstm", "dnc_several_heads"])
def test_warps_of_a_row_divide_its_links(name: str, warps: int) -> None:
    """A block has one row; eight warps are more than have rows of a link to take."""
    layer, lengths = BY_NAME[name].build(), torch.tensor([5, 3])
    agrees(layer, inputs(batch=2), lengths, 2, warps=warps)


def test_shifts_farther_than_the_memory_and_sharpness_with_a_limit() -> None:
    torch.manual_seed(0)
    heads = Heads(read=ContentAndLocation(shift_range=4, sharpness_limit=1.7))
    layer = memnets.NTM(3, 2, memory_size=3, word_size=4, heads=heads, dtype=torch.float64)
    agrees(layer, torch.randn(3, 2, 3, dtype=torch.float64))


@pytest.mark.parametrize("multiprocessors", [1, 2, 7])
@pytest.mark.parametrize("threads", [32, 128])
def test_neither_blocks_nor_rows_change_a_row(threads: int, multiprocessors: int) -> None:
    """Threads divide the sums of a product: they agree, and rows to a block change no bit."""
    layer, x = BY_NAME["ntm_lstm"].build(), inputs(batch=7)
    with emulated(threads=threads, multiprocessors=multiprocessors) as launched:
        assert_agree(layer, x, backend="cuda")
        found = results(layer, "cuda", x)
    rows = min(threads // 32, {1: 8, 2: 4, 7: 1}[multiprocessors])
    assert {(one.rows, one.blocks) for one in launched} == {(rows, -(-7 // rows))}
    with emulated(threads=threads, multiprocessors=100):
        alone = results(layer, "cuda", x)
    assert all(torch.equal(*pair) for pair in zip(found, alone, strict=True))


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_a_block_works_in_shared_memory_where_it_fits(name: str) -> None:
    """Where it works changes no bit."""
    layer, x = BY_NAME[name].build(), inputs()
    with emulated() as launched:
        expected = results(layer, "cuda", x)
    sizes = [one.shared for one in launched]
    assert min(sizes) > 0
    for most in (max(sizes), max(sizes) - 1, 0):
        with emulated(shared=most) as launched:
            found = results(layer, "cuda", x)
        assert [one.shared for one in launched] == [size if size <= most else 0 for size in sizes]
        numbers = [one.shared // 8 + one.arena.shape[1] for one in launched]
        assert numbers == [size // 8 for size in sizes]
        assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", ["ntm_lstm", "dnc_lstm"])
def test_a_second_backward(name: str) -> None:
    """It makes the records of all segments again."""
    layer = BY_NAME[name].build(backend=memnets.Backend("cuda", checkpoint_every=2))
    with emulated():
        y, _ = layer(inputs().requires_grad_())
        wanted = [*layer.parameters()]
        found = [
            torch.autograd.grad(y.sum(), wanted, retain_graph=again) for again in (True, False)
        ]
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_a_second_derivative_is_the_references() -> None:
    layer, x, found = BY_NAME["ntm_lstm"].build(), inputs(), []
    for backend in ("reference", "cuda"):
        layer.backend = backend
        seen = x.clone().requires_grad_()
        with emulated():
            (slope,) = torch.autograd.grad(layer(seen)[0].square().sum(), seen, create_graph=True)
            found.append(torch.autograd.grad(slope.square().sum(), seen)[0])
    torch.testing.assert_close(*found)


def test_without_gradients_nothing_is_kept() -> None:
    layer, x = BY_NAME["dnc_lstm"].build(backend="cuda"), inputs()
    with emulated() as launched, torch.no_grad():
        y, state = layer(x)
    assert [one.problem.times_kept for one in launched] == [0]
    layer.backend = "reference"
    expected, end = layer(x)
    torch.testing.assert_close([y, *leaves(state)], [expected, *leaves(end)])


@pytest.mark.parametrize("name", SERVED)
def test_the_sizes_are_the_kernels(name: str) -> None:
    plan = Plan(BY_NAME[name].build().spec)
    for times_kept, dtype in itertools.product((0, 1), TOLERANCES):
        problem = Problem.from_buffer_copy(plan.problem)
        problem.times_kept = times_kept
        assert memory_sizes(problem) == sizes(problem, dtype)


# ------------------------------------------------------------------------ what is compiled


def test_what_a_kernel_is_for() -> None:
    """One layer, one kind of number, one place to work in, and one segment or several."""
    plans = [Plan(memnets.NTM(9, 8, memory_size=n).spec) for n in (16, 17)]

    def digests() -> list[str]:
        every = itertools.product(plans, TOLERANCES, (True, False), (True, False))
        return [sources(*one, shared=a, segments=b).digest for *one, a, b in every]

    assert len(set(digests())) == 16
    assert digests() == digests()


def test_infinity_has_a_literal() -> None:
    text = sizes_text(Plan(memnets.NTM(9, 8).spec), segments=True)
    assert "inf" not in text
    assert "1.7976931348623157e+308" in text


def test_a_compiled_kernel_is_kept(tmp_path: Any, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setenv("MEMNETS_CACHE", str(tmp_path))
    monkeypatch.setattr("memnets.backends.cuda.nvrtc.compiled", lambda *given: (b"a cubin", ""))
    plan = Plan(memnets.NTM(9, 8).spec)
    made_of = sources(plan, torch.float32, shared=True, segments=True)
    assert [kernels.cubin(made_of, "sm_90") for _ in range(2)] == 2 * [b"a cubin"]
    assert caplog.messages == [
        "memnets: compiling the kernel for sm_90, once for these sizes; this takes up to a minute."
    ]
    assert [path.name for path in tmp_path.iterdir()] == [f"sm_90-{made_of.digest}.cubin"]


@pytest.mark.parametrize("most", [2**20, 0])
def test_what_a_kernel_is_started_with(most: int, monkeypatch: Any) -> None:
    """The problem and its layers by value, as struct Sizes has them, then two numbers."""
    started: list[Any] = []
    monkeypatch.setattr(kernels, "_functions", lambda *given: (f"forward {given[2]}", "backward"))
    monkeypatch.setattr(kernels.driver, "start", lambda *given: started.append(given))
    launch = kernels.launch
    layer = BY_NAME["ntm_lstm_2_layers"].build(backend="cuda")
    with emulated(shared=most) as launched:
        layer(inputs())
    (one,) = launched
    launch(one)
    kernel, _, blocks, threads, shared, (problem, arena, size) = started[0]
    assert (kernel, blocks, shared) == (f"forward {most > 0}", one.blocks, one.shared)
    assert (math.prod(threads), threads[1]) == (node.THREADS, one.rows)
    assert (arena.value or 0, size.value) == (one.arena.data_ptr(), one.arena.shape[1])
    assert bytes(problem) == bytes(one.problem) + b"".join(map(bytes, one.layers))
    assert len(bytes(problem)) == ctypes.sizeof(Problem) + 2 * ctypes.sizeof(one.layers[0])


def test_only_calls_of_several_segments_have_a_kernel_that_makes_records_again(
    monkeypatch: Any,
) -> None:
    asked: list[str] = []

    def functions(made_of: Sources, *given: Any) -> tuple[str, str]:
        asked.append(made_of.headers["sizes.h"])
        return "forward", "backward"

    monkeypatch.setattr(kernels, "_functions", functions)
    monkeypatch.setattr(kernels.driver, "start", lambda *given: None)
    launch = kernels.launch
    for every in (None, 2):
        layer = BY_NAME["ntm_lstm"].build(backend=memnets.Backend("cuda", checkpoint_every=every))
        with emulated() as launched:
            layer(inputs())[0].sum().backward()
        for one in launched:
            launch(one)
    assert ["checkpoints = nullptr" in text for text in asked] == [True, True, False, False]


@pytest.fixture
def called(monkeypatch: Any) -> mock.MagicMock:
    """The driver's calls, of which none can run here."""
    made = mock.MagicMock()
    for name in ("cuModuleLoadData", "cuModuleGetFunction", "cuFuncSetAttribute", "cuCtxGetDevice"):
        getattr(made, name).return_value = 0
    monkeypatch.setattr(driver, "library", lambda: made)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    return made


def test_how_much_shared_memory_a_block_can_have(called: mock.MagicMock) -> None:
    def found(place: Any, number: Any, device: Any) -> int:
        place._obj.value = 232448 if number.value == 97 else 0
        return 0

    called.cuDeviceGetAttribute.side_effect = found
    assert driver.attribute(driver.MOST_SHARED, torch.device("cuda", 0)) == 232448


def test_more_shared_memory_than_any_kernel_has_is_asked_for(called: mock.MagicMock) -> None:
    for shared, asked in ((0, []), (166912, [(8, 166912)])):
        driver.function(b"a cubin", "memnets_forward", torch.device("cuda", 0), shared)
        given = called.cuFuncSetAttribute.call_args_list
        assert [(number.value, most.value) for (_, number, most), _ in given] == asked


# ------------------------------------------------------------------------------ refusals


def refuses(layer: Any, x: Any, reason: str) -> None:
    for call in (lambda: layer(x), lambda: layer.backend_for(x)):
        with pytest.raises(ValueError, match=rf'backend="cuda" cannot serve this call\. {reason}'):
            call()


def test_a_layer_on_the_cpu() -> None:
    refuses(BY_NAME["ntm_lstm"].build(backend="cuda"), inputs(), "It runs on a GPU; the layer is")


@pytest.mark.parametrize("name", [case.name for case in TABLE if not case.kernel])
def test_what_it_does_not_know(name: str) -> None:
    with emulated():
        refuses(BY_NAME[name].build(backend="cuda"), inputs(), "It knows")


def test_too_many_heads_and_layers() -> None:
    with emulated():
        refuses(
            memnets.DNC(3, 2, memory_size=4, word_size=2, read_heads=17, backend="cuda"),
            torch.rand(2, 1, 3),
            "It takes up to 16 heads of a kind; the layer has 17",
        )
        most = kernels.most_layers()
        deep = Stack(num_layers=most + 1, hidden_size=2)
        refuses(
            memnets.NTM(3, 2, memory_size=4, word_size=2, controller=deep, backend="cuda"),
            torch.rand(2, 1, 3),
            f"It takes controllers of up to {most} layers; this one has {most + 1}",
        )


def test_forward_mode() -> None:
    layer, x = BY_NAME["ntm_lstm"].build(backend="cuda"), inputs()
    with emulated(), pytest.raises(ValueError, match="It has no forward-mode derivative"):
        torch.func.jvp(lambda one: layer(one)[0], (x,), (x,))


def test_auto_does_not_choose_it() -> None:
    with emulated() as launched:
        BY_NAME["ntm_lstm"].build(backend="auto")(inputs())
    assert launched == []
