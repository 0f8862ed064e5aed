"""Rows as text become Arrow, as the pure-Python decoder does it: `Rows` gathers rows and finishes a batch."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from attrs import field, frozen
from benchmarks.frozen.pgoutput import UNCHANGED, Delete, Insert, Update, Values
from benchmarks.frozen.values import PgType

from etl_core import (
    COMMIT_TS_TYPE,
    OP_TYPE,
    SEQ_TYPE,
    UNCHANGED_TYPE,
    FatalError,
    old_key_type,
    reserved_schema,
    with_key,
)

__all__ = ["EPOCH", "Layout", "Rows"]

#: Microseconds from the Unix epoch to PostgreSQL's.
EPOCH = 946_684_800_000_000

Row = Sequence[str | None]


@frozen
class Layout:
    """A stream's columns: names, types and which of them (by index) are the key, in key order."""

    names: tuple[str, ...]
    types: tuple[PgType, ...]
    key: tuple[int, ...]
    #: Data columns, with the key in the metadata.
    schema: pa.Schema = field(init=False)
    #: Data columns and reserved columns.
    full: pa.Schema = field(init=False)

    @schema.default
    def _schema(self) -> pa.Schema:
        fields = [pa.field(name, kind.arrow) for name, kind in zip(self.names, self.types, strict=True)]
        return with_key(pa.schema(fields), self.key_names)

    @full.default
    def _full(self) -> pa.Schema:
        reserved = reserved_schema(self.schema, self.key_names)
        return pa.schema([*self.schema, *reserved], metadata=self.schema.metadata)

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(self.names[index] for index in self.key)


class Rows:
    """Rows on their way into one RecordBatch; gathered, finished, thrown away."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.size = 0
        self._rows: list[Row] = []
        self._ops: list[str] = []
        self._seqs: list[bytes] = []
        self._times: list[int | None] = []
        self._unchanged: dict[int, list[int]] = {}
        self._old_keys: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

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
        """Return the rows as one RecordBatch. Raises SchemaError from a type's `parse`."""
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
