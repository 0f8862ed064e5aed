"""PostgreSQL names: how they are quoted in SQL and read from a document."""

from __future__ import annotations

import re

from etl_core import Stream
from etl_core.errors import ConfigError

__all__ = ["parse_name", "quote_ident", "quote_literal", "quote_stream"]

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".\s]+)')


def quote_ident(name: str) -> str:
    """Return an identifier for SQL, always quoted: safe whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a string constant for SQL, for commands that take no parameters."""
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return f" E{quoted}" if "\\" in text else quoted


def quote_stream(stream: Stream) -> str:
    """Return the table of a stream for SQL."""
    if not stream.namespace:
        return quote_ident(stream.name)
    return f"{quote_ident(stream.namespace)}.{quote_ident(stream.name)}"


def parse_name(text: str, default_schema: str = "public") -> Stream:
    """Read a table name as PostgreSQL does: unquoted parts fold to lower case, `table` alone gets a schema.

    Raises ConfigError when the text is not one or two identifiers.
    """
    parts: list[str] = []
    rest = f".{text.strip()}"
    while rest.startswith(".") and (match := _PART.match(rest, 1)):
        parts.append(match[1].replace('""', '"') if match[1] is not None else _fold(match[2]))
        rest = rest[match.end() :]
    if rest or not 1 <= len(parts) <= 2:
        raise ConfigError(
            "not a table name",
            'write schema.table, and quote parts with capitals or dots: public."Orders"',
            found=text,
        )
    return Stream(parts[-2] if len(parts) == 2 else default_schema, parts[-1])


def _fold(name: str) -> str:
    """Fold ASCII only, as PostgreSQL does in a multi-byte encoding."""
    return "".join(c.lower() if c.isascii() else c for c in name)
