"""Rows merged by key, as a set: no index, no row-wise statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from etl_core import DELETED, OLD_KEY, OP, RESERVED, UNCHANGED
from etl_duckdb.client import INCOMING, Database
from etl_duckdb.incoming import readable
from etl_duckdb.names import literal, quote
from etl_duckdb.target import Target
from etl_duckdb.writing import values

__all__ = ["merge"]

#: The rows of a merge (columns c0, c1, ... as in the table; o0, o1, ... the old key), and the rows that
#: result from them. Temporary tables, so that the incoming rows are read once.
_NEW = "temp.main._etl_new"
_PUT = "temp.main._etl_put"


def merge(db: Database, target: Target, key: Sequence[str], rows: pa.Table) -> pa.Array:
    """Merge rows (at most one per key); return the indices of those refused for lack of a base row.

    The base rows of all keys and old keys are read, then removed, then the rows are put. A row takes its
    unchanged columns from the base row of its old key, where it has one, else of its key. `d` removes;
    in a table with `_etl_deleted` it marks the base row, if there is one.
    """
    plan = _plan(target, key, rows)
    with db.incoming(_with_plan(rows, plan)):
        db.run(f"CREATE OR REPLACE TEMP TABLE _etl_new AS SELECT {_new(plan, rows.schema)} FROM {INCOMING}")
    refused = _resolve(db, plan) if plan.needs_base else []
    _remove(db, plan)
    _put(db, plan)
    return pa.array(refused, pa.int64())


@frozen
class _Plan:
    """What one merge is about: the places of the key columns, and what its rows need."""

    target: Target
    key: tuple[int, ...]
    key_names: tuple[str, ...]
    #: Places of the columns that some row left out as unchanged, with the names rows call them by.
    unchanged: Mapping[int, str]
    #: Whether some row changed its key.
    moved: bool
    #: Whether `d` rows mark their base row instead of removing it.
    marks: bool

    @property
    def needs_base(self) -> bool:
        return bool(self.unchanged) or self.marks

    def join(self, base: str, prefix: str, rows: str) -> str:
        """Return the condition that a base row has the key in the columns `prefix` of `rows`."""
        names = self.target.columns.names
        pairs = enumerate(self.key) if prefix == "o" else ((place, place) for place in self.key)
        terms = ((f"{rows}.{prefix}{number}", f"{base}.{quote(names[place])}") for number, place in pairs)
        return " AND ".join(f"{given} = {found}" for given, found in terms)


def _plan(target: Target, key: Sequence[str], rows: pa.Table) -> _Plan:
    names = _names_in(rows.column(UNCHANGED))
    places = {place: name for name in names if (place := target.place(name)) is not None}
    soft = target.place(DELETED) is not None and DELETED in rows.column_names
    return _Plan(
        target,
        tuple(place for name in key if (place := target.place(name)) is not None),
        tuple(key),
        places,
        moved=rows.column(OLD_KEY).null_count < rows.num_rows,
        marks=soft and bool(pc.any(pc.equal(rows.column(OP), "d")).as_py()),
    )


def _names_in(unchanged: pa.ChunkedArray) -> Sequence[str]:
    if unchanged.null_count == len(unchanged):
        return ()
    found = pc.unique(pc.list_flatten(unchanged).cast(pa.string()))
    return [name for name in found.to_pylist() if name is not None]


def _with_plan(rows: pa.Table, plan: _Plan) -> pa.Table:
    """Return the rows as handed over: behind their columns a number and the parts of the old key."""
    given = readable(rows)
    if plan.needs_base:
        given = given.append_column("n", pa.array(range(rows.num_rows), pa.int64()))
    if plan.moved:
        old = given.column(OLD_KEY)
        for name in plan.key_names:
            given = given.append_column(name, pc.struct_field(old, name))
    return given


def _new(plan: _Plan, rows: pa.Schema) -> str:
    """Return the columns of _NEW over INCOMING."""
    columns = [f"{value} AS c{place}" for place, value in enumerate(values(plan.target, rows))]
    columns.append(f"r{rows.get_field_index(OP)} AS op")
    following = len(rows)
    if plan.needs_base:
        columns += [f"r{rows.get_field_index(UNCHANGED)} AS unchanged", f"r{following} AS n"]
        following += 1
    if plan.moved:
        for number, place in enumerate(plan.key):
            columns.append(f"{plan.target.cast(place, f'r{following + number}')} AS o{number}")
    return ", ".join(columns)


def _resolve(db: Database, plan: _Plan) -> list[int]:
    """Fill in what rows take from their base rows; drop those that lack it and return their numbers."""
    found = f"b.{quote(plan.target.columns.names[plan.key[0]])} IS NOT NULL"
    columns = ", ".join(f"{_result(plan, place)} AS c{place}" for place in range(len(plan.target.columns)))
    partial = "n.op <> 'd' AND len(n.unchanged) > 0"
    db.run(
        f"CREATE OR REPLACE TEMP TABLE _etl_put AS SELECT n.n, n.op, {found} AS found,"
        f" coalesce({partial}, false) AND NOT ({found}) AS lacks, {columns}"
        f" FROM {_NEW} AS n LEFT JOIN {plan.target.name} AS b ON {_base(plan)}"
    )
    refused = [row[0] for row in db.rows(f"SELECT n FROM {_PUT} WHERE lacks ORDER BY n")]
    if refused:
        db.run(f"DELETE FROM {_NEW} WHERE n IN (SELECT n FROM {_PUT} WHERE lacks)")
        db.run(f"DELETE FROM {_PUT} WHERE lacks")
    return refused


def _base(plan: _Plan) -> str:
    """Return the join of a row with the base row of its old key, where it has one, else of its key."""
    if not plan.moved:
        return plan.join("b", "c", "n")
    names = plan.target.columns.names
    parts = enumerate(plan.key)
    return " AND ".join(f"coalesce(n.o{i}, n.c{place}) = b.{quote(names[place])}" for i, place in parts)


def _result(plan: _Plan, place: int) -> str:
    """Return the value a column of a row ends with."""
    name, old = plan.target.columns.names[place], f"b.{quote(plan.target.columns.names[place])}"
    if place in plan.key or name in _OURS:
        return f"n.c{place}"
    cases = ["WHEN n.op = 'd' THEN " + old] if plan.marks else []
    if place in plan.unchanged:
        cases.append(f"WHEN list_contains(n.unchanged, {literal(plan.unchanged[place])}) THEN {old}")
    return f"CASE {' '.join(cases)} ELSE n.c{place} END" if cases else f"n.c{place}"


#: Control columns come with every row, also with `d`.
_OURS = frozenset([DELETED, *RESERVED])


def _remove(db: Database, plan: _Plan) -> None:
    """Remove the base rows of all keys and old keys."""
    for prefix in ("c", "o") if plan.moved else ("c",):
        matched = f"EXISTS (SELECT 1 FROM {_NEW} AS n WHERE {plan.join('b', prefix, 'n')})"
        db.run(f"DELETE FROM {plan.target.name} AS b WHERE {matched}")


def _put(db: Database, plan: _Plan) -> None:
    columns = ", ".join(f"c{place}" for place in range(len(plan.target.columns)))
    rows = _PUT if plan.needs_base else _NEW
    kept = "op <> 'd' OR found" if plan.marks else "op <> 'd'"
    db.run(
        f"INSERT INTO {plan.target.name} ({plan.target.names()}) SELECT {columns} FROM {rows} WHERE {kept}"
    )
