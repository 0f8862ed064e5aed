"""Rows made to fit what the schema policy decided about their table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.engine.plan import Plan
from etl_core.model import OP, UNCHANGED

__all__ = ["fit"]

Misfits = list[tuple[pa.Table, str, str | None]]


def fit(rows: pa.Table, plan: Plan) -> tuple[pa.Table, Misfits]:
    """Return the rows as the table takes them, and those it cannot take: `(rows, code, column)`.

    Columns left out are absent, nulled ones are null, narrower ones are cast to the table's type. Rows
    with a null where the table takes none are refused (`null_key`, `null_not_allowed`), but for what a
    delete or an unchanged mark leaves open. Rows that fit are returned as they are, without a copy.
    """
    misfits: Misfits = []
    for name in sorted(plan.rejects_null):
        bad = _null_rows(rows, name, name in plan.table.key)
        if len(bad):
            code = "null_key" if name in plan.table.key else "null_not_allowed"
            misfits.append((rows.take(bad), code, name))
            rows = rows.take(_others(rows.num_rows, bad))
    return _shaped(rows, plan), misfits


def _null_rows(rows: pa.Table, name: str, key: bool) -> pa.Array:
    """Return the indices of the rows that have no value for a column and should have one."""
    if name in rows.column_names and not rows.column(name).null_count:
        return pa.array([], pa.int64())
    null = rows.column(name).is_null() if name in rows.column_names else _all(rows.num_rows)
    if not key and OP in rows.column_names:
        null = pc.and_(null, pc.not_equal(rows.column(OP), "d"))
    found = pc.indices_nonzero(null)
    if key or UNCHANGED not in rows.column_names:
        return found
    marks = rows.column(UNCHANGED).take(found).to_pylist()
    return pa.array(
        [row for row, names in zip(found.to_pylist(), marks, strict=True) if name not in (names or ())],
        pa.int64(),
    )


def _all(count: int) -> pa.Array:
    return pa.repeat(pa.scalar(True), count)


def _others(count: int, bad: pa.Array) -> pa.Array:
    refused = set(bad.to_pylist())
    return pa.array([row for row in range(count) if row not in refused], pa.int64())


def _shaped(rows: pa.Table, plan: Plan) -> pa.Table:
    if left_out := [name for name in plan.left_out if name in rows.column_names]:
        rows = rows.drop_columns(left_out)
    for field in plan.table.columns:
        index = rows.schema.get_field_index(field.name)
        if index < 0 or (rows.schema.field(index).type == field.type and field.name not in plan.nulled):
            continue
        if field.name in plan.nulled:
            column = pa.nulls(rows.num_rows, field.type)
        else:
            column = rows.column(index).cast(field.type)
        rows = rows.set_column(index, field, column)
    return rows
