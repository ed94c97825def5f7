"""The kernel that comes with the package: chosen, checked, and replaced by the reference."""

import json
import logging
import re

import pytest
import torch

import memnets
from memnets import __main__
from memnets.backends import cpu as fused
from memnets.backends import registry
from memnets.backends.cpu import compiling, library, shipped
from tests.layers import BY_NAME, inputs

CACHED = (library.load, library.reason_against, registry._say_once, registry._warn_once)


@pytest.fixture
def built(tmp_path, monkeypatch):
    """An installed package, not a checkout, with a kernel for this processor and float64."""
    source = library.chosen_library("double")
    folder = tmp_path / "built"
    folder.mkdir()
    name = compiling.file_name("double", shipped.best_instruction_set())
    (folder / name).write_bytes(source.read_bytes())
    manifest = {
        "sources": compiling.digest_of_sources(),
        "files": {name: compiling.checksum(folder / name)},
    }
    (folder / compiling.MANIFEST).write_text(json.dumps(manifest))
    monkeypatch.setattr(compiling, "BUILT", folder)
    monkeypatch.setattr(library, "is_checkout", lambda: False)
    for variable in ("MEMNETS_KERNEL", "MEMNETS_CXXFLAGS"):
        monkeypatch.delenv(variable, raising=False)
    for cached in CACHED:
        cached.cache_clear()
    yield folder / name
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def no_compiler(built, monkeypatch):
    """The same on a machine that has none."""
    monkeypatch.setattr(library, "compiler", lambda: None)


@pytest.mark.usefixtures("no_compiler")
def test_it_is_loaded_without_a_compiler(built):
    assert library.chosen_library("double") == built
    assert library.reason_against(torch.float64) is None
    layer = BY_NAME["ntm_lstm"].build()
    layer.backend = "fused"
    y, _ = layer(inputs())
    layer.backend = "reference"
    torch.testing.assert_close(y, layer(inputs())[0], rtol=1e-10, atol=1e-10)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_sources(path):
    manifest = path.parent / compiling.MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sources": "of old"}))


def spoil_manifest(path):
    (path.parent / compiling.MANIFEST).write_text("[")


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (truncate, r"damaged \(\d+ bytes\)"),
        (flip, r"must have the checksum .* damaged"),
        (lambda path: path.unlink(), "nothing is there"),
        (spoil_manifest, "nothing is there"),
        (change_sources, "of another version"),
    ],
    ids=["truncated", "wrong_bit", "missing", "no_manifest", "other_sources"],
)
def test_without_a_whole_one_the_reference_serves_and_says_so_once(built, caplog, fault, reason):
    fault(built)
    with pytest.raises(fused.UnavailableError, match=rf"{reason}.*anew.*MEMNETS_KERNEL=native"):
        library.load(torch.float64)
    layer = BY_NAME["ntm_lstm"].build()
    with caplog.at_level(logging.INFO, logger="memnets"):
        with pytest.warns(memnets.PerformanceWarning, match=reason):
            layer(inputs())
        layer(inputs())
    assert caplog.text.count("runs on the reference backend") == 1


@pytest.mark.parametrize("call", ["layer", "step"])
def test_the_warning_points_at_the_users_call(built, call):
    built.unlink()
    layer = BY_NAME["ntm_lstm"].build()
    with pytest.warns(memnets.PerformanceWarning) as warned:
        layer(inputs()) if call == "layer" else layer.step(inputs()[0])
    assert [one.filename for one in warned] == [__file__]


@pytest.mark.usefixtures("built")
def test_a_checkout_compiles_what_did_not_come_along(built, monkeypatch):
    built.unlink()
    monkeypatch.setattr(library, "is_checkout", lambda: True)
    monkeypatch.setattr(library, "compiled_here", lambda number: f"compiled {number}")
    assert library.chosen_library("double") == "compiled double"


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(
    ("variable", "value"), [("MEMNETS_KERNEL", "native"), ("MEMNETS_CXXFLAGS", "-g")]
)
def test_one_compiled_here_is_asked_for_by_name(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(library, "compiled_here", lambda number: f"compiled {number}")
    assert library.chosen_library("float") == "compiled float"


@pytest.mark.usefixtures("built")
def test_an_unknown_kernel_is_refused(monkeypatch):
    monkeypatch.setenv("MEMNETS_KERNEL", "avx1024")
    with pytest.raises(ValueError, match=r"must be one of auto, native, .*, not 'avx1024'"):
        BY_NAME["ntm_lstm"].build()(inputs())


def test_the_best_of_those_that_came_along_is_taken(built, monkeypatch):
    monkeypatch.setattr(compiling, "instruction_sets", lambda: {"newest": (), **compiling.X86})
    monkeypatch.setattr(shipped, "best_instruction_set", lambda: "newest")
    assert shipped.library("double") == built
    with pytest.raises(fused.UnavailableError, match=r"double-newest.*nothing is there"):
        shipped.library("double", "newest")


@pytest.mark.usefixtures("built")
def test_the_processor_decides(monkeypatch):
    monkeypatch.setattr(compiling, "instruction_sets", lambda: compiling.X86)
    for capability, best in (("AVX512", "avx512"), ("AVX2", "avx2"), ("DEFAULT", "sse2")):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda c=capability: c)
        assert shipped.best_instruction_set() == best
    with pytest.raises(fused.UnavailableError, match=r"has sse2 at best.*avx2 was asked for"):
        shipped.library("double", "avx2")
    monkeypatch.setattr(compiling, "instruction_sets", lambda: {"neon": ()})
    assert shipped.best_instruction_set() == "neon"


def test_a_setting_that_there_is_not(built, monkeypatch, capsys):
    monkeypatch.setenv("MEMNETS_KERNAL", "avx2")
    said = "MEMNETS_KERNAL is no setting of memnets, .*: MEMNETS_KERNEL may be meant"
    with pytest.raises(ValueError, match=said):
        memnets.NTM(3, 2, dtype=torch.float64)(torch.zeros(1, 1, 3, dtype=torch.float64))
    assert __main__.main([]) == 1
    assert "MEMNETS_KERNEL may be meant" in capsys.readouterr().out
    monkeypatch.delenv("MEMNETS_KERNAL")
    layer = memnets.NTM(3, 2, dtype=torch.float64)
    assert layer.backend_for(torch.zeros(1, 1, 3, dtype=torch.float64)).backend == "fused"


def test_the_table_of_what_a_machine_uses(built, capsys):
    assert __main__.main([]) in (0, 1)  # the other kind of numbers is not in the package
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(rows) == [
        *("settings", "processor", "compiler", "cache"),
        *("float32", "float64", "threads"),
    ]
    assert re.match(r"fused, with .*, shipped; loaded in 0\.\d+ s from ", rows["float64"])
    assert rows["float32"].startswith("the reference, slower. ")


def test_a_setting_that_is_like_none(monkeypatch):
    """The prefix that all have makes no two alike."""
    monkeypatch.setenv("MEMNETS_QQQQ", "1")
    with pytest.raises(ValueError, match=r"MEMNETS_QQQQ is no setting of memnets, .*: unset it"):
        memnets.NTM(3, 2, dtype=torch.float64)(torch.zeros(1, 1, 3, dtype=torch.float64))
