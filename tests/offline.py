"""A W&B that nobody is logged in to, and that writes only to the test's folder."""

import os
import sys

import pytest

from memnets.backends.cpu.library import cache_folder


@pytest.fixture(autouse=True)
def lonely_wandb(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR", "ARTIFACT_DIR"):
        folder = tmp_path / "wandb_home" / name.lower()
        folder.mkdir(parents=True)
        monkeypatch.setenv(f"WANDB_{name}", str(folder))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MEMNETS_CACHE", str(cache_folder()))  # else each test compiles the kernel
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.netrc
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.chdir(tmp_path)
    yield
    if sys.modules.get("wandb") is not None:
        sys.modules["wandb"].teardown()
