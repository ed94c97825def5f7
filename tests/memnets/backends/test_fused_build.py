"""How the kernel is built: the structures it shares with Python, and its compilers' warnings."""

import ctypes
import shutil
import subprocess

import pytest
import torch

from memnets.backends import cpu as fused
from memnets.backends.cpu import library, plan


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Load a library that tells of a layout, in place of the kernel."""

    def load(source):
        path = tmp_path / "fake.so"
        given = {"input": source, "text": True, "check": True}
        command = [library.compiler(), "-shared", "-fPIC", "-x", "c++", "-", "-o", str(path)]
        subprocess.run(command, **given)
        monkeypatch.setattr(library, "chosen_library", lambda _: path)
        library.load.cache_clear()
        return library.load(torch.float32)

    yield load
    library.load.cache_clear()


def telling(lines):
    text = "".join(f'"{line}\\n"' for line in lines)
    return f'extern "C" const char* memnets_layout() {{ return {text}; }}'


def test_the_kernel_has_the_structures_of_its_caller():
    found = library.load(torch.float64).memnets_layout().decode()
    assert found.splitlines() == plan.layout()
    assert plan.first_difference(found) is None


def test_a_library_of_other_structures_is_refused(fake):
    lines = [line.replace("records_spent", "records_used") for line in plan.layout()]
    with pytest.raises(
        fused.UnavailableError, match=r"'Problem\.records_used.*records_spent.*anew"
    ):
        fake(telling(lines))


def test_a_library_that_does_not_tell_its_structures_is_refused(fake):
    with pytest.raises(fused.UnavailableError, match="does not say what its structures are"):
        fake('extern "C" long memnets_problem_size() { return 1; }')


def changed(structure, fields):
    """All structures, one of them with other fields."""
    made = type(structure.__name__, (ctypes.Structure,), {"_fields_": fields})
    return [made if one is structure else one for one in plan.STRUCTURES]


def shown(structures):
    return "\n".join(plan.layout(structures))


@pytest.mark.parametrize("structure", plan.STRUCTURES, ids=lambda one: one.__name__)
def test_the_first_field_that_differs_is_named(structure):
    """Every field in turn renamed, of another kind, of another size, left out, or twice."""
    fields = list(structure._fields_)
    for index, (name, kind) in enumerate(fields):
        other = ctypes.c_double if kind is not ctypes.c_double else ctypes.c_int64
        before, after = fields[:index], fields[index + 1 :]
        for variant in (
            [*before, ("renamed", kind), *after],
            [*before, (name, other), *after],
            [*before, (name, ctypes.c_int32), *after],
            [*before, (name, kind * 2), *after],
            [*before, *after],
            [*before, ("more", ctypes.c_int64), (name, kind), *after],
        ):
            found = plan.first_difference(shown(changed(structure, variant)))
            assert found is not None
            assert f"this version has '{structure.__name__}.{name}: " in found


def test_other_numbers_for_a_cell_or_a_range_are_named():
    theirs = shown(plan.STRUCTURES).replace("Range.simplex = 4", "Range.simplex = 5")
    assert "'Range.simplex = 5' where this version has 'Range.simplex = 4'" in str(
        plan.first_difference(theirs)
    )
    assert "'nothing more' where this version has 'most_past = 3'" in str(
        plan.first_difference("\n".join(plan.layout()[:-1]))
    )


@pytest.mark.parametrize("number", library.NUMBERS.values())
@pytest.mark.parametrize("name", ["g++", "clang++"])
def test_it_compiles_without_a_warning(name, number, tmp_path):
    """Warnings are errors here, and only here: a user's newer compiler may warn of more."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    command = library.command(program, number, tmp_path / "kernel.so")
    options = ["-Werror"]
    if (name, number) != ("g++", "float"):  # what only optimising finds is sought once: it is slow
        options += ["-fsyntax-only", "-Wno-unused-command-line-argument"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
