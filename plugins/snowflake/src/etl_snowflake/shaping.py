"""Rows in the shape of the table that they go into: a history, a landing table, or a staging table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from etl_core import OLD_KEY, SEQ, UNCHANGED
from etl_snowflake.control import Kept
from etl_snowflake.jsontext import hexed
from etl_snowflake.names import Names
from etl_snowflake.target import ORDER

__all__ = ["above", "below", "decoded", "is_partial", "landed", "seqs_of", "staged", "whole"]

_PLAIN = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def decoded(rows: pa.Table) -> pa.Table:
    """Return the rows without run-end encoded columns, and without views: Arrow cannot filter those."""
    for place, each in enumerate(rows.schema):
        if pa.types.is_run_end_encoded(each.type):
            chunks = [pc.run_end_decode(chunk) for chunk in rows.column(place).chunks]
            rows = rows.set_column(place, each.name, pa.chunked_array(chunks, each.type.value_type))
        if (plain := _PLAIN.get(rows.schema.field(place).type)) is not None:
            rows = rows.set_column(place, each.name, rows.column(place).cast(plain))
    return rows


def whole(names: Names, rows: pa.Table) -> pa.Table:
    """Return the rows of a history: all of their columns, under the target's names."""
    return rows.rename_columns([names.fold(name) for name in rows.column_names])


def landed(names: Names, rows: pa.Table, seqs: pa.ChunkedArray) -> pa.Table:
    """Return the rows of a landing table, whose seqs are texts."""
    place = rows.schema.get_field_index(SEQ)
    return whole(names, rows.set_column(place, SEQ, seqs))


def staged(names: Names, kept: Kept, rows: pa.Table, start: int, *, numbered: bool) -> pa.Table:
    """Return the rows of a staging table: the target's columns and, in a mirror, numbers from `start`."""
    columns = set(kept.columns.names)
    there = whole(names, rows.select([name for name in rows.column_names if name in columns]))
    if not numbered:
        return there
    ones = pa.repeat(pa.scalar(1, pa.int64()), rows.num_rows)
    return there.append_column(ORDER, pc.add(pc.cumulative_sum(ones), start - 1))


def seqs_of(rows: pa.Table) -> pa.ChunkedArray | None:
    """Return the seqs of rows as hex; None where not every row has one."""
    if SEQ not in rows.column_names:
        return None
    column = rows.column(SEQ)
    return None if column.null_count else hexed(column)


def above(rows: pa.Table, seqs: pa.ChunkedArray, mark: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the rows above a mark, with their seqs."""
    new = pc.greater(seqs, mark)
    if pc.all(new, min_count=0).as_py():
        return rows, seqs
    return rows.filter(new), seqs.filter(new)


def below(rows: pa.Table, seqs: pa.ChunkedArray, mark: str) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return the rows up to a mark, with their seqs."""
    old = pc.less_equal(seqs, mark)
    return rows.filter(old), seqs.filter(old)


def is_partial(rows: pa.Table) -> bool:
    """Whether some row builds on the row that is in the table: columns left out, or a changed key."""
    moved = OLD_KEY in rows.column_names and rows.column(OLD_KEY).null_count < rows.num_rows
    if moved or UNCHANGED not in rows.column_names:
        return moved
    lengths = pc.fill_null(pc.list_value_length(rows.column(UNCHANGED)), 0)
    return bool(pc.any(pc.greater(lengths, 0), min_count=0).as_py())
