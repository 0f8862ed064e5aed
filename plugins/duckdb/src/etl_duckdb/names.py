"""Names: quoted for SQL, and folded as DuckDB compares them."""

from __future__ import annotations

import string

from etl_core import SchemaError, Stream

__all__ = ["CONTROL", "DEFAULT_SCHEMA", "fold", "literal", "located", "quote"]

#: The schema of this connector's own tables.
CONTROL = "_etl"
#: Where a stream without namespace lands.
DEFAULT_SCHEMA = "main"

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold(identifier: str) -> str:
    """Return the form in which DuckDB compares identifiers: ASCII letters only, so `É` is not `é`."""
    return identifier.translate(_LOWER)


def quote(identifier: str) -> str:
    """Quote an identifier. Raises SchemaError for one that no quoting can carry."""
    if not identifier or "\0" in identifier:
        raise SchemaError(
            "DuckDB has no such identifier: it is empty or holds a zero byte",
            "rename the column or the stream",
            identifier=repr(identifier),
        )
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value."""
    return "'" + text.replace("'", "''") + "'"


def located(stream: Stream) -> tuple[str, str]:
    """Return schema and table name of a stream. Raises SchemaError for a schema that is ours."""
    schema = stream.namespace or DEFAULT_SCHEMA
    if fold(schema) == CONTROL:
        raise SchemaError(
            "the schema _etl belongs to the connector",
            "give the stream another schema under destination.schema",
            stream=str(stream),
        )
    return schema, stream.name
