"""Plain scalars to typed ones, strictly: a number is no text and a text no number.

What came out of an expansion is a text that may stand for any scalar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from etl_core.config import Duration, Secret, Size, parse_duration, parse_size
from etl_core.document.expand import Expanded
from etl_core.document.problems import Invalid

__all__ = ["SCALARS", "Hook", "describe", "expected", "rooted"]

Hook = Callable[[Any, Any], Any]

_BOOLEANS = {"true": True, "false": False}


def describe(value: Any) -> str:
    """Say what was found, in words that hold no value that came from a variable."""
    if isinstance(value, Expanded):
        return f"the value of {value.source}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def expected(what: str, value: Any, hint: str | None = None) -> Invalid:
    """Return the error that says what should be there, and what is."""
    return Invalid.here(f"expected {what}, found {describe(value)}", hint)


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise expected("a text", value, "put it in quotes" if isinstance(value, int | float) else None)
    return str(value)


def _secret(value: Any, _: Any) -> Secret:
    if not isinstance(value, str):
        raise Invalid.here("expected a text", "put it in quotes, or write ${NAME} or ${file:PATH}")
    return Secret(str(value))


def _integer(value: Any, _: Any) -> int:
    if isinstance(value, Expanded) and re.fullmatch(r"[-+]?\d+", value.strip()):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise expected("a whole number", value)
    return value


def _number(value: Any, _: Any) -> float:
    if isinstance(value, Expanded):
        try:
            return float(value)
        except ValueError:
            raise expected("a number", value) from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise expected("a number", value)
    return float(value)


def _boolean(value: Any, _: Any) -> bool:
    if isinstance(value, Expanded) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    if not isinstance(value, bool):
        raise expected("true or false", value)
    return value


def _quantity(parse: Callable[[Any], Any], what: str, value: Any, _: Any) -> Any:
    try:
        return parse(int(value) if isinstance(value, Expanded) and value.isdigit() else value)
    except ValueError:
        raise expected(what, value) from None


def rooted(value: Any, base: Path) -> Path:
    """Return a path, starting at `base` when it is relative."""
    return base / Path(_text(value, None)).expanduser()


SCALARS: dict[Any, Hook] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _boolean,
    Secret: _secret,
    Size: partial(_quantity, parse_size, "a size like 64MiB"),
    Duration: partial(_quantity, parse_duration, "a duration like 100ms, 5s or 2m"),
}
