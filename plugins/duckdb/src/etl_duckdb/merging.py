"""Rows merged by key, as a set: no index, no row-wise statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from etl_core import DELETED, OLD_KEY, OP, RESERVED, UNCHANGED
from etl_duckdb.client import INCOMING, Database
from etl_duckdb.incoming import numbers, readable, split
from etl_duckdb.names import literal, quote
from etl_duckdb.target import Target
from etl_duckdb.writing import met, values

__all__ = ["merge"]

#: Rows completed from their base rows, before any of these is removed. Only such rows pass through a table:
#: it may spill, but even dropped it takes its room until the transaction ends.
_COMPLETED = "temp.main._etl_completed"


def merge(db: Database, target: Target, key: Sequence[str], rows: pa.Table) -> pa.Array:
    """Merge rows (at most one per key); return the indices of those refused for lack of a base row.

    The base rows of all keys and old keys are read, then removed, then the rows are put. A row takes its
    unchanged columns from the base row of its old key, where it has one, else of its key. `d` removes;
    in a table with `_etl_deleted` it marks the base row, if there is one.
    """
    plan = _plan(target, key, rows)
    given = _given(plan, rows)
    refused = pa.array(_complete(db, plan, given) if plan.needs_base else [], pa.int64())
    if len(refused):
        given, _ = split(given, refused)
    _remove(db, plan, given)
    _put(db, plan, given)
    return refused


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
    #: Whether some row is a `d`.
    deletes: bool
    #: Whether `d` rows mark their base row instead of removing it.
    marks: bool

    @property
    def needs_base(self) -> bool:
        """Whether some row is completed from its base row."""
        return bool(self.unchanged) or self.marks

    @property
    def completed(self) -> str:
        """Return the condition that row `n` is completed from its base row."""
        partial = "coalesce(n.op <> 'd' AND len(n.unchanged) > 0, false)"
        return f"({partial} OR n.op = 'd')" if self.marks else partial

    def join(self, prefix: str) -> str:
        """Return the condition that base row `b` has the key in the columns `prefix` of row `n`."""
        names = self.target.columns.names
        pairs = enumerate(self.key) if prefix == "o" else ((place, place) for place in self.key)
        return " AND ".join(f"n.{prefix}{number} = b.{quote(names[place])}" for number, place in pairs)


def _plan(target: Target, key: Sequence[str], rows: pa.Table) -> _Plan:
    names = _names_in(rows.column(UNCHANGED))
    deletes = bool(pc.any(pc.equal(rows.column(OP), "d")).as_py())
    return _Plan(
        target,
        tuple(place for name in key if (place := target.place(name)) is not None),
        tuple(key),
        {place: name for name in names if (place := target.place(name)) is not None},
        moved=rows.column(OLD_KEY).null_count < rows.num_rows,
        deletes=deletes,
        marks=deletes and target.place(DELETED) is not None and DELETED in rows.column_names,
    )


def _names_in(unchanged: pa.ChunkedArray) -> Sequence[str]:
    if unchanged.null_count == len(unchanged):
        return ()
    found = pc.unique(pc.list_flatten(unchanged).cast(pa.string()))
    return [name for name in found.to_pylist() if name is not None]


def _given(plan: _Plan, rows: pa.Table) -> pa.Table:
    """Return the rows as handed over: c0, c1, ... as in the table, `op`, and what the plan asks for.

    For rows that need their base row the names of what is `unchanged`, and a number `n`; for those that
    changed their key o0, o1, ... the old one.
    """
    columns = met(plan.target, rows) | {"op": rows.column(OP)}
    if plan.needs_base:
        columns |= {"unchanged": rows.column(UNCHANGED), "n": numbers(rows.num_rows)}
    if plan.moved:
        old = rows.column(OLD_KEY)
        columns |= {f"o{number}": pc.struct_field(old, name) for number, name in enumerate(plan.key_names)}
    return readable(pa.table(columns))


def _rows(plan: _Plan, given: pa.Table) -> str:
    """Return the rows as a subquery `n`, in the table's types."""
    columns = [f"{value} AS c{place}" for place, value in enumerate(values(plan.target, given.column_names))]
    if plan.moved:
        columns += [f"{plan.target.cast(place, f'o{i}')} AS o{i}" for i, place in enumerate(plan.key)]
    columns += ["op", "unchanged", "n"] if plan.needs_base else ["op"]
    return f"(SELECT {', '.join(columns)} FROM {INCOMING}) AS n"


def _complete(db: Database, plan: _Plan, given: pa.Table) -> list[int]:
    """Complete rows from their base rows; return the numbers of those that lack one and cannot be put."""
    found = f"b.{quote(plan.target.columns.names[plan.key[0]])} IS NOT NULL"
    columns = ", ".join(f"{_result(plan, place)} AS c{place}" for place in range(len(plan.target.columns)))
    db.run(
        f"CREATE OR REPLACE TEMP TABLE _etl_completed AS SELECT n.n, n.op, {found} AS found, {columns}"
        f" FROM {_rows(plan, given)} LEFT JOIN {plan.target.name} AS b ON {_base(plan)}"
        f" WHERE {plan.completed}",
        incoming=given,
    )
    lacking = f"SELECT n FROM {_COMPLETED} WHERE NOT found AND op <> 'd' ORDER BY n"
    return [row[0] for row in db.rows(lacking)]


def _base(plan: _Plan) -> str:
    """Return the join of a row with the base row of its old key, where it has one, else of its key."""
    if not plan.moved:
        return plan.join("c")
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


def _remove(db: Database, plan: _Plan, given: pa.Table) -> None:
    """Remove the base rows of all keys and old keys."""
    for prefix in ("c", "o") if plan.moved else ("c",):
        matched = f"EXISTS (SELECT 1 FROM {_rows(plan, given)} WHERE {plan.join(prefix)})"
        db.run(f"DELETE FROM {plan.target.name} AS b WHERE {matched}", incoming=given)


def _put(db: Database, plan: _Plan, given: pa.Table) -> None:
    """Put the rows that are whole as they came, and those that were completed."""
    into = f"INSERT INTO {plan.target.name} ({plan.target.names()})"
    columns = ", ".join(f"c{place}" for place in range(len(plan.target.columns)))
    kept = ["n.op <> 'd'"] if plan.deletes else []
    kept += [f"NOT {plan.completed}"] if plan.needs_base else []
    where = f" WHERE {' AND '.join(kept)}" if kept else ""
    db.run(f"{into} SELECT {columns} FROM {_rows(plan, given)}{where}", incoming=given)
    if plan.needs_base:
        db.run(f"{into} SELECT {columns} FROM {_COMPLETED} WHERE found")
        db.run(f"DROP TABLE {_COMPLETED}")
