"""One page that compares runs: everything is inside of it, and it asks nobody for anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.compare_data import Group, curves, differing

TEMPLATE = Path(__file__).with_name("compare.html")


def page(found: Sequence[Group], *, pictures: bool = True) -> str:
    """The HTML of a page that compares groups of runs, with their pictures inside."""
    data = json.dumps(content(found, pictures=pictures), separators=(",", ":"), allow_nan=False)
    # Inside of a script element, `</script>` or `<!--` in a name would end it.
    safe = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return TEMPLATE.read_text(encoding="utf-8").replace('"THE DATA"', safe)


def content(found: Sequence[Group], *, pictures: bool = True) -> dict[str, Any]:
    """What the page shows, as plain values."""
    runs = [run for group in found for run in group.runs]
    configs = [{**group.config} for group in found]
    apart = set(differing(configs))
    names = list(dict.fromkeys(name for config in configs for name in config))
    heads = list(dict.fromkeys(name.partition(".")[0] for name in names))
    names.sort(key=lambda name: heads.index(name.partition(".")[0]))
    return {
        "groups": [group.label for group in found],
        "runs": [
            {
                "name": run.name,
                "group": index,
                "seed": run.config["seed"],
                "finished": bool(run.evaluation),
                "sequences": run.sequences,
                "wanted": run.config["run"]["sequences"],
                "seconds": run.seconds,
                "solved": run.solved["sequences"] if run.solved else None,
                "best": run.best(),
                "finals": {name: run.final(name) for name in run.evaluation},
                "curves": curves(run),
                "pictures": {p.stem: _inside(p) for p in run.pictures} if pictures else {},
            }
            for index, group in enumerate(found)
            for run in group.runs
        ],
        "settings": list(dict.fromkeys(name for run in runs for name in run.evaluation)),
        "config": [
            {
                "name": name,
                "values": [str(config[name]) if name in config else "" for config in configs],
                "differs": name in apart,
            }
            for name in names
        ],
    }


def _inside(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
