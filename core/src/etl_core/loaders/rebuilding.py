"""Makes the rows of a write from what folding left, by taking rows: no data value becomes an object."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from etl_core.loaders.folding import Entry, Fate
from etl_core.loaders.keys import arrays_of
from etl_core.model import COMMIT_TS, OLD_KEY, OP, SEQ, UNCHANGED
from etl_core.schema import OP_TYPE, UNCHANGED_TYPE

__all__ = ["rebuild"]


def rebuild(rows: pa.Table, key: Sequence[str], entries: Sequence[Entry]) -> pa.Table:
    """Return one row per entry, with the columns of `rows`."""
    return _Rebuild(rows, key, entries).table()


class _Rebuild:
    def __init__(self, rows: pa.Table, key: Sequence[str], entries: Sequence[Entry]) -> None:
        self._rows = rows
        self._key = tuple(key)
        self._entries = entries
        self._filled = frozenset(name for entry in entries for name in entry.filled)
        self._stamps = _indices([entry.stamp for entry in entries])
        self._sources = _indices([None if entry.of_old else entry.row for entry in entries])

    def table(self) -> pa.Table:
        columns = [self._column(name) for name in self._rows.column_names]
        return pa.Table.from_arrays(columns, schema=self._rows.schema)

    def _column(self, name: str) -> pa.Array:
        if name == OP:
            return self._ops()
        if name == UNCHANGED:
            return pa.array([sorted(entry.unchanged) or None for entry in self._entries], UNCHANGED_TYPE)
        values = arrays_of(self._rows.column(name))
        if name in (SEQ, COMMIT_TS):
            return values.take(self._stamps)
        if name == OLD_KEY:
            return values.take(_indices([None if e.old is None else e.row for e in self._entries]))
        return self._key_column(name, values) if name in self._key else self._data_column(name, values)

    def _ops(self) -> pa.Array:
        ops = self._rows.column(OP).to_pylist()
        kept = ["d" if entry.fate is Fate.DELETED else ops[entry.row] for entry in self._entries]
        return pa.array(kept, OP_TYPE)

    def _data_column(self, name: str, values: pa.Array) -> pa.Array:
        if name not in self._filled:
            return values.take(self._sources)
        sources = [None if entry.of_old else entry.source(name) for entry in self._entries]
        return values.take(_indices(sources))

    def _key_column(self, name: str, values: pa.Array) -> pa.Array:
        if not any(entry.of_old for entry in self._entries):
            return values.take(self._sources)
        old = arrays_of(self._rows.column(OLD_KEY)).flatten()[self._key.index(name)]
        shift = len(values)
        sources = [entry.row + shift if entry.of_old else entry.row for entry in self._entries]
        return pa.concat_arrays([values, old]).take(_indices(sources))


def _indices(values: Sequence[int | None]) -> pa.Array:
    return pa.array(values, pa.int64())
