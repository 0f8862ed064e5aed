"""Source and copy compared: every table, every row by its key, every value and its type.

Both sides are read natively where PostgreSQL and DuckDB mean the same by a type, else in a form that loses
nothing: `_FORMS`. Values are equal when they are equal and of one type, so that 1, 1.0 and true differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, field, frozen

from etl_core import Secret, Stream
from etl_demo.client import Copy, opened
from etl_pglib.client import Connection, connect
from etl_pglib.names import quote_ident, quote_stream

__all__ = ["Difference", "TableReport", "compare"]

#: How many differences of a table are shown.
_SHOWN = 3

_AS_TEXT = ("{}::text", "CAST({} AS VARCHAR)")
_AS_IS = ("{}", "{}")
_MICROSECONDS = ("(extract(epoch FROM {}) * 1000000)::bigint", "epoch_us({})")
#: Months, days and microseconds: 1 month, 30 days and 720 hours are three things.
_INTERVAL = (
    (
        "CASE WHEN {0} IS NOT NULL THEN ARRAY["
        "extract(year FROM {0}) * 12 + extract(month FROM {0}), extract(day FROM {0}), "
        "extract(hour FROM {0}) * 3600000000 + extract(minute FROM {0}) * 60000000 "
        "+ extract(microseconds FROM {0})]::bigint[] END"
    ),
    (
        "CASE WHEN {0} IS NOT NULL THEN [datepart('year', {0}) * 12 + datepart('month', {0}), "
        "datepart('day', {0}), datepart('hour', {0}) * 3600000000 + datepart('minute', {0}) * 60000000 "
        "+ datepart('microsecond', {0})] END"
    ),
)

#: What is selected from PostgreSQL and from DuckDB, by the source's type; every other type is its text.
_FORMS: Mapping[str, tuple[str, str]] = {
    "bool": _AS_IS,
    "int2": _AS_IS,
    "int4": _AS_IS,
    "int8": _AS_IS,
    "float4": ("{}::float8", "{}"),
    "float8": _AS_IS,
    "text": _AS_IS,
    "varchar": _AS_IS,
    "bpchar": _AS_IS,
    "bytea": _AS_IS,
    "date": _AS_IS,
    "time": _AS_IS,
    "uuid": _AS_IS,
    "timestamp": _MICROSECONDS,
    "timestamptz": _MICROSECONDS,
    "interval": _INTERVAL,
    "_int4": _AS_IS,
    "_text": _AS_IS,
}

# By table: the columns with the names of their types (a domain's is its base's), and the key's columns.
_TABLES = """
SELECT n.nspname, c.relname,
  array_agg(a.attname ORDER BY a.attnum), array_agg(b.typname ORDER BY a.attnum),
  array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attnum = ANY (i.indkey))
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
WHERE n.nspname = 'public' AND c.relkind = 'r'
GROUP BY n.nspname, c.relname ORDER BY c.relname
"""


@frozen
class Difference:
    """A value that is not the same.

    `column` is None when the row is on one side only, `key` is empty when the column is.
    """

    key: tuple[Any, ...]
    column: str | None
    source: str
    copy: str


@frozen
class TableReport:
    """What the comparison of one table found."""

    table: str
    source_rows: int
    copy_rows: int
    #: Values that differ; a row that is on one side only counts with all its values.
    differing: int
    differences: tuple[Difference, ...] = field(factory=tuple)

    @property
    def equal(self) -> bool:
        return self.differing == 0 and self.source_rows == self.copy_rows

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "equal": self.equal}


@frozen
class _Table:
    stream: Stream
    types: Mapping[str, str]
    key: tuple[str, ...]


def compare(dsn: str, path: Path) -> list[TableReport]:
    """Compare the tables of schema public, which must have primary keys, with the copy in the file `path`.

    Neither side may be written meanwhile. Raises what connecting to either raises.
    """
    with connect(Secret(dsn), application_name="etl-demo-compare") as source, opened(path) as copy:
        return [_compare(table, source, copy) for table in _tables(source)]


def _tables(source: Connection) -> Iterator[_Table]:
    for schema, name, columns, types, key in source.execute(_TABLES.encode()).fetchall():
        yield _Table(Stream(schema, name), dict(zip(columns, types, strict=True)), tuple(key))


def _compare(table: _Table, source: Connection, copy: Copy) -> TableReport:
    present = copy.columns(table.stream)
    expected = _by_key(table, list(table.types), _read(table, source))
    shared = [name for name in table.types if name in present]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    if set(table.key) <= set(shared):
        forms = {name: _form(table.types[name])[1] for name in shared}
        found = _by_key(table, shared, copy.rows(table.stream, forms))
    differences = [*_differences(expected, found), *_surplus(table, present)]
    return TableReport(
        str(table.stream),
        len(expected),
        len(found),
        sum(1 if item.column else len(table.types) for item in differences),
        tuple(differences[:_SHOWN]),
    )


def _read(table: _Table, source: Connection) -> list[tuple[Any, ...]]:
    selected = ", ".join(_form(kind)[0].format(quote_ident(name)) for name, kind in table.types.items())
    return source.execute(f"SELECT {selected} FROM {quote_stream(table.stream)}".encode()).fetchall()


def _form(kind: str) -> tuple[str, str]:
    return _FORMS.get(kind, _AS_TEXT)


def _by_key(
    table: _Table, columns: list[str], rows: Iterable[tuple[Any, ...]]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the rows by key; a key that comes twice, which no mirror may have, keeps its rows apart."""
    result: dict[tuple[Any, ...], dict[str, Any]] = {}
    for values in rows:
        row = dict(zip(columns, values, strict=True))
        key = tuple(row[name] for name in table.key)
        while key in result:
            key = (*key, "again")
        result[key] = row
    return result


_ABSENT: dict[str, Any] = {}


def _differences(
    expected: Mapping[tuple[Any, ...], dict[str, Any]], found: Mapping[tuple[Any, ...], dict[str, Any]]
) -> Iterator[Difference]:
    for key in {**expected, **found}:
        source, copy = expected.get(key, _ABSENT), found.get(key, _ABSENT)
        if not source or not copy:
            yield Difference(key, None, "row" if source else "no row", "row" if copy else "no row")
            continue
        for name, value in source.items():
            if name not in copy:
                yield Difference(key, name, repr(value), "no column")
            elif not _same(value, copy[name]):
                yield Difference(key, name, repr(value), repr(copy[name]))


def _surplus(table: _Table, present: Iterable[str]) -> Iterator[Difference]:
    for name in present:
        if name not in table.types:
            yield Difference((), name, "no column", "column")


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)
