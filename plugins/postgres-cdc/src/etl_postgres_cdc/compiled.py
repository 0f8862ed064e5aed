"""The compiled decoder's rows as Arrow, without a copy. Importing this fails where it was not built."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from etl_core import COMMIT_TS_TYPE, OP_TYPE, SEQ_TYPE, UNCHANGED_TYPE, old_key_type
from etl_pglib.types import PgType
from etl_postgres_cdc import _wire
from etl_postgres_cdc.forms import Form, form_of
from etl_postgres_cdc.layout import Layout

__all__ = ["CompiledRows"]

#: Whether some value does not fit, number of nulls, validity, offsets, data.
Column = tuple[bool, int, Any, Any, Any]


class CompiledRows(_wire.Rows):
    """See `events.Rows`. Its buffers are those that the decoder filled."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        decimals = [kind.arrow if pa.types.is_decimal128(kind.arrow) else None for kind in layout.types]
        super().__init__(
            bytes(form_of(kind) or Form.TEXT for kind in layout.types),
            bytes(decimal.precision if decimal else 0 for decimal in decimals),
            bytes(decimal.scale if decimal else 0 for decimal in decimals),
            layout.key,
        )

    def finish(self) -> pa.RecordBatch:
        """Return the rows as one RecordBatch; none are left. Raises SchemaError for a misfit."""
        layout = self.layout
        count, columns, ends, ops, seqs, times, unchanged, moves = self.take()
        described = zip(layout.types, layout.names, columns, strict=True)
        arrays = [
            *(_array(kind, name, count, column) for kind, name, column in described),
            _from(OP_TYPE, count, [None, ends, ops]),
            _from(SEQ_TYPE, count, [None, seqs]),
            pa.nulls(count, COMMIT_TS_TYPE) if times is None else _from(COMMIT_TS_TYPE, count, [None, times]),
            _unchanged(layout, count, unchanged),
            _old_keys(layout, count, moves),
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=layout.full)


def _from(type: pa.DataType, count: int, buffers: list[Any], nulls: int = 0, **more: Any) -> pa.Array:
    made = [None if buffer is None else pa.py_buffer(buffer) for buffer in buffers]
    return pa.Array.from_buffers(type, count, made, nulls, **more)


def _array(kind: PgType, name: str, count: int, column: Column) -> pa.Array:
    bad, nulls, validity, offsets, data = column
    if bad:
        raise kind.misfit(name)
    extension = isinstance(kind.arrow, pa.BaseExtensionType)
    form = form_of(kind)
    storage = pa.string() if form is None else kind.arrow.storage_type if extension else kind.arrow
    buffers = [validity, data] if offsets is None else [validity, offsets, data]
    values = _from(storage, count, buffers, nulls)
    if form is None:
        return kind.parse(values.to_pylist(), name)
    return pa.ExtensionArray.from_storage(kind.arrow, values) if extension else values


def _unchanged(layout: Layout, count: int, taken: Any) -> pa.Array:
    if taken is None:
        return pa.nulls(count, UNCHANGED_TYPE)
    marked, validity, ends, numbers = taken
    indices = _from(pa.int16(), len(memoryview(numbers)) // 2, [None, numbers])
    names = pa.DictionaryArray.from_arrays(indices, pa.array(layout.names, pa.string()))
    return _from(UNCHANGED_TYPE, count, [validity, ends], count - marked, children=[names])


def _old_keys(layout: Layout, count: int, taken: Any) -> pa.Array:
    kind = old_key_type(layout.schema, layout.key_names)
    if taken is None:
        return pa.nulls(count, kind)
    moves, validity, columns = taken
    keys = zip(layout.key, layout.key_names, columns, strict=True)
    children = [_array(layout.types[index], name, count, column) for index, name, column in keys]
    return _from(kind, count, [validity], count - moves, children=children)
