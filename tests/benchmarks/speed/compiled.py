"""The decoder of `etl-postgres-cdc` on a recorded stream; the one place that knows how to call it."""

from __future__ import annotations

import pyarrow as pa

from etl_pglib import numeric
from etl_pglib.types import RULES, PgType
from etl_postgres_cdc.decoding import decoder, is_compiled, new_rows
from etl_postgres_cdc.events import Event, Rows
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import Relation, parse

__all__ = ["compiled_decode", "is_compiled"]

_NUMERIC = 1700
#: Bytes fed at once: what a read of a socket brings at most.
_PIECE = 256 << 10


def compiled_decode(stream: bytes) -> list[pa.RecordBatch]:
    """Return the batches of a recorded stream (frames of protocol 1), with the reserved columns."""
    decoding = _Decoding()
    view = memoryview(stream)
    for at in range(0, len(stream), _PIECE):
        decoding.feed(view[at : at + _PIECE])
    return decoding.finished()


class _Decoding:
    """Does what the source does when the decoder stops, for streams that change no schema."""

    def __init__(self) -> None:
        self._decoder = decoder(1)
        self._layouts: dict[int, Layout] = {}
        self._rows: dict[int, Rows] = {}
        self._batches: list[pa.RecordBatch] = []

    def feed(self, data: memoryview) -> None:
        """Take a piece of the stream."""
        self._decoder.feed(data)
        while happening := self._decoder.run():
            event, number, payload, _ = happening
            if event == Event.UNKNOWN:
                self._rows.setdefault(number, new_rows(self._layouts[number]))
                self._decoder.route(number, self._rows[number], 0, 0)
            elif event == Event.MESSAGE and payload:
                message = parse(payload)
                if isinstance(message, Relation):
                    self._layouts[message.relation] = _layout(message)
            elif event in (Event.FULL, Event.COMMITTED):
                self._finish()

    def finished(self) -> list[pa.RecordBatch]:
        """Return all batches."""
        self._finish()
        return self._batches

    def _finish(self) -> None:
        for rows in self._rows.values():
            if count := len(rows):
                size = rows.size
                self._batches.append(rows.finish())
                self._decoder.release(count, size)


def _layout(relation: Relation) -> Layout:
    names = tuple(column.name for column in relation.columns)
    types = tuple(_type(column.oid, column.typmod) for column in relation.columns)
    return Layout(names, types, tuple(index for index, column in enumerate(relation.columns) if column.key))


def _type(oid: int, typmod: int) -> PgType:
    """Return a type of the benchmark's table, as the server's catalog would have it."""
    decimal = numeric.decimal_type(typmod) if oid == _NUMERIC else None
    if decimal is not None:
        return PgType(oid, typmod, "", decimal, lambda values: numeric.cast(values, decimal), base=oid)
    rule = RULES.get(oid)
    if rule is None:
        return PgType(oid, typmod, "", pa.string(), lambda values: pa.array(values, pa.string()), base=oid)
    return PgType(oid, typmod, "", rule.arrow, rule.convert, base=oid)
