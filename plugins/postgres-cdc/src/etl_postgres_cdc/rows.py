"""Rows as text become Arrow, in Python: what runs where there is no compiled decoder, and its oracle.

`Rows` gathers the rows of one stream under one schema and turns them into a RecordBatch at once, with the
reserved columns. The snapshot and the stream both go through it, so values and types are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from etl_core import COMMIT_TS_TYPE, OP_TYPE, SEQ_TYPE, UNCHANGED_TYPE, FatalError, old_key_type
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import UNCHANGED, Delete, Insert, Update, Values

__all__ = ["EPOCH", "Rows"]

#: Microseconds from the Unix epoch to PostgreSQL's.
EPOCH = 946_684_800_000_000

Row = Sequence[str | None]


class Rows:
    """Rows on their way into one RecordBatch. See `events.Rows`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._clear()

    def _clear(self) -> None:
        self.size = 0
        self._rows: list[Row] = []
        self._ops: list[str] = []
        self._seqs: list[bytes] = []
        self._times: list[int | None] = []
        self._unchanged: dict[int, list[int]] = {}
        self._old_keys: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, seq: bytes, row: Row, size: int) -> None:
        """Add a row of a snapshot; `size` is about how many bytes it has."""
        self._add("r", seq, None, row, size)

    def change(self, change: Insert | Update | Delete, seq: bytes, timestamp: int, size: int) -> None:
        """Add a change as the stream sent it. Raises FatalError when it does not fit the columns."""
        tuples = (change.new,) if isinstance(change, Insert) else (change.old, getattr(change, "new", None))
        if any(values is not None and len(values) != len(self.layout.names) for values in tuples):
            raise FatalError("a row does not have the columns that the server announced")
        time = timestamp + EPOCH
        if isinstance(change, Insert):
            self._add("i", seq, time, _plain(change.new), size)
        elif isinstance(change, Delete):
            self._add("d", seq, time, self._key_only(change.old), size)
        else:
            self._update(change, seq, time, size)

    def _update(self, change: Update, seq: bytes, time: int, size: int) -> None:
        old, new = change.old, change.new
        if old is not None:
            known = range(len(new)) if change.full else self.layout.key
            new = list(new)
            for index in known:
                if new[index] is UNCHANGED:
                    new[index] = old[index]
            before = _plain([old[index] for index in self.layout.key])
            if before != [new[index] for index in self.layout.key]:
                self._old_keys[len(self._rows)] = before
        if UNCHANGED in new:
            self._unchanged[len(self._rows)] = [i for i, value in enumerate(new) if value is UNCHANGED]
        self._add("u", seq, time, _plain(new), size)

    def _key_only(self, old: Values) -> Row:
        """Return a deleted row: its key, or all of it where the table has none."""
        row: list[str | None] = [None] * len(old)
        for index in self.layout.key or range(len(old)):
            row[index] = _text(old[index])
        return row

    def _add(self, op: str, seq: bytes, time: int | None, row: Row, size: int) -> None:
        self._rows.append(row)
        self._ops.append(op)
        self._seqs.append(seq)
        self._times.append(time)
        self.size += size

    def finish(self) -> pa.RecordBatch:
        """Return the rows as one RecordBatch; none are left. Raises SchemaError from a type's `parse`."""
        layout = self.layout
        texts = zip(*self._rows, strict=True) if self._rows else iter([()] * len(layout.names))
        arrays = [
            kind.parse(values, name)
            for name, kind, values in zip(layout.names, layout.types, texts, strict=True)
        ]
        arrays += [
            pa.array(self._ops, OP_TYPE),
            pa.array(self._seqs, SEQ_TYPE),
            pa.array(self._times, COMMIT_TS_TYPE),
            self._unchanged_array(),
            self._old_key_array(),
        ]
        self._clear()
        return pa.RecordBatch.from_arrays(arrays, schema=layout.full)

    def _unchanged_array(self) -> pa.Array:
        if not self._unchanged:
            return pa.nulls(len(self), UNCHANGED_TYPE)
        names = pa.array(self.layout.names, pa.string())
        offsets, indices = [0], list[int]()
        for row in range(len(self)):
            indices += self._unchanged.get(row, ())
            offsets.append(len(indices))
        values = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int16()), names)
        mask = pa.array([row not in self._unchanged for row in range(len(self))])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, UNCHANGED_TYPE, mask=mask)

    def _old_key_array(self) -> pa.Array:
        layout = self.layout
        kind = old_key_type(layout.schema, layout.key_names)
        if not self._old_keys:
            return pa.nulls(len(self), kind)
        absent: Row = [None] * len(layout.key)
        rows = [self._old_keys.get(row, absent) for row in range(len(self))]
        arrays = [
            layout.types[index].parse(values, layout.names[index])
            for index, values in zip(layout.key, zip(*rows, strict=True), strict=True)
        ]
        mask = pa.array([row not in self._old_keys for row in range(len(self))])
        return pa.StructArray.from_arrays(arrays, fields=list(kind), mask=mask)


def _plain(values: Values) -> list[str | None]:
    """Return the values with null for what the server did not send."""
    return [None if value is UNCHANGED else value for value in values]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
