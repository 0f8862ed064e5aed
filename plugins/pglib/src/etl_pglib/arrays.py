"""One-dimensional arrays.

A PostgreSQL array column holds values of any number of dimensions, whatever was declared. Arrow's list
holds one: another raises ValueError, nothing is flattened. Lower bounds other than 1 are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pyarrow as pa

from etl_pglib.text import Values

__all__ = ["elements", "lists"]

_BOUNDS = re.compile(r"\[-?\d+:-?\d+\]=", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def lists(values: Values, delimiter: str, convert: Callable[[Values], pa.Array]) -> pa.Array:
    """Return lists of what `convert` makes of the elements."""
    flat: list[str | None] = []
    offsets = [0]
    for value in values:
        if value is not None:
            flat += elements(value, delimiter)
        offsets.append(len(flat))
    nulls = pa.array([value is None for value in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), convert(flat), mask=nulls)


def elements(text: str, delimiter: str = ",") -> list[str | None]:
    """Split the text of a one-dimensional array into the text of its elements.

    Raises ValueError for more dimensions.
    """
    if text.startswith("["):
        text = _BOUNDS.sub("", text, count=1)
    if not (text.startswith("{") and text.endswith("}")):
        raise ValueError("not a one-dimensional array")
    body = text[1:-1]
    if not body:
        return []
    if '"' in body or "\\" in body:
        return _quoted(body, delimiter)
    if "{" in body:
        raise ValueError("not a one-dimensional array")
    return [None if part == "NULL" else part for part in body.split(delimiter)]


def _quoted(body: str, delimiter: str) -> list[str | None]:
    found: list[str | None] = []
    token = _token(delimiter)
    at = 0
    more: object = True
    while more:
        match = token.match(body, at)
        if not match:
            raise ValueError("not a one-dimensional array")
        quoted, plain, more = match.groups()
        found.append(_ESCAPE.sub(r"\1", quoted) if plain is None else None if plain == "NULL" else plain)
        at = match.end()
    return found


@cache
def _token(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    return re.compile(rf'(?:"((?:[^"\\]|\\.)*)"|([^"{{}}\\{mark}]+))({mark}|\Z)', re.DOTALL)
