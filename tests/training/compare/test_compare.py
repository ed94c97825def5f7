"""Runs are compared in the terminal, and on a page that a real browser opens from its file."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

import memnets
from memnets.inspect.plots import sequence_figure
from tests.training.compare import browser
from training.compare.__main__ import main, table
from training.compare.data import curves, find, groups, read, read_all
from training.compare.page import content, page
from training.options.config import to_json
from training.options.recipes import recipe

needs_browser = pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))


def make_run(
    folder,
    *,
    seed=0,
    rate=0.003,
    finished=True,
    name=None,
    task="copy",
    model="ntm",
    steps=60,
    changes=None,
):
    """A run folder as train.py leaves it, of made-up numbers."""
    folder = folder / (name or f"{model}-{rate}-{seed}")
    (folder / "pictures").mkdir(parents=True)
    config = to_json(recipe(task, model))
    config |= {"seed": seed, "name": folder.name}
    config["optimizer_options"]["learning_rate"] = rate
    config["run"]["sequences"] = 50_000  # whatever the recipe's are
    for section, values in (changes or {}).items():
        config[section] = {**config[section], **values} if isinstance(values, dict) else values
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "metrics.jsonl").open("w") as file:
        for step in range(1, steps + 1):
            wrong = max(0.0, 60 * np.exp(-rate * 40 * step) - 0.5 + seed / 10)
            at = {"step": 50 * step, "sequences": 800 * step}
            row = {"loss": wrong / 90, "bits_per_sequence": wrong * 2, "wrong_bits": wrong}
            row |= {"gradient_norm": 1 / step, "learning_rate": rate, "sequences_per_second": 99.5}
            file.write(json.dumps({**at, **row, "seconds": 2.0 * step + seed}) + "\n")
            if step % 10 == 0:
                file.write(json.dumps({**at, "validation/wrong_bits": wrong + 0.1}) + "\n")
    if not finished:
        with (folder / "metrics.jsonl").open("a") as file:
            file.write('{"step": 3050, "sequ')  # it is being written
        return folder
    settings = {"training": {"wrong_bits": seed / 10}, "length_120": {"wrong_bits": 3.5 + seed}}
    (folder / "evaluation.json").write_text(json.dumps({"settings": settings}))
    for number, setting in enumerate(settings):
        pixels = np.zeros((90, 160, 3), np.uint8)
        pixels[10:80, 20 * seed + 10 :, number] = 200
        Image.fromarray(pixels).save(folder / "pictures" / f"{setting}.png")
    return folder


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    for seed in (0, 1, 2):
        make_run(folder, seed=seed)
        make_run(folder, seed=seed, rate=0.001)
    make_run(folder, model="dnc", seed=0, finished=False, name="<i>half<!--")
    return folder


def test_runs_that_differ_only_in_the_seed_are_a_group(runs):
    found = groups([read(folder) for folder in find([runs])])
    labels = {group.label: [run.config["seed"] for run in group.runs] for group in found}
    assert labels == {
        "copy dnc": [0],
        "copy ntm learning_rate=0.001": [0, 1, 2],
        "copy ntm learning_rate=0.003": [0, 1, 2],
    }


def test_what_changes_no_weight_makes_no_group_and_is_in_no_name(tmp_path):
    logged = {"log_every": 10, "evaluate_every": 0, "evaluation_sequences": 8}
    make_run(tmp_path, seed=0)
    make_run(
        tmp_path, seed=1, changes={"run": {**logged, "checkpoint_every": 9, "pictures": False}}
    )
    make_run(tmp_path, seed=0, rate=0.001)
    make_run(
        tmp_path,
        name="other",
        changes={
            "optimizer": "graves_rmsprop",
            "optimizer_options": {"beta1": None, "momentum": 0.9, "learning_rate": 0.02},
        },
    )
    found = groups(read_all(find([tmp_path])))
    assert {group.label: len(group.runs) for group in found} == {
        "copy ntm optimizer=adam learning_rate=0.001": 1,
        "copy ntm optimizer=adam learning_rate=0.003": 2,
        "copy ntm optimizer=graves_rmsprop": 1,  # and nothing about what only Adam has
    }


def test_a_name_has_as_many_digits_as_are_needed(tmp_path):
    for rate in (0.0012345678, 0.0012399999, 0.5):
        make_run(tmp_path, rate=rate)
    labels = [group.label.split("=")[1] for group in groups(read_all(find([tmp_path])))]
    assert labels == ["0.001235", "0.00124", "0.5"]


def test_options_of_one_name_are_told_apart(tmp_path):
    make_run(tmp_path, name="a")
    changes = {"optimizer_options": {"size": 1}, "model_options": {"size": 2}}
    make_run(tmp_path, name="b", changes=changes)
    labels = [group.label for group in groups(read_all(find([tmp_path])))]
    assert set(labels) == {
        "copy ntm model.size=None optimizer.size=None",
        "copy ntm model.size=2 optimizer.size=1",
    }


def test_runs_in_sub_folders_are_found(tmp_path, capsys):
    """A sweep in runs/ was left out without a word."""
    folder = tmp_path / "runs"
    make_run(folder, name="alone")
    for sweep in ("first", "second"):
        make_run(folder / "sweeps" / sweep, rate=0.001, name="000")
    (folder / "sweeps" / "up").symlink_to(folder)  # a link that leads back
    main((folder,), pictures=False)
    assert "0 0" in capsys.readouterr().out  # one group of two
    assert (folder / "compare.html").is_file()
    names = [run.name for run in read_all(find([folder]))]
    assert names == ["alone", "sweeps/first/000", "sweeps/second/000"]
    two = [folder / "sweeps/first/000", folder / "sweeps/second/000"]
    assert [run.name for run in read_all(two)] == ["first/000", "second/000"]
    main(tuple(two), pictures=False)
    assert (folder / "sweeps/first/compare.html").is_file()


def test_every_task_has_a_table_of_its_own(tmp_path, capsys):
    make_run(tmp_path)
    make_run(tmp_path, task="reverse", name="reversed", steps=5)
    main((tmp_path,), pictures=False)
    first, second = capsys.readouterr().out.split("page:")[0].split("\n\n")
    assert "copy ntm" in first
    assert " best " in first
    assert "reverse ntm" in second
    assert " best " not in second  # where no run was validated
    tasks = content(groups(read_all(find([tmp_path]))))["tasks"]
    assert [(task["name"], task["groups"]) for task in tasks] == [
        ("copy", ["ntm"]),
        ("reverse", ["ntm"]),
    ]


def test_pictures_on_the_page_are_small_and_keep_their_colours(tmp_path):
    folder = make_run(tmp_path)
    torch.manual_seed(0)
    layer, x = memnets.NTM(4, 4, memory_size=64, word_size=8), torch.rand(40, 4)
    trace = memnets.record(layer, x)
    path = folder / "pictures" / "training.png"
    sequence_figure(x, x.round(), trace.outputs.sigmoid(), trace, all_slots=True).savefig(path)
    (run,) = content(groups([read(folder)]))["tasks"][0]["runs"]
    inside = base64.b64decode(run["pictures"]["training"].partition(",")[2])
    assert len(inside) < path.stat().st_size / 2
    shown, pixels = (
        np.asarray(Image.open(file).convert("RGB")).astype(int)
        for file in (io.BytesIO(inside), path)
    )
    assert np.abs(shown - pixels).max() <= 6  # also of the few that mark what is wrong


def test_the_table_has_medians_and_ranges(runs, capsys):
    main((runs,), page_path=runs.parent / "page.html")
    printed = capsys.readouterr().out
    (line,) = (x for x in printed.splitlines() if x.startswith("copy ntm learning_rate=0.003"))
    assert re.search(
        r"0 1 2 +3 of 3 +33,600 \(32,000-35,200\) +2 min 01 s .* 4.5 \(3.5-5.5\)$", line
    )
    assert "not finished: <i>half<!--, 48,000 of 50,000 sequences" in printed
    assert "page.html (open it in any browser)" in printed


def test_a_run_before_its_first_row(tmp_path):
    folder = make_run(tmp_path, steps=0, finished=False, name="new")
    (folder / "metrics.jsonl").unlink()
    found = groups([read(folder)])
    assert "0 of 1  -" in table(found)
    assert content(found)["tasks"][0]["runs"][0]["curves"] == {}


def test_long_curves_are_thinned_and_what_is_not_finite_is_left_out(tmp_path):
    folder = make_run(tmp_path, steps=2000)
    curve = curves(read(folder))["train/wrong_bits"]
    assert len(curve["values"]) == 500
    assert curve["sequences"][0] == np.mean([800, 1600, 2400, 3200])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 100050, "sequences": 1600800, "wrong_bits": NaN, "seconds": 1}\n')
    assert "NaN" not in page(groups([read(folder)]), pictures=False)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(SystemExit, match=r"nowhere is no run and holds none: give folders that"):
        main((tmp_path / "nowhere",))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text('{"task": "sort", "model": "ntm"}')
    with pytest.raises(SystemExit, match=r"old/config\.json is of another version of memnets:"):
        main((tmp_path / "old",))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.json").write_text("{")
    with pytest.raises(SystemExit, match=r"bad/config\.json is damaged"):
        main((tmp_path / "bad",))


def test_the_page_is_alone(runs):
    html = page(groups([read(folder) for folder in find([runs])]))
    assert "<i>half" not in html  # the name of a run is text
    assert "\\u003ci>half\\u003c!--" in html
    assert not re.search(r"(src|href)=[\"']?(?!data:)[\w./]", html)
    assert "default-src 'none'" in html


@needs_browser
def test_the_page_in_a_browser(runs, tmp_path, capsys):
    path = tmp_path / "compare.html"
    main((runs,), page_path=path)
    with browser.open_page(tmp_path / "profile") as shown:
        shown.open(path.as_uri())
        count = "return document.querySelectorAll('{}').length"
        assert shown.run(count.format("#plot .band")) == 2  # of the two groups with seeds
        assert shown.run(count.format("#plot .curve")) == 3
        shown.hover("#plot svg")
        assert "ntm learning_rate=0.001" in shown.run("return tip.innerText")
        page = "document.documentElement"
        assert shown.run(f"return {page}.scrollWidth <= {page}.clientWidth")
        assert {0, 1, 10} <= set(labels(shown, "y-tick"))  # curves that reach 0
        shown.screenshot(tmp_path / "first.png")

        shown.click("#bands")
        assert shown.run(count.format("#plot .curve")) == 7
        shown.click("#legend button[data-group='1']")
        assert shown.run(count.format("#plot .curve")) == 4
        shown.click("#small button[data-metric='validation/wrong_bits']")
        assert shown.run("return metric.value") == "validation/wrong_bits"
        before = shown.run("return plot.innerHTML")
        shown.click("#log")
        assert shown.run("return plot.innerHTML") != before

        first = "return document.querySelector('#finals tbody td').innerText"
        shown.click("#finals button[data-column='length_120']")
        assert shown.run(first) == "ntm-0.001-0"
        shown.click("#finals button[data-column='length_120']")
        assert shown.run(first) == "ntm-0.001-2"
        assert shown.run(count.format("#finals td.best")) >= 2

        rows = shown.run(count.format("#config tbody tr"))
        assert shown.run(count.format("#config tr.differs")) == rows > 0
        shown.click("#differing")
        assert shown.run(count.format("#config tbody tr")) > rows

        assert shown.run(count.format("#pictures img")) == 6
        assert shown.run("return document.querySelector('#pictures img').naturalWidth") == 160
        shown.click("#pictures figure:first-child button")
        assert shown.run("return large.open") is True
        shown.click("#close")
        assert shown.run("return large.open") is False
        shown.screenshot(tmp_path / "last.png")
        assert shown.messages() == []
        asked = [url for url in shown.requests() if not url.startswith(("data:", "chrome:"))]
        assert asked == [path.as_uri()]
    for name in ("first.png", "last.png"):
        with Image.open(tmp_path / name) as file:
            assert len(np.unique(np.asarray(file).reshape(-1, 3), axis=0)) > 50


TICKS = """
    const box = plot.querySelector('svg').viewBox.baseVal;
    return [...plot.querySelectorAll('.KIND')].map(text => {
        const {x, width} = text.getBBox();
        return {label: text.textContent, inside: x >= 0 && x + width <= box.width};
    });"""


def labels(shown, kind):
    """The labels of an axis as numbers; all are whole inside of the picture."""
    found = shown.run(TICKS.replace("KIND", kind))
    assert all(one["inside"] for one in found), found
    return [float(one["label"].replace(",", "")) for one in found]


@needs_browser
def test_the_axes_in_a_browser(tmp_path):
    make_run(tmp_path, rate=0.0001, steps=125)  # from some 60 wrong bits down to 36
    with browser.open_page(tmp_path / "profile") as shown:
        main((tmp_path,), pictures=False)
        shown.open((tmp_path / "compare.html").as_uri())
        assert labels(shown, "x-tick")[::5] == [0, 100_000]  # the last one at the very end
        values = labels(shown, "y-tick")
        assert len(values) >= 3
        assert min(values) > 30  # a logarithmic axis begins where the curves do
        shown.click("#log")
        assert min(labels(shown, "y-tick")) == 0
        shown.click("#log-x")
        assert min(labels(shown, "x-tick")) > 0

        for box in ("#log-x", "#log"):
            shown.click(box)
        shown.drag("#plot svg", 0.7, 0.9)
        zoomed = labels(shown, "x-tick")
        assert 60_000 < min(zoomed) < max(zoomed) < 95_000
        assert max(labels(shown, "y-tick")) < max(values)  # values have the range of what is seen
        assert shown.run("return document.querySelectorAll('#plot .curve').length") == 1
        shown.click("#whole")
        assert labels(shown, "x-tick")[::5] == [0, 100_000]
        shown.drag("#plot svg", 0.7, 0.9)
        shown.run("plot.querySelector('svg').dispatchEvent(new MouseEvent('dblclick'))")
        assert labels(shown, "x-tick")[::5] == [0, 100_000]
        assert shown.run("return whole.hidden") is True
        assert shown.messages() == []


@needs_browser
def test_tasks_and_runs_of_one_row_in_a_browser(tmp_path):
    make_run(tmp_path, rate=0.001)
    make_run(tmp_path, name="one", steps=1)
    make_run(tmp_path, name="none", rate=0.1, steps=0)
    make_run(tmp_path, task="reverse", name="reversed", steps=5, finished=False)
    with browser.open_page(tmp_path / "profile") as shown:
        main((tmp_path,), pictures=False)
        shown.open((tmp_path / "compare.html").as_uri())
        drawn = "return [...document.querySelectorAll('#plot .curve')].map(one => one.tagName)"
        assert sorted(shown.run(drawn)) == ["circle", "path"]
        assert "no rows yet" in shown.run("return legend.innerText")
        shown.click("button[data-task=reverse]")
        assert shown.run(drawn) == ["path"]
        assert shown.run("return legend.innerText").split()[0] == "ntm"
        assert shown.run("return document.querySelectorAll('#finals tbody tr').length") == 1
        assert "best while training" not in shown.run("return finals.innerText")
        assert max(labels(shown, "x-tick")) == 4000
        assert shown.messages() == []
