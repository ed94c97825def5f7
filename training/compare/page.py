"""One page that compares runs: everything is inside of it, and it asks nobody for anything."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memnets.inspect import palette
from training.compare.data import Found, Group, curves, differing

TEMPLATE = Path(__file__).with_name("page.html")
SCRIPTS = ("chart.js", "page.js")


def page(found: Sequence[Group], *, pictures: bool = True) -> str:
    """The HTML of a page that compares groups of runs, with their pictures inside."""
    data = json.dumps(content(found, pictures=pictures), separators=(",", ":"), allow_nan=False)
    # Inside of a script element, `</script>` or `<!--` in a name would end it.
    safe = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    html = TEMPLATE.read_text(encoding="utf-8")
    for name in SCRIPTS:
        script = TEMPLATE.with_name(name).read_text(encoding="utf-8")
        html = html.replace(f"/* {name} */\n", script)
    return html.replace('"THE DATA"', safe)


def content(found: Sequence[Group], *, pictures: bool = True) -> dict[str, Any]:
    """What the page shows, as plain values: each task by itself."""
    tasks: dict[str, list[Group]] = {}
    for group in found:
        tasks.setdefault(group.task, []).append(group)
    return {
        "colours": palette.LINES,
        "tasks": [_task(name, some, pictures) for name, some in tasks.items()],
    }


def _task(name: str, found: Sequence[Group], pictures: bool) -> dict[str, Any]:
    runs = [run for group in found for run in group.runs]
    return {
        "name": name,
        "groups": [group.label.removeprefix(f"{name} ") for group in found],
        "runs": [
            _run(run, index, pictures) for index, group in enumerate(found) for run in group.runs
        ],
        "settings": list(dict.fromkeys(setting for run in runs for setting in run.evaluation)),
        "config": _configurations([group.config for group in found]),
    }


def _run(run: Found, group: int, pictures: bool) -> dict[str, Any]:
    return {
        "name": run.name,
        "group": group,
        "seed": run.config["seed"],
        "finished": bool(run.evaluation),
        "sequences": run.sequences,
        "wanted": run.config["run"]["sequences"],
        "seconds": run.seconds,
        "solved": run.solved.sequences if run.solved else None,
        "best": run.best(),
        "finals": {name: run.final(name) for name in run.evaluation},
        "curves": curves(run),
        "pictures": {path.stem: _inside(path) for path in run.pictures} if pictures else {},
    }


def _configurations(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each field, those of one section next to each other."""
    apart = set(differing(configs))
    names = list(dict.fromkeys(name for config in configs for name in config))
    heads = list(dict.fromkeys(name.partition(".")[0] for name in names))
    names.sort(key=lambda name: heads.index(name.partition(".")[0]))
    return [
        {
            "name": name,
            "values": [str(config[name]) if name in config else "" for config in configs],
            "differs": name in apart,
        }
        for name in names
    ]


def _inside(path: Path) -> str:
    """A picture as an address that holds it, in 256 colours: less than half of its size."""
    from PIL import Image

    smaller = io.BytesIO()
    # Coverage keeps rare colours, such as those of marks; the median would mix them with others.
    method = Image.Quantize.MAXCOVERAGE
    with Image.open(path) as picture:
        flat = picture.convert("RGB").quantize(256, method, dither=Image.Dither.NONE)
    flat.save(smaller, "PNG")
    return "data:image/png;base64," + base64.b64encode(smaller.getvalue()).decode()
