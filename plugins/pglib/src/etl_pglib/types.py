"""PostgreSQL types as Arrow types, and text of the one as arrays of the other.

One converter serves the snapshot (`COPY ... TO STDOUT`, unescaped) and the stream (pgoutput's text), so both
give identical values. `docs/reference/postgres-types.md` has the rules for people. In short:

- a value that the Arrow type cannot hold exactly raises SchemaError; nothing is rounded, cut or made null;
- `RULES` lists the types that have a converter; every other type, known or not, is text as PostgreSQL
  prints it: enums, composites, ranges, money, numeric without precision or beyond 76 digits;
- a domain is its base type, an array a list of its element type (one dimension);
- NaN and infinity of a numeric with a precision, times of 24:00:00, intervals beyond Arrow's raise; the way
  out is `as_text`, which makes text of all columns of a type (of its arrays and domains too).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import pyarrow as pa
from attrs import field, frozen

from etl_core.errors import ConfigError, FatalError, SchemaError
from etl_pglib import arrays, numeric, temporal, text
from etl_pglib.client import Connection, Error, translate
from etl_pglib.text import Values

__all__ = ["RULES", "PgType", "Rule", "TypeCatalog"]

_NUMERIC = 1700
_SYNTAX_ERROR = "42601"


@frozen
class Rule:
    """How a type becomes Arrow."""

    arrow: pa.DataType
    convert: Callable[[Values], pa.Array]


def _number(type: pa.DataType) -> Rule:
    return Rule(type, partial(numeric.cast, type=type))


_TEXT = Rule(pa.string(), text.texts)

#: Built-in types by oid (fixed in PostgreSQL) with a rule of their own; numeric's depends on its precision.
RULES: Mapping[int, Rule] = MappingProxyType(
    {
        16: Rule(pa.bool_(), text.booleans),
        17: Rule(pa.binary(), text.byteas),
        20: _number(pa.int64()),
        21: _number(pa.int16()),
        23: _number(pa.int32()),
        26: _number(pa.int64()),  # oid: unsigned 32 bits; many systems have no such type
        114: Rule(pa.json_(), text.jsons),
        700: _number(pa.float32()),
        701: _number(pa.float64()),
        1082: Rule(pa.date32(), temporal.dates),
        1083: Rule(pa.time64("us"), temporal.times),
        1114: Rule(pa.timestamp("us"), temporal.timestamps),
        1184: Rule(pa.timestamp("us", tz="UTC"), temporal.timestamps_tz),
        1186: Rule(pa.month_day_nano_interval(), temporal.intervals),
        2950: Rule(pa.uuid(), text.uuids),
        3802: Rule(pa.json_(), text.jsons),
    }
)


@frozen
class PgType:
    """A column's type: an oid with its modifier, and what it is in Arrow."""

    oid: int
    typmod: int
    name: str
    arrow: pa.DataType
    convert: Callable[[Values], pa.Array] = field(eq=False, repr=False)
    #: The type below all domains; 0 where it is not known.
    base: int = field(default=0, eq=False, repr=False)

    def parse(self, values: Values, column: str | None = None) -> pa.Array:
        """Turn PostgreSQL's text output (None is NULL) into an array of `arrow`.

        The text is that of a session with `client.SESSION`. Raises SchemaError, which names `column`, for a
        value that the Arrow type cannot hold.
        """
        try:
            return self.convert(values)
        except (ValueError, OverflowError):
            raise self.misfit(column) from None  # the original's text quotes the value

    def misfit(self, column: str | None) -> SchemaError:
        """Return the error for a value that the Arrow type cannot hold."""
        return SchemaError(
            "a value cannot be held exactly by its Arrow type",
            f"set as_text: [{self.name}] to take this type as PostgreSQL prints it",
            type=self.name,
            arrow=str(self.arrow),
            column=column,
        )


@frozen
class _Row:
    """A row of pg_type."""

    oid: int
    name: str
    base: int
    base_typmod: int
    element: int
    delimiter: str


_ROWS = """
SELECT t.oid::bigint, pg_catalog.format_type(t.oid, NULL), t.typbasetype::bigint, t.typtypmod,
  CASE WHEN t.typoutput = 'pg_catalog.array_out'::regproc THEN t.typelem::bigint ELSE 0 END,
  coalesce(e.typdelim, t.typdelim)::text
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
"""
# Row types of tables are text and may be many: they are looked up when a column has one.
_ALL = f"{_ROWS} WHERE t.typtype <> 'c' AND coalesce(e.typtype, 'b') <> 'c'"
_ONE = f"{_ROWS} WHERE t.oid = %s"
_NAMED = "SELECT pg_catalog.to_regtype(%s::text)::oid::bigint"


class TypeCatalog:
    """pg_type as far as it is needed: read with one query, then kept by oid.

    What is kept of a type never changes in its life, so DDL makes nothing stale; an oid not seen before is
    looked up. `resolve` may use the connection, on the caller's thread: it must be free, in autocommit, and
    no walsender.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[int, _Row] = {}
        self._as_text: frozenset[int] = frozenset()
        self._types: dict[tuple[int, int], PgType] = {}

    @classmethod
    def load(cls, connection: Connection, as_text: Collection[str] = ()) -> TypeCatalog:
        """Read the catalog. `as_text` names types, as in SQL, whose columns are to be text.

        Raises ConfigError for a name that is no type, and what `client.translate` makes of a failed query.
        """
        catalog = cls(connection)
        catalog._read(_ALL)
        catalog._as_text = frozenset(catalog._named(name) for name in as_text)
        return catalog

    def resolve(self, oid: int, typmod: int = -1) -> PgType:
        """Return the type of a column. One that does not exist (any more) is text."""
        known = self._types.get((oid, typmod))
        if known:
            return known
        row = self._row(oid)
        if not row:
            return PgType(oid, typmod, f"type {oid}", _TEXT.arrow, _TEXT.convert)
        rule = self._rule(row, typmod)
        kind = PgType(oid, typmod, row.name, rule.arrow, rule.convert, self._base(row))
        return self._types.setdefault((oid, typmod), kind)

    def _base(self, row: _Row) -> int:
        """Return the type below all domains."""
        below = self._row(row.base) if row.base else None
        return self._base(below) if below else row.oid

    def _rule(self, row: _Row | None, typmod: int) -> Rule:
        if row is None or row.oid in self._as_text:
            return _TEXT
        if row.base:
            return self._rule(self._row(row.base), row.base_typmod)
        if row.element:
            return _list_of(self._rule(self._row(row.element), typmod), row.delimiter)
        if row.oid == _NUMERIC and (decimal := numeric.decimal_type(typmod)):
            return _number(decimal)
        return RULES.get(row.oid, _TEXT)

    def _row(self, oid: int) -> _Row | None:
        if oid not in self._rows:
            self._read(_ONE, oid)
        return self._rows.get(oid)

    def _read(self, query: str, *parameters: object) -> None:
        rows = [_Row(*values) for values in self._query(query, *parameters)]
        self._rows.update({row.oid: row for row in rows})

    def _named(self, name: str) -> int:
        try:
            ((oid,),) = self._query(_NAMED, name)
        except FatalError as error:
            if error.facts.get("sqlstate") != _SYNTAX_ERROR:
                raise
            oid = None
        if oid is None:
            raise ConfigError(
                "as_text names a type that does not exist",
                "write it as in SQL: numeric, integer[], public.mood",
                found=name,
            )
        return int(oid)

    def _query(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query.encode(), parameters).fetchall()
        except Error as error:
            raise translate(error, "reading pg_type") from None


def _list_of(rule: Rule, delimiter: str) -> Rule:
    return Rule(pa.list_(rule.arrow), partial(arrays.lists, delimiter=delimiter, convert=rule.convert))
