"""Rows of COPY's text format."""

from __future__ import annotations

import re

from etl_core import FatalError

__all__ = ["split"]

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def split(line: bytes, columns: int) -> list[str | None]:
    """Return the fields of one row, as the text of their types; the mark of a null is None.

    Raises FatalError when it does not have `columns` fields, or is not UTF-8.
    """
    try:
        text = line.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise FatalError(
            "a row is not UTF-8", "the database's encoding must be UTF8 or convertible to it"
        ) from None
    fields = text.split("\t") if columns else []
    if len(fields) != columns:
        raise FatalError("a row does not have the columns that were asked for")
    if "\\" not in text:
        return list(fields)
    return [None if field == "\\N" else _unescape(field) if "\\" in field else field for field in fields]


def _unescape(field: str) -> str:
    return _ESCAPE.sub(lambda match: _SPECIAL.get(match[1], match[1]), field)
