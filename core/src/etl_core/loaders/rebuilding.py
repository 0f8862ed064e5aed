"""Makes the rows of a write from what folding left, by taking rows: no data value becomes an object."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.loaders.kept import Kept
from etl_core.loaders.keys import arrays_of
from etl_core.loaders.marks import mark_column
from etl_core.model import COMMIT_TS, OLD_KEY, OP, SEQ, UNCHANGED
from etl_core.schema import OP_TYPE

__all__ = ["rebuild"]

_DELETE = pa.scalar("d", OP_TYPE)
_NO_ROW = pa.scalar(None, pa.int32())


def rebuild(rows: pa.Table, key: Sequence[str], kept: Kept) -> pa.Table:
    """Return one row per row kept, with the columns of `rows`."""
    return _Rebuild(rows, key, kept).table()


class _Rebuild:
    def __init__(self, rows: pa.Table, key: Sequence[str], kept: Kept) -> None:
        self._rows = rows
        self._key = tuple(key)
        self._kept = kept
        self._any_of_old = pc.any(kept.of_old).as_py()
        self._sources = pc.if_else(kept.of_old, _NO_ROW, kept.rows) if self._any_of_old else kept.rows

    def table(self) -> pa.Table:
        columns = [self._column(name) for name in self._rows.column_names]
        return pa.Table.from_arrays(columns, schema=self._rows.schema)

    def _column(self, name: str) -> pa.Array:
        if name == UNCHANGED:
            return mark_column(self._kept.unsent, len(self._kept))
        column = self._rows.column(name)
        if name == OLD_KEY and column.null_count == len(column):
            return pa.nulls(len(self._kept), column.type)
        values = arrays_of(column)
        if name == OP:
            return self._ops(values)
        if name in (SEQ, COMMIT_TS):
            return values.take(self._kept.stamps)
        return self._key_column(name, values) if name in self._key else self._data_column(name, values)

    def _ops(self, values: pa.Array) -> pa.Array:
        ops = values.take(self._kept.rows)
        return pc.if_else(self._kept.of_old, _DELETE, ops) if self._any_of_old else ops

    def _data_column(self, name: str, values: pa.Array) -> pa.Array:
        filled = self._kept.filled.get(name)
        return _taken(values, self._sources if filled is None else pc.coalesce(filled, self._sources))

    def _key_column(self, name: str, values: pa.Array) -> pa.Array:
        if not self._any_of_old:
            return _taken(values, self._sources)
        old = arrays_of(self._rows.column(OLD_KEY)).flatten()[self._key.index(name)]
        left = pc.add(self._kept.rows, pa.scalar(len(values), pa.int32()))
        return _taken(pa.concat_arrays([values, old]), pc.if_else(self._kept.of_old, left, self._kept.rows))


def _taken(values: pa.Array, places: pa.Array) -> pa.Array:
    """Take values of any type: by way of another where Arrow has no `take` for it."""
    kind = values.type
    if pa.types.is_string_view(kind):
        return values.cast(pa.large_string()).take(places).cast(kind)
    if pa.types.is_binary_view(kind):
        return values.cast(pa.large_binary()).take(places).cast(kind)
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_encode(pc.run_end_decode(values).take(places), kind.run_end_type)
    return values.take(places)
