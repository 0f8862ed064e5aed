"""Whether batches keep the data model: columns, reserved columns, sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from etl_core.model import OP, RESERVED, SEQ, UNCHANGED, Batch, Kind, Stream, StreamInfo, unpack_seq
from etl_core.schema import data_columns, reserved_schema
from etl_core.testing.source.changes import values_of
from etl_core.testing.verdicts import expect

__all__ = ["Fit", "Sequences"]

_OPS = frozenset("riud")
_BYTES = 20


class Fit:
    """Takes batches in order; breaks the clause at the first that does not fit its stream."""

    def __init__(self, streams: Mapping[Stream, StreamInfo]) -> None:
        self._schemas = {stream: info.schema for stream, info in streams.items()}
        self._keys = {stream: info.key for stream, info in streams.items()}
        self._open: set[Stream] = set()

    def take(self, number: int, batch: Batch) -> None:
        where = {"batch": number, "kind": batch.kind.value, "stream": batch.stream}
        if batch.kind is Kind.PROGRESS:
            expect(batch.position is not None, "a progress batch has no position", **where)
            return
        assert batch.stream is not None
        if batch.schema is not None:
            self._announced(batch, where)
        elif batch.kind is Kind.SNAPSHOT_BEGIN:
            self._open.add(batch.stream)
        expect(batch.stream in self._schemas, "a stream was never announced", **where)
        if batch.kind is Kind.SNAPSHOT_END:
            expect(batch.stream in self._open, "a snapshot ends that was not begun", **where)
            self._open.discard(batch.stream)
        if batch.rows is not None:
            self._rows(batch.rows, batch.stream, where)

    def end(self) -> None:
        """Nothing more comes."""
        expect(not self._open, "a snapshot was not ended", streams=sorted(map(str, self._open)))

    def _announced(self, batch: Batch, where: Mapping[str, Any]) -> None:
        assert batch.stream is not None
        if batch.kind is Kind.SNAPSHOT_BEGIN:
            self._open.add(batch.stream)
        self._schemas[batch.stream] = batch.schema
        if batch.key is not None:
            self._keys[batch.stream] = batch.key
        names = batch.schema.names if batch.schema is not None else []
        unknown = [name for name in batch.key or () if name not in names]
        expect(not unknown, "the key names columns that are not there", columns=unknown, **where)

    def _rows(self, rows: pa.RecordBatch | pa.Table, stream: Stream, where: Mapping[str, Any]) -> None:
        rows.validate(full=True)
        own = [name for name in rows.schema.names if name.startswith("_etl_") and name not in RESERVED]
        expect(not own, "a column has a name that is reserved", columns=own, **where)
        found, wanted = data_columns(rows.schema), self._schemas[stream]
        expect(found.names == wanted.names, "rows have other columns than announced", **where)
        for one, other in zip(found, wanted, strict=True):
            same = one.type == other.type
            expect(same, "a column has another type than announced", column=one.name, **where)
        self._reserved(rows, stream, where)
        self._keyed(rows, stream, where)

    def _reserved(self, rows: pa.RecordBatch | pa.Table, stream: Stream, where: Mapping[str, Any]) -> None:
        for field in reserved_schema(self._schemas[stream], self._keys[stream]):
            if field.name in rows.schema.names:
                found = rows.schema.field(field.name).type
                facts = {"column": field.name, "found": found, "wanted": field.type}
                expect(found == field.type, "a reserved column has another type", **facts, **where)
        ops = set(values_of(rows, OP) or ())
        expect(ops <= _OPS, "an operation is none of r, i, u, d", found=len(ops - _OPS), **where)
        names = {name for row in values_of(rows, UNCHANGED) or () for name in row or ()}
        unknown = names - set(rows.schema.names)
        expect(not unknown, "_etl_unchanged names a column that is not there", columns=unknown, **where)

    def _keyed(self, rows: pa.RecordBatch | pa.Table, stream: Stream, where: Mapping[str, Any]) -> None:
        for name in self._keys[stream]:
            nulls = rows.column(name).null_count
            expect(not nulls, "rows come without their key", column=name, rows=nulls, **where)


class Sequences:
    """Takes batches in order; breaks the clause where sequences do not rise."""

    def __init__(self, streams: Mapping[Stream, StreamInfo], epoch: int) -> None:
        self._streams = streams
        self._epoch = epoch
        self._last: dict[Stream, bytes] = {}
        self._none: dict[Stream, int] = {}

    def take(self, number: int, batch: Batch) -> None:
        if batch.stream is None or batch.kind is Kind.PROGRESS:
            return
        if batch.kind is not Kind.ROWS:
            if batch.kind is not Kind.SCHEMA or batch.changes:
                self._next(batch.stream, batch.seq, number, batch.kind.value)
            return
        assert batch.rows is not None
        seqs = values_of(batch.rows, SEQ) or [None] * batch.rows.num_rows
        for seq in seqs:
            self._next(batch.stream, seq, number, "rows")

    def end(self) -> None:
        """Nothing more comes."""
        for stream, number in self._none.items():
            mixed = stream in self._last
            expect(
                not mixed,
                "some changes of a stream have an _etl_seq, others none",
                stream=stream,
                batch=number,
            )
            info = self._streams.get(stream)
            claimed = info is not None and info.stable_seq
            expect(
                not claimed,
                "stable_seq is claimed, but changes have no _etl_seq",
                stream=stream,
                batch=number,
            )

    def _next(self, stream: Stream, seq: bytes | None, number: int, kind: str) -> None:
        if seq is None:
            self._none.setdefault(stream, number)
            return
        where = {"stream": stream, "batch": number, "kind": kind}
        expect(len(seq) == _BYTES, "an _etl_seq does not have 20 bytes", found=len(seq), **where)
        epoch = unpack_seq(seq)[0]
        expect(epoch == self._epoch, "an _etl_seq has another epoch than ctx.epoch", found=epoch, **where)
        last = self._last.get(stream, b"")
        expect(seq != last, "an _etl_seq comes twice", seq=seq.hex(), **where)
        expect(seq > last, "an _etl_seq is lower than one before it", seq=seq.hex(), last=last.hex(), **where)
        self._last[stream] = seq
