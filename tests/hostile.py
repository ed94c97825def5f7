"""What every hostile input must end in: an error that the project raised on purpose."""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memnets

ROOT = Path(__file__).parent.parent
# memnets is where it is installed, which need not be beside its tests.
OWN = (str(Path(memnets.__file__).parent), *(str(ROOT / name) for name in ("tasks", "training")))
CLEAR = (ValueError, TypeError, OSError)


def complaint(action: Callable[[], Any]) -> str:
    """The message of the error that an action ends in, which must be raised by a line of ours."""
    with pytest.raises(CLEAR) as raised:
        action()
    place = traceback.extract_tb(raised.value.__traceback__)[-1]
    where = f"{place.filename}:{place.lineno}: {raised.value!r}"
    assert place.filename.startswith(OWN), where
    assert "raise " in (place.line or ""), where
    return str(raised.value)


def assert_refused(action: Callable[[], Any], message: str) -> None:
    """The action ends in a clear error with this message (a regular expression)."""
    said = complaint(action)
    assert re.search(message, said), said


def outcome(action: Callable[[], Any]) -> BaseException | None:
    """What the action raises; None if it raises nothing."""
    try:
        action()
    except (Exception, SystemExit) as error:
        return error
    return None
