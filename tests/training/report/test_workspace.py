"""The workspace for W&B: what it names is logged, and W&B's own library takes it."""

import importlib.util
import json

import pytest

from training.report.workspace import PANELS, Curve, build, main

INSTALLED = importlib.util.find_spec("wandb_workspaces") is not None
REASON = "wandb-workspaces is not installed: pip install -e '.[workspace]'"


def named():
    """Every metric and every picture that a panel names."""
    panels = [panel for row in PANELS.values() for panel in row]
    curves = {name for panel in panels if isinstance(panel, Curve) for name in panel.metrics}
    return curves, {
        name for panel in panels if not isinstance(panel, Curve) for name in panel.names
    }


@pytest.mark.skipif(INSTALLED, reason="wandb-workspaces is installed")
def test_without_the_library_the_error_says_what_to_install():
    with pytest.raises(SystemExit, match=r"is missing .*: pip install -e '\.\[workspace\]'"):
        main("somebody")


@pytest.mark.skipif(not INSTALLED, reason=REASON)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_library_takes_it():
    workspace = build("somebody", "memnets", "mine")
    sent = json.loads(workspace._to_model().spec.model_dump_json(by_alias=True))
    found = json.dumps(sent)
    for name in set.union(*named()):
        assert json.dumps(name) in found, name
    titles = [one["name"] for one in sent["section"]["panelBankConfig"]["sections"]]
    assert titles[: len(PANELS)] == list(PANELS)


@pytest.mark.skipif(not INSTALLED, reason=REASON)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_without_an_account_it_is_a_plain_error(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(SystemExit, match=r"workspace: error: "):
        main("somebody")
