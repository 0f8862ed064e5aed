"""Tables that are made by arithmetic, and a hash of their contents that SQL and Arrow both can compute.

A row's values follow from its id and its version alone, so that what a stream of changes has to hold is
known without it. The hash is a sum over rows, in any order: what is added is 60 bits of the MD5 of the
row's values as plain text. A float is multiplied by 2**20, which is exact for those made here, and uses all
of its bits; a numeric has its four decimals, a time is microseconds, JSON has no spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

__all__ = ["COLUMNS", "Column", "Contents", "columns", "in_duckdb", "in_postgres", "row_text"]


@frozen
class Kind:
    """A type: how a value is made of a random bigint, and its plain text in PostgreSQL and DuckDB."""

    sql: str
    make: str
    postgres: str
    duckdb: str
    #: Every tenth value is null.
    nulls: bool = False


_DIGITS = "pg_catalog.md5({h}::text)"
KINDS = {
    "int8": Kind("bigint", "{h}", "{c}::text", "{c}::bigint::varchar"),
    "int4": Kind("integer", "({h} & 2147483647)::int4", "{c}::text", "{c}::bigint::varchar"),
    "float8": Kind(
        "double precision",
        "(4503599627370496 + ({h} & 4503599627370495))::float8 / 1048576",
        "({c} * 1048576)::bigint::text",
        "({c}::double * 1048576::double)::bigint::varchar",
    ),
    "numeric": Kind(
        "numeric(18,4)",
        "(({h} % 100000000000000)::numeric / 10000)::numeric(18,4)",
        "{c}::text",
        "{c}::decimal(18,4)::varchar",
        nulls=True,
    ),
    "text": Kind("text", f"substr({_DIGITS}, 1, 12 + ({{h}} & 15)::int)", "{c}", "{c}::varchar"),
    "timestamptz": Kind(
        "timestamptz",
        "timestamptz '2020-01-01 00:00:00+00' + ({h} & 140737488355327) * interval '1 microsecond'",
        "(extract(epoch from {c}) * 1000000)::bigint::text",
        "epoch_us({c})::varchar",
        nulls=True,
    ),
    "bool": Kind("boolean", "{h} & 1 = 1", "{c}::int::text", "{c}::boolean::int::varchar"),
    "uuid": Kind("uuid", f"{_DIGITS}::uuid", "replace({c}::text, '-', '')", "replace({c}::varchar, '-', '')"),
    "jsonb": Kind(
        "jsonb",
        f"""('{{"k": ' || ({{h}} & 1023) || ', "note": "' || substr({_DIGITS}, 1, 8) || '"}}')::jsonb""",
        "replace({c}::text, ' ', '')",
        "replace({c}::varchar, ' ', '')",
    ),
    "date": Kind(
        "date",
        "date '2000-01-01' + ({h} & 8191)::int",
        "({c} - date '1970-01-01')::text",
        "({c}::date - date '1970-01-01')::varchar",
    ),
}
_NULL = "~"


@frozen
class Column:
    """A column; `number` makes its values differ from those of others of its kind."""

    name: str
    number: int
    kind: str

    @property
    def type(self) -> str:
        return KINDS[self.kind].sql

    @property
    def definition(self) -> str:
        return f"{self.name} {self.type}{'' if self.number else ' PRIMARY KEY'}"

    def value(self, version: int) -> str:
        """Return the SQL of its value in the row of id `i`."""
        kind = KINDS[self.kind]
        if not self.number:
            return "i"
        random = f"hashint8extended(i, {version * 1000 + self.number})"
        made = kind.make.replace("{h}", random)
        return f"CASE WHEN {random} % 10 = 7 THEN NULL ELSE {made} END" if kind.nulls else made

    def text(self, dialect: str) -> str:
        """Return the SQL of its plain text."""
        template = getattr(KINDS[self.kind], dialect)
        return f"coalesce({template.replace('{c}', self.name)}, '{_NULL}')"


def columns(count: int = 10) -> tuple[Column, ...]:
    """Return so many columns: an id, then all kinds in turn."""
    kinds = list(KINDS)[1:]
    made = [Column(f"c{n}", n, kinds[(n - 1) % len(kinds)]) for n in range(1, count)]
    return (Column("id", 0, "int8"), *made)


#: The table of most rows of the benchmark: one column of each kind.
COLUMNS = columns()


@frozen
class Contents:
    """How many rows there are by operation (`""` in a table that has none), and the hash of them all."""

    counts: Mapping[str, int]
    digest: int

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    @classmethod
    def of(cls, found: Iterable[Sequence[Any]]) -> Contents:
        """Add up rows of (operation, rows, hash)."""
        counts: dict[str, int] = {}
        total = 0
        for op, rows, digest in found:
            counts[op] = counts.get(op, 0) + int(rows)
            total += int(digest or 0)
        return cls({op: rows for op, rows in sorted(counts.items()) if rows}, total)

    def to_json(self) -> dict[str, Any]:
        return {"counts": self.counts, "digest": str(self.digest)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Contents:
        return cls(data["counts"], int(data["digest"]))


def row_text(table: Sequence[Column], dialect: str, op: str = "''") -> str:
    """Return the SQL of a row's plain text, its operation first."""
    parts = ", ".join([op, *(column.text(dialect) for column in table)])
    # A chain of || would copy what is there for every column of a wide table.
    return f"array_to_string(ARRAY[{parts}], '|')" if dialect == "postgres" else f"concat_ws('|', {parts})"


def in_postgres(table: Sequence[Column], relation: str, op: str = "''") -> str:
    """Return the query for (operation, rows, hash) of what a relation holds."""
    text = row_text(table, "postgres", op)
    number = f"('x' || substr(pg_catalog.md5({text}), 1, 15))::bit(60)::bigint"
    return f"SELECT {op}, count(*), sum({number}) FROM {relation} GROUP BY 1"


def in_duckdb(table: Sequence[Column], relation: str, op: str = "''") -> str:
    """Return the same query for DuckDB."""
    number = f"('0x' || substr(md5({row_text(table, 'duckdb', op)}), 1, 15))::bigint"
    return f"SELECT {op}, count(*), sum({number}) FROM {relation} GROUP BY 1"
