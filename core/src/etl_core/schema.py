"""The Arrow side of the model: reserved columns, keys in schemas, retained bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

import pyarrow as pa

from etl_core.errors import SchemaError
from etl_core.model import COMMIT_TS, OLD_KEY, OP, RESERVED, SEQ, UNCHANGED

__all__ = [
    "COMMIT_TS_TYPE",
    "OP_TYPE",
    "SEQ_TYPE",
    "UNCHANGED_TYPE",
    "add_reserved",
    "data_columns",
    "key_of",
    "old_key_type",
    "reserved_schema",
    "with_key",
]

OP_TYPE = pa.string()
SEQ_TYPE = pa.binary(20)
COMMIT_TS_TYPE = pa.timestamp("us", tz="UTC")
UNCHANGED_TYPE = pa.list_(pa.dictionary(pa.int16(), pa.string()))

_KEY = b"etl.key"


def with_key(schema: pa.Schema, key: Sequence[str]) -> pa.Schema:
    """Return the schema with its key columns written into the metadata."""
    metadata = dict(schema.metadata or {})
    metadata[_KEY] = json.dumps(list(key)).encode()
    return schema.with_metadata(metadata)


def key_of(schema: pa.Schema) -> tuple[str, ...]:
    """Return the key columns that `with_key` wrote; empty when there are none."""
    return tuple(json.loads((schema.metadata or {}).get(_KEY, b"[]")))


def old_key_type(schema: pa.Schema, key: Sequence[str]) -> pa.DataType:
    """Return the type of `_etl_old_key` for a stream with these key columns."""
    return pa.struct([pa.field(name, schema.field(name).type) for name in key])


def reserved_schema(schema: pa.Schema, key: Sequence[str]) -> pa.Schema:
    """Return the reserved columns of a stream whose data columns are `schema`."""
    return pa.schema(
        [
            pa.field(OP, OP_TYPE, nullable=False),
            pa.field(SEQ, SEQ_TYPE),
            pa.field(COMMIT_TS, COMMIT_TS_TYPE),
            pa.field(UNCHANGED, UNCHANGED_TYPE),
            pa.field(OLD_KEY, old_key_type(schema, key)),
        ]
    )


def data_columns(schema: pa.Schema) -> pa.Schema:
    """Return the schema without reserved columns, metadata kept."""
    fields = [field for field in schema if field.name not in RESERVED]
    return pa.schema(fields, metadata=schema.metadata)


def add_reserved(rows: pa.RecordBatch, key: Sequence[str], op: str) -> pa.RecordBatch:
    """Return `rows` followed by all five reserved columns.

    Reserved columns that are there keep their buffers; absent ones are filled: `op` for every row, else
    null. Raises SchemaError when a reserved column has another type than the model's.
    """
    columns = data_columns(rows.schema)
    wanted = reserved_schema(columns, key)
    arrays: list[pa.Array] = [rows.column(name) for name in columns.names]
    arrays += [_reserved_column(rows, field, op) for field in wanted]
    schema = pa.schema([*columns, *wanted], metadata=rows.schema.metadata)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _reserved_column(rows: pa.RecordBatch, field: pa.Field, op: str) -> pa.Array:
    index = rows.schema.get_field_index(field.name)
    if index >= 0:
        if rows.schema.field(index).type != field.type:
            raise SchemaError(
                "a reserved column has the wrong type",
                "see the data model for the types of reserved columns",
                column=field.name,
                found=rows.schema.field(index).type,
                wanted=field.type,
            )
        return rows.column(index)
    return _filler(field.type, rows.num_rows, op if field.name == OP else None)


@lru_cache(maxsize=64)
def _filler(type: pa.DataType, rows: int, value: str | None) -> pa.Array:
    """Return a column of one value; batches of one length, as most are, share it."""
    return pa.nulls(rows, type) if value is None else pa.repeat(pa.scalar(value, type), rows)
