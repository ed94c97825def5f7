"""Tasks by `module:Class`: found from where the program starts, or an error with the remedy."""

import re
import sys
import textwrap

import pytest

import tasks
from tasks import by_path
from tasks.by_path import PlaceError

ROTATE = """
    from dataclasses import dataclass

    from tasks import Reverse

    number = 3


    @dataclass(frozen=True, kw_only=True)
    class Rotate(Reverse):
        turns: int = 1
        \"\"\"How far.\"\"\"


    class Plain:
        pass
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a module into the folder in which the program starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))

    yield write
    for name in ("rotating", "packaged", "packaged.tasks"):
        sys.modules.pop(name, None)


def test_a_task_is_found_in_a_module_of_the_folder_and_in_a_package(write):
    write("rotating.py", ROTATE)
    write("packaged/__init__.py", "")
    write("packaged/tasks.py", ROTATE)
    for path in ("rotating:Rotate", "packaged.tasks:Rotate"):
        task = tasks.make(path, turns=2)
        assert (type(task).__name__, task.turns) == ("Rotate", 2)
        assert tasks.find(path) is type(task)
        assert path not in tasks.TASKS
    with pytest.raises(
        ValueError, match=r"task rotating:Rotate has no option turn: it has .*turns"
    ):
        tasks.make("rotating:Rotate", turn=2)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("rotating:", "a class is named by its module and its name, as in mypackage.tasks:Rotate"),
        (":Rotate", "a class is named by its module and its name"),
        ("a/b.py:Rotate", "a class is named by its module and its name"),
        ("absent:Rotate", "absent:Rotate: there is no module absent: start from the folder that"),
        ("packaged.absent:Rotate", "there is no module packaged.absent: start from the folder"),
        ("rotating:Rotat", r"rotating \(.*rotating.py\) has no class Rotat; did you mean Rotate\?"),
        ("rotating:Xyz", "has no class Xyz; it has Rotate, Plain"),
        ("rotating:number", "number of rotating .* is no class, got 3: name a class"),
        ("rotating:Plain", "the task rotating:Plain must be a frozen dataclass"),
        ("needy:Rotate", r"No module named 'absent_dependency'; .*needy.py, line 2\): mend it"),
        ("broken:Rotate", r"SyntaxError: .*broken.py, line 2\): mend it until `python -c"),
        ("failing:Rotate", r"ZeroDivisionError: division by zero; .*failing.py, line 2"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(write, path, message):
    write("rotating.py", ROTATE)
    write("packaged/__init__.py", "")
    write("needy.py", "\nimport absent_dependency\n")
    write("broken.py", "\nclass Rotate(:\n")
    write("failing.py", "\n1 / 0\n")
    with pytest.raises(PlaceError, match=message):
        tasks.find(path)


def test_a_name_without_a_colon_is_one_of_the_registry():
    with pytest.raises(ValueError, match=re.escape("there is no task 'foo': choose one of adding")):
        tasks.find("foo")
    assert not by_path.is_path("copy")
    with pytest.raises(ValueError, match="there is no task 3"):
        tasks.make(3)  # as a config.json that somebody edited may have it
