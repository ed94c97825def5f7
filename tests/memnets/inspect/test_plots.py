"""The pictures show the numbers of the trace, whatever the heads, and refuse what they cannot."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

import memnets
from memnets.inspect import plots
from tests.layers import TABLE, Case, inputs

T = 5


def sequence(case: Case):
    x = inputs()[:, 0]
    layer = case.build()
    return x, memnets.record(layer, x), layer


def find(figure, label):
    """The panels with this label, in the order in which they were made."""
    return [axes for axes in figure.axes if axes.get_ylabel().replace("\n", " ") == label]


KINDS = ("ntm_several_heads", "ntm_content", "ntm_own_addressing", "dnc_lstm", "dnc_several_heads")
KINDS += ("sam_several_heads",)


@pytest.mark.parametrize("case", [case for case in TABLE if case.name in KINDS], ids=str)
def test_the_heads_of_every_layer(case: Case) -> None:
    _, trace, layer = sequence(case)
    figure = plots.heads_figure(trace, title="heads", all_slots=True)
    weights = [*trace.memory.write_weights.unbind(1), *trace.memory.read_weights.unbind(1)]
    panels = find(figure, "slot")
    assert len(panels) == len(weights)
    for axes, expected in zip(panels, weights, strict=True):
        drawn = np.asarray(axes.images[0].get_array())
        np.testing.assert_allclose(drawn, expected.T.numpy(), atol=1e-12)
    assert len(find(figure, "slots in focus")) == len(weights)
    if isinstance(trace.interface, memnets.NTMInterface):
        assert len(find(figure, "content gate")) == len(weights)
    if isinstance(layer, memnets.DNC):
        assert len(find(figure, "read modes")) == layer.read_heads
        assert len(find(figure, "usage of slot")) == layer.write_heads


def test_the_gates_and_the_mean_shift_of_an_ntm() -> None:
    torch.manual_seed(0)
    heads = memnets.Heads(read=memnets.ContentAndLocation(shift_range=2))
    layer = memnets.NTM(3, 2, memory_size=6, word_size=4, heads=heads)
    trace = memnets.record(layer, torch.randn(T, 3))
    figure = plots.heads_figure(trace)
    write, read = find(figure, "mean shift (slots)")
    for axes, shifts in ((write, "write_shifts"), (read, "read_shifts")):
        offsets = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
        expected = getattr(trace.interface, shifts)[:, 0] @ offsets
        np.testing.assert_allclose(axes.lines[0].get_ydata(), expected.numpy(), rtol=1e-5)
    line = find(figure, "content gate")[0].lines[0]
    expected = trace.interface.write_gates[:, 0].numpy()
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)


def test_read_modes_are_stacked_to_one() -> None:
    torch.manual_seed(0)
    layer = memnets.DNC(3, 2, memory_size=6, word_size=4, read_heads=1, write_heads=2)
    trace = memnets.record(layer, torch.randn(T, 3))
    (axes,) = find(plots.heads_figure(trace), "read modes")
    heights = np.array([bar.get_height() for bar in axes.patches]).reshape(3, T)
    modes = trace.interface.read_modes[:, 0]
    np.testing.assert_allclose(heights[1], modes[:, 2:4].sum(1).numpy(), rtol=1e-6)
    np.testing.assert_allclose(heights.sum(0), 1, rtol=1e-6)


def test_slots_in_focus() -> None:
    weights = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = plots.slots_in_focus(weights)
    torch.testing.assert_close(found[:2], torch.tensor([4.0, 1.0]))
    assert found[2].isnan()


def test_the_memory_after_some_steps() -> None:
    torch.manual_seed(0)
    layer = memnets.NTM(3, 2, memory_size=6, word_size=4)
    trace = memnets.record(layer, torch.randn(T, 3))
    figure = plots.memory_figure(trace, steps=[1, -1], slots=[5, 0])
    expected = trace.memory.memory[[1, T - 1]][:, [5, 0]].double().numpy()
    for axes, rows in zip(figure.axes, expected, strict=False):
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), rows)
        low, high = axes.images[0].get_clim()
        assert low == -high
        assert high == pytest.approx(np.abs(expected).max())
    titles = [axes.get_title() for axes in plots.memory_figure(trace).axes[:4]]
    assert titles == [f"after step {step}" for step in (0, 1, 3, 4)]


def test_links_in_the_order_of_the_writes() -> None:
    """Slots 3, 0, 2 are written, in this order: the links are right below the diagonal."""
    torch.manual_seed(0)
    layer = memnets.DNC(3, 2, memory_size=4, word_size=4)
    trace = memnets.record(layer, torch.randn(3, 3))
    writes, link = torch.zeros(3, 1, 4), torch.zeros(3, 1, 4, 4)
    for step, slot in enumerate((3, 0, 2)):
        writes[step, 0, slot] = 1
    link[-1, 0, 0, 3] = link[-1, 0, 2, 0] = 1
    memory = trace.memory._replace(write_weights=writes, link=link)
    figure = plots.link_figure(trace._replace(memory=memory))
    by_number, in_order = (np.asarray(axes.images[0].get_array()) for axes in figure.axes[:2])
    np.testing.assert_array_equal(by_number, link[-1, 0].numpy())
    np.testing.assert_array_equal(in_order, np.eye(3, k=-1))
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["3", "0", "2"]


def test_an_animation_has_a_frame_a_step(tmp_path) -> None:
    torch.manual_seed(0)
    layer = memnets.DNC(3, 2, memory_size=4, word_size=3)
    x = torch.randn(3, 3)
    trace = memnets.record(layer, x)
    path = tmp_path / "memory.gif"
    mask = torch.tensor([0.0, 0.0, 1.0])
    options = {"mask": mask, "frames_per_second": 4.0, "dpi": 50}
    plots.save_animation(path, x, trace.outputs.sigmoid(), trace, **options)
    with Image.open(path) as film:
        assert film.n_frames == 3
        durations, frames = [], []
        for frame in range(3):
            film.seek(frame)
            durations.append(film.info["duration"])
            frames.append(np.asarray(film.convert("RGB")))
    assert durations == [250, 250, 1250]
    assert not np.array_equal(frames[0], frames[1])


ROWS = [("bits", 2, (0.0, 1.0)), ("priority", 1, (-1.0, 1.0)), ("delimiter", 1, (0.0, 1.0))]
SORTED = torch.tensor([[0.0, 1.0, -0.5, 0.0], [1.0, 1.0, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0]])


def test_rows_are_named_and_have_the_scale_of_their_range() -> None:
    answers = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    figure = plots.sequence_figure(
        SORTED, answers, answers, input_rows=ROWS, output_rows=[("bits", 2, (0.0, 1.0))]
    )
    shown = figure.axes[0]
    assert [text.get_text() for text in shown.get_yticklabels()] == [row[0] for row in ROWS]
    assert shown.get_yticks().tolist() == [0.5, 2, 3]
    grey, signed = shown.images
    assert (grey.get_clim(), signed.get_clim()) == ((0, 1), (-1, 1))
    white = [image.get_cmap()(image.norm(0.0)) for image in (grey, signed)]
    np.testing.assert_allclose(white, 1, atol=0.05)  # no input is white, whatever the range
    for image, rows in ((grey, [0, 1, 3]), (signed, [2])):
        drawn = np.ma.filled(image.get_array(), np.nan)
        np.testing.assert_array_equal(drawn[rows], SORTED.T[rows])
        assert np.isnan(np.delete(drawn, rows, 0)).all()
    assert {axes.get_ylabel() for axes in figure.axes[3:]} == {"value", "priority"}


def test_without_names_a_row_beyond_0_and_1_still_has_a_scale_of_its_own() -> None:
    bits = SORTED[:, :2]
    figure = plots.sequence_figure(SORTED, bits, bits)
    grey, signed = figure.axes[0].images
    assert (grey.get_clim(), signed.get_clim()) == ((0, 1), (-0.5, 0.5))
    assert len(plots.sequence_figure(bits, bits, bits).axes[0].images) == 1


def test_names_of_rows_do_not_overlap() -> None:
    wide = [("bits", 8, (0, 1)), ("item delimiter", 1, (0, 1)), ("query delimiter", 1, (0, 1))]
    x, y = torch.zeros(9, 10), torch.zeros(9, 8)
    figure = plots.sequence_figure(x, y, y, input_rows=wide, title="long")
    plots.pixels(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))


def test_a_legend_says_what_the_marks_are() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    wrong = plots.sequence_figure(targets, targets, 1 - targets).axes[2]
    assert [text.get_text() for text in wrong.get_legend().get_texts()] == ["wrong bit"]
    right = plots.sequence_figure(targets, targets, targets).axes[2]
    assert right.get_legend() is None


def test_a_symbol_is_wrong_where_its_output_is_not_the_largest() -> None:
    targets = torch.eye(3)
    outputs = torch.tensor([[0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.6, 0.0, 0.4]])
    axes = plots.sequence_figure(targets, targets, outputs, symbols=True).axes[2]
    (dots,) = axes.collections
    np.testing.assert_array_equal(dots.get_offsets(), [[1, 2], [2, 0]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["wrong symbol"]


@pytest.mark.parametrize("channels", [1, 2, 200])
def test_panels_have_room_for_their_labels_and_are_not_taller_than_a_page(channels) -> None:
    x = torch.zeros(9, channels)
    trace = memnets.record(memnets.NTM(channels, channels, memory_size=128, word_size=3), x)
    rows = [("key", channels, (0, 1))]
    figure = plots.sequence_figure(x, x, x, trace, input_rows=rows, title="wide", all_slots=True)
    plots.pixels(figure)
    labels = [axes.yaxis.label.get_window_extent() for axes in figure.axes[:3]]
    assert all(upper.y0 > lower.y1 + 4 for upper, lower in pairwise(labels))
    assert figure.get_figheight() < 16


def frames(path):
    with Image.open(path) as film:
        found = []
        for frame in range(film.n_frames):
            film.seek(frame)
            found.append(np.asarray(film.convert("RGB")).astype(int))
    return found


def test_an_animation_names_its_rows_and_colours_them_by_range(tmp_path) -> None:
    torch.manual_seed(0)
    layer = memnets.NTM(4, 2, memory_size=4, word_size=3)
    trace = memnets.record(layer, SORTED)
    found = {}
    for name, rows in (("plain", None), ("named", ROWS)):
        path = tmp_path / f"{name}.gif"
        plots.save_animation(
            path, SORTED, trace.outputs.sigmoid(), trace, mask=torch.zeros(3), input_rows=rows
        )
        found[name] = frames(path)
    for drawn in found.values():  # left of the middle, only the priorities have a colour
        left = drawn[-1][40:, : drawn[-1].shape[1] * 2 // 5]
        brown, green = left[..., 0] - left[..., 2], left[..., 1] - left[..., 0]
        assert (brown > 60).sum() > 100
        assert (green > 20).sum() > 100
    assert not np.array_equal(found["plain"][-1], found["named"][-1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("bits", 2, (0, 1))], r"input_rows must describe all 4 channels, but the counts are"),
        ([("a", 4, (0, 1)), ("b", 0, (0, 1))], r"the counts are \[4, 0\]: give a name, a count of"),
        ([("bits", 4, (1, 1))], r"input_rows: the range of bits must go .* got 1 to 1"),
    ],
)
def test_rows_that_do_not_fit(rows, message, tmp_path) -> None:
    answers = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=message):
        plots.sequence_figure(SORTED, answers, answers, input_rows=rows)
    with pytest.raises(ValueError, match=message.replace("input_rows", "output_rows")):
        plots.sequence_figure(answers, SORTED, SORTED, output_rows=rows)
    trace = memnets.record(memnets.NTM(4, 2, memory_size=4, word_size=3), SORTED)
    with pytest.raises(ValueError, match=message):
        plots.save_animation(tmp_path / "x.gif", SORTED, answers, trace, input_rows=rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, many, one: plots.heads_figure(many), r"part\[:, 0\], trace\)"),
        (lambda x, many, one: plots.memory_figure(many), "without a batch axis"),
        (lambda x, many, one: plots.link_figure(many), "without a batch axis"),
        (lambda x, many, one: plots.link_figure(one), "a NTMMemory has no link matrix"),
        (lambda x, many, one: plots.memory_figure(one, steps=[5]), "steps must be from -5 to 4"),
        (lambda x, many, one: plots.memory_figure(one, slots=[]), r"slots must be .* got \[\]"),
        (
            lambda x, many, one: plots.save_animation("x.gif", x[:2], one.outputs, one),
            r"must be \[T, ...\] of one sequence, got \[2, 3\]",
        ),
        (
            lambda x, many, one: plots.save_animation(
                "x.gif", x, one.outputs, one, frames_per_second=0
            ),
            "frames_per_second must be above 0, got 0",
        ),
    ],
)
def test_what_cannot_be_drawn(call, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    layer, x = memnets.NTM(3, 2, memory_size=6, word_size=4), torch.randn(T, 3)
    many, one = memnets.record(layer, x[:, None]), memnets.record(layer, x)
    with pytest.raises(ValueError, match=message):
        call(x, many, one)
    assert not list(tmp_path.iterdir())


def test_one_row_of_a_batch_as_the_error_says() -> None:
    layer, x = memnets.NTM(3, 2, memory_size=6, word_size=4), torch.randn(T, 2, 3)
    trace = memnets.map_tensors(lambda part: part[:, 0], memnets.record(layer, x))
    assert len(find(plots.heads_figure(trace), "slot")) == 2


def test_without_matplotlib_the_error_names_what_to_install() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; import memnets; print('there'); "
    code += "from memnets.inspect import plots"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout == "there\n"
    assert "ModuleNotFoundError: memnets.inspect.plots draws with matplotlib" in done.stderr
    assert "pip install 'memnets[train]'" in done.stderr
