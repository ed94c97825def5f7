"""Runs are compared in the terminal, and on a page that a real browser opens from its file."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.training import browser
from training.compare import main, table
from training.compare_data import curves, find, groups, read
from training.compare_page import content, page
from training.config import to_json
from training.recipes import recipe


def make_run(folder, *, seed=0, rate=0.003, finished=True, name=None, model="ntm", steps=60):
    """A run folder as train.py leaves it, of made-up numbers."""
    folder = folder / (name or f"{model}-{rate}-{seed}")
    (folder / "pictures").mkdir(parents=True)
    config = to_json(recipe("copy", model))
    config |= {"seed": seed, "name": folder.name}
    config["optimizer_options"]["learning_rate"] = rate
    config["run"]["sequences"] = 50_000  # whatever the recipe's are
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
    assert content(found)["runs"][0]["curves"] == {}


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


@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_the_page_in_a_browser(runs, tmp_path, capsys):
    path = tmp_path / "compare.html"
    main((runs,), page_path=path)
    with browser.open_page(tmp_path / "profile") as shown:
        shown.open(path.as_uri())
        count = "return document.querySelectorAll('{}').length"
        assert shown.run(count.format("#plot .band")) == 2  # of the two groups with seeds
        assert shown.run(count.format("#plot .curve")) == 3
        shown.hover("#plot svg")
        assert "copy ntm learning_rate=0.001" in shown.run("return tip.innerText")
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
