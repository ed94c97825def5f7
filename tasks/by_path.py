"""A class by `module:Class`, so that the trainer takes what is in nobody's registry."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path


class PlaceError(ValueError):
    """A class of another package that is not found, or is not what it is named as."""


def is_path(name: str) -> bool:
    """Whether a name says where a class is, in place of how it is registered.

    >>> is_path("copy"), is_path("mypackage.tasks:Rotate")
    (False, True)
    """
    return isinstance(name, str) and ":" in name  # a file may hold anything as a name


def load(path: str) -> type:
    """The class that `module:Class` names; its module is imported.

    The folder in which the program was started is looked through last, as a script's own folder is
    first: a file `rotate.py` there is the module `rotate`.

    Raises:
        PlaceError: the path has another form, the module is not found or fails while it is
            imported, or it has no such class; the message says which, and what to do.

    >>> load("tasks.copy:Copy").__name__
    'Copy'
    """
    module_name, _, name = path.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise PlaceError(
            f"a class is named by its module and its name, as in mypackage.tasks:Rotate, got {path}"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise PlaceError(_failed(path, error)) from error
        raise PlaceError(
            f"{path}: there is no module {error.name}: start from the folder that holds it, or "
            "name that folder in PYTHONPATH"
        ) from error
    except Exception as error:  # whatever the code of that module does
        raise PlaceError(_failed(path, error)) from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise PlaceError(f"{path}: {_missing(module_name, vars(module), name, found)}")
    return found


def _failed(path: str, error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{last.filename}, line {last.lineno}"
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
    return (
        f"{path}: its module cannot be imported ({type(error).__name__}: {error}; {place}): mend "
        "it until `python -c 'import " + path.partition(":")[0] + "'` works"
    )


def _missing(module_name: str, members: dict[str, object], name: str, found: object) -> str:
    """Why a module has not what was asked for, and what it has."""
    place = members.get("__file__") or "no file"
    if found is not None:
        return f"{name} of {module_name} ({place}) is no class, got {found!r:.80}: name a class"
    classes = [key for key, value in members.items() if isinstance(value, type)]
    near = difflib.get_close_matches(name, classes, n=1) or [
        key for key in classes if getattr(members[key], "__module__", None) == module_name
    ]
    has = f"did you mean {near[0]}?" if len(near) == 1 else f"it has {', '.join(near) or 'none'}"
    return f"{module_name} ({place}) has no class {name}; {has}"
