"""Transformed rows and the deletes that went around them, put back together in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.engine.lineage import Marks
from etl_core.model import COMMIT_TS, OLD_KEY, OP, RESERVED, SEQ, UNCHANGED
from etl_core.schema import OP_TYPE, UNCHANGED_TYPE, data_columns, old_key_type, reserved_schema

__all__ = ["deletes", "in_order", "keys_of", "old_keys", "reattach", "with_reserved"]


def with_reserved(rows: pa.RecordBatch, original: pa.RecordBatch, origin: Sequence[int] | None) -> pa.Table:
    """Return `rows` with the reserved columns of the original rows they came from."""
    arrays = [*rows.columns, *_reserved(original, origin).values()]
    return pa.Table.from_arrays(arrays, names=[*rows.schema.names, *RESERVED])


def _reserved(original: pa.RecordBatch, origin: Sequence[int] | None) -> dict[str, pa.Array]:
    columns = {name: original.column(name) for name in RESERVED}
    if origin is None:
        return columns
    taken = _indices(origin)
    return {name: column.take(taken) for name, column in columns.items()}


def reattach(
    rows: pa.RecordBatch,
    original: pa.RecordBatch,
    origin: Sequence[int] | None,
    marks: Marks,
    schema: pa.Schema,
    old: pa.Array,
) -> pa.RecordBatch:
    """Return transformed rows as a source would have sent them: `schema`, then the reserved columns."""
    key = [field.name for field in old.type]
    reserved = _reserved(original, origin)
    reserved[OLD_KEY] = old
    if reserved[UNCHANGED].null_count < rows.num_rows:
        names = [sorted(mark) or None for mark in marks or [frozenset()] * rows.num_rows]
        reserved[UNCHANGED] = pa.array(names, UNCHANGED_TYPE)
    arrays = [*rows.columns, *(reserved[name] for name in RESERVED)]
    return pa.RecordBatch.from_arrays(arrays, schema=_full(schema, key))


def deletes(
    original: pa.RecordBatch, origin: Sequence[int], keys: Mapping[str, pa.Array], schema: pa.Schema
) -> pa.RecordBatch:
    """Return a `d` row for each of these original rows, with `keys` and nothing else."""
    count, taken = len(origin), _indices(origin)
    reserved = {
        OP: pa.repeat(pa.scalar("d", OP_TYPE), count),
        SEQ: original.column(SEQ).take(taken),
        COMMIT_TS: original.column(COMMIT_TS).take(taken),
        UNCHANGED: pa.nulls(count, UNCHANGED_TYPE),
        OLD_KEY: pa.nulls(count, old_key_type(schema, list(keys))),
    }
    data = [keys[field.name] if field.name in keys else pa.nulls(count, field.type) for field in schema]
    return pa.RecordBatch.from_arrays([*data, *reserved.values()], schema=_full(schema, list(keys)))


def keys_of(original: pa.RecordBatch, rows: Sequence[int], key: Sequence[str]) -> Mapping[str, pa.Array]:
    """Return the keys under which these rows are in the destination: their old keys where they moved."""
    taken = _indices(rows)
    old = original.column(OLD_KEY).take(taken)
    moved = old.is_valid()
    return {
        name: pc.if_else(moved, before, original.column(name).take(taken))
        for name, before in zip(key, old.flatten(), strict=True)
    }


def old_keys(keys: Mapping[str, pa.Array], moved: Sequence[int], count: int) -> pa.Array:
    """Return `_etl_old_key` of `count` rows, of which those in `moved` have these keys."""
    if not moved or not keys:
        return pa.nulls(count, pa.struct({name: column.type for name, column in keys.items()}))
    places: list[int | None] = [None] * count
    for place, row in enumerate(moved):
        places[row] = place
    fields = [pa.field(name, column.type) for name, column in keys.items()]
    return pa.StructArray.from_arrays(list(keys.values()), fields=fields).take(_indices(places))


def in_order(parts: Sequence[pa.RecordBatch], origins: Sequence[Sequence[int]]) -> pa.RecordBatch:
    """Return the rows of all parts in the order of the original rows they came from."""
    order = pc.sort_indices(_indices([row for origin in origins for row in origin]))
    table = pa.Table.from_batches(parts).take(order).combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else parts[0].slice(0, 0)


def _full(schema: pa.Schema, key: Sequence[str]) -> pa.Schema:
    return pa.schema([*data_columns(schema), *reserved_schema(schema, key)], schema.metadata)


def _indices(rows: Sequence[int | None]) -> pa.Array:
    return pa.array(rows, pa.int64())
