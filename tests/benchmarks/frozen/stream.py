"""The loop of the pure-Python decoder: messages become rows, rows become batches, transactions count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
from benchmarks.frozen.pgoutput import Begin, Commit, Delete, Insert, Message, Relation, Update, parse
from benchmarks.frozen.rows import Layout, Rows
from benchmarks.frozen.values import resolve

from etl_core import FatalError, Stream, pack_seq

__all__ = ["decode"]

MAX_ROWS = 65536
MAX_BYTES = 8 << 20


def decode(payloads: Iterable[bytes]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a stream of pgoutput messages (protocol 1)."""
    transactions = Transactions()
    for payload in payloads:
        yield from transactions.take(parse(payload), len(payload))
    yield from transactions.flush()


class Transactions:
    """Takes messages in order and yields batches."""

    def __init__(self) -> None:
        self._layouts: dict[int, tuple[Stream, Layout]] = {}
        self._rows: dict[Stream, Rows] = {}
        self._begin: Begin | None = None
        self._ordinal = 0
        self._count = 0
        self._bytes = 0

    def take(self, message: Message, size: int) -> Iterable[pa.RecordBatch]:
        """Take one message of about `size` bytes; yield what is ready."""
        if isinstance(message, Insert | Update | Delete):
            return self._change(message, size)
        if isinstance(message, Begin):
            self._begin, self._ordinal = message, 0
        elif isinstance(message, Commit):
            return self._commit()
        elif isinstance(message, Relation):
            self._announce(message)
        return ()

    def flush(self) -> Iterator[pa.RecordBatch]:
        """Yield what is gathered."""
        for rows in self._rows.values():
            yield rows.finish()
        self._rows.clear()
        self._count = self._bytes = 0

    def _announce(self, relation: Relation) -> None:
        names = tuple(column.name for column in relation.columns)
        types = tuple(resolve(column.oid, column.typmod) for column in relation.columns)
        key = tuple(index for index, column in enumerate(relation.columns) if column.key)
        stream = Stream(relation.namespace, relation.name)
        self._layouts[relation.relation] = stream, Layout(names, types, key)

    def _commit(self) -> Iterable[pa.RecordBatch]:
        self._begin = None
        if self._count >= MAX_ROWS // 2 or self._bytes >= MAX_BYTES // 2:
            return self.flush()
        return ()

    def _change(self, change: Insert | Update | Delete, size: int) -> Iterable[pa.RecordBatch]:
        begin = self._begin
        if begin is None:
            raise FatalError("the server sent a change outside of a transaction")
        self._ordinal += 1
        stream, layout = self._layouts[change.relation]
        rows = self._rows.get(stream)
        if rows is None:
            rows = self._rows[stream] = Rows(layout)
        rows.change(change, pack_seq(1, begin.lsn, self._ordinal << 1), begin.timestamp, size)
        self._count += 1
        self._bytes += size
        if self._count >= MAX_ROWS or self._bytes >= MAX_BYTES:
            return self.flush()
        return ()
