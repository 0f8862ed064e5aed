"""Names: quoted for SQL, folded as `identifiers:` says, and those of this connector's own tables."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Literal

from attrs import frozen

from etl_core import SchemaError, Stream

__all__ = [
    "DEFAULT_SCHEMA",
    "LONGEST",
    "Names",
    "landing_name",
    "literal",
    "quote",
    "staging_name",
    "task_name",
]

#: Snowflake keeps names of at most this many characters.
LONGEST = 255
#: Where a stream without namespace lands.
DEFAULT_SCHEMA = "PUBLIC"

_LANDING = "LANDING_"
#: A landing table's name is part of its pipe's (`-STREAMING`) and of its task's, which are no longer either.
_LONGEST_LANDING = LONGEST - len("ETL_MERGE__TASK")
_LONGEST_SCHEMA = 60


def quote(identifier: str) -> str:
    """Quote an identifier. Raises SchemaError for one that no quoting can carry."""
    if not identifier or "\0" in identifier or len(identifier) > LONGEST:
        raise SchemaError(
            "Snowflake has no such identifier: it is empty, longer than 255 characters or holds a zero byte",
            "rename the column or the stream",
            identifier=repr(identifier[:LONGEST]),
        )
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text value; in Snowflake a backslash escapes what follows."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@frozen
class Names:
    """How names of a document become names in the account: what is quoted is exact."""

    database: str
    landing_schema: str
    identifiers: Literal["upper", "exact"] = "upper"

    def fold(self, identifier: str) -> str:
        """Return the name as it is in Snowflake."""
        return identifier.upper() if self.identifiers == "upper" else identifier

    def column(self, name: str) -> str:
        """Return a column's quoted name."""
        return quote(self.fold(name))

    def columns(self, names: Collection[str]) -> str:
        """Return the quoted names of columns, for a list."""
        return ", ".join(self.column(name) for name in names)

    def place(self, stream: Stream) -> tuple[str, str]:
        """Return schema and table of a stream, exact. Raises SchemaError for names that cannot be."""
        schema, table = self.fold(stream.namespace) or DEFAULT_SCHEMA, self.fold(stream.name)
        quote(schema), quote(table)
        if schema.upper() == self.landing_schema.upper():
            raise SchemaError(
                "the landing schema belongs to the connector",
                "give the stream another schema under destination.schema, or set landing_schema",
                stream=str(stream),
            )
        return schema, table

    def table(self, schema: str, name: str) -> str:
        """Return a table's full quoted name."""
        return f"{self.schema(schema)}.{quote(name)}"

    def schema(self, name: str) -> str:
        """Return a schema's full quoted name."""
        return f"{quote(self.database)}.{quote(name)}"

    def ours(self, name: str) -> str:
        """Return the full quoted name of something in the landing schema."""
        return self.table(self.landing_schema, name)


def landing_name(pipeline: str, schema: str, table: str, taken: Collection[str]) -> str:
    """Return the name of a new landing table: LANDING_<TABLE>, unless that is taken or too long.

    Then it has the schema and a hash in it. Names that differ by case alone count as taken.
    """
    there = {name.upper() for name in taken}
    plain = _LANDING + table
    if len(plain) <= _LONGEST_LANDING and plain.upper() not in there:
        return plain
    digest = hashlib.sha256(f"{pipeline}\0{schema}\0{table}".encode()).hexdigest()[:8]
    end = f"_{schema[:_LONGEST_SCHEMA]}_{digest}"
    return plain[: _LONGEST_LANDING - len(end)] + end


def staging_name(landing: str, unique: str) -> str:
    """Return the name of a table for one run of a snapshot."""
    return f"STAGING_{landing.removeprefix(_LANDING)}_{unique}"[:LONGEST]


def task_name(landing: str) -> str:
    """Return the name of the task that merges a landing table."""
    return f"ETL_MERGE_{landing.removeprefix(_LANDING)}_TASK"
