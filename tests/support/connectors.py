"""Small, honest connectors for tests of the engine: everything happens in memory, nothing is mocked away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from etl_core.errors import StateError
from etl_core.interfaces import Context, Destination, Observer, Source, Transform
from etl_core.model import (
    Batch,
    Kind,
    Mode,
    Position,
    Rejected,
    Step,
    Stream,
    StreamInfo,
    TableSchema,
    Write,
    pack_seq,
)

ORDERS = Stream("public", "orders")
SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string())])


def rows(*ids: int, **columns: list[Any]) -> pa.RecordBatch:
    """Make rows of ORDERS."""
    data = {"id": pa.array(ids, pa.int64()), "name": pa.array([f"n{i}" for i in ids], pa.string())}
    data.update({name: pa.array(values) for name, values in columns.items()})
    return pa.record_batch(data)


def changes(epoch: int, first: int, ops: str, ids: Sequence[int]) -> pa.RecordBatch:
    """Make changes of ORDERS with sequences that start at LSN `first`."""
    batch = rows(*ids)
    seqs = [pack_seq(epoch, first + n, 2) for n in range(len(ids))]
    return batch.append_column("_etl_op", pa.array(list(ops))).append_column(
        "_etl_seq", pa.array(seqs, pa.binary(20))
    )


class ListSource(Source):
    """Yields prepared batches; the value of a position is how many of them were yielded.

    `fail_at` raises (once) before the batch of that number; with `endless` it idles after the last.
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        *,
        key: Sequence[str] = ("id",),
        schema: pa.Schema = SCHEMA,
        endless: bool = False,
        fail: dict[int, BaseException] | None = None,
        stable_seq: bool = True,
    ) -> None:
        self.batches = list(batches)
        self.info = StreamInfo(ORDERS, schema, tuple(key), stable_seq)
        self.endless = endless
        self.fail = dict(fail or {})
        self.reads: list[Any] = []
        self.acked: list[Any] = []
        self.closed = 0
        self.torn_down = 0
        self.idle = threading.Event()

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        return [self.info]

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        self.reads.append(resume)
        for number in range(resume or 0, len(self.batches)):
            if number in self.fail:
                raise self.fail.pop(number)
            yield self.batches[number]
        while self.endless and not ctx.cancel.is_set():
            self.idle.set()
            ctx.cancel.wait(ctx.poll_interval)
            yield None

    def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
        return pa.Table.from_batches([b.rows for b in self.batches if b.rows is not None]).slice(0, n)

    def ack(self, value: Any) -> None:
        self.acked.append(value)

    def teardown(self, ctx: Context) -> Sequence[str]:
        self.torn_down += 1
        return ["the list"]

    def close(self) -> None:
        self.closed += 1


def positioned(*batches: pa.RecordBatch, stream: Stream = ORDERS) -> list[Batch]:
    """Give each batch the position that ListSource understands."""
    return [Batch.of(stream, batch, position=n) for n, batch in enumerate(batches, 1)]


class MemoryDestination(Destination):
    """Keeps rows in lists, durable only after `flush`; `calls` records what happened in order.

    Survives `close` like a database does: durable rows, position and fence stay.
    """

    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    keeps_position = True
    stages = True
    transactional_ddl = True

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.writes: list[Write] = []
        self.durable_rows: dict[Stream, list[pa.Table]] = {}
        self.accepted: list[Write] = []
        self.staged: dict[Stream, list[pa.Table]] = {}
        self.position: Position | None = None
        self.fence = ""
        self._own_fence = ""
        self.tables: dict[Stream, TableSchema] = {}
        self.fail: dict[str, list[BaseException]] = {}
        self.hook: Callable[[str], None] = lambda call: None

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.hook(name)
        if self.fail.get(name):
            raise self.fail[name].pop(0)

    def open(self, ctx: Context, fence: str) -> None:
        self._call("open")
        self.fence = self._own_fence = fence

    def table(self, stream: Stream) -> TableSchema | None:
        self._call("table")
        return self.tables.get(stream)

    def ensure(self, table: TableSchema, changes: Sequence[Any]) -> None:
        self._call("ensure")
        self.tables[table.stream] = table

    def write(self, write: Write) -> Sequence[Rejected] | None:
        self._call("write")
        self.writes.append(write)
        self.accepted.append(write)
        return None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self._call("flush")
        if self.fence != self._own_fence:
            raise StateError("another copy opened this destination")
        for write in self.accepted:
            self._apply(write)
        self.accepted.clear()
        self.position = position
        return None

    def _apply(self, write: Write) -> None:
        if write.step is Step.BEGIN:
            self.staged[write.stream] = []
        elif write.step is Step.ROWS and write.rows is not None:
            self.staged[write.stream].append(write.rows)
        elif write.step is Step.END:
            staged = self.staged.pop(write.stream)
            kept = self.durable_rows.get(write.stream, []) if write.mode is Mode.APPEND else []
            self.durable_rows[write.stream] = kept + staged
        elif write.mode is Mode.TRUNCATE:
            self.durable_rows[write.stream] = []
        elif write.rows is not None:
            self.durable_rows.setdefault(write.stream, []).append(write.rows)

    def abort(self) -> None:
        self._call("abort")
        self.accepted.clear()

    def resume_position(self) -> Position | None:
        self._call("resume_position")
        return self.position

    def set_position(self, position: Position | None) -> None:
        self._call("set_position")
        self.position = position

    def close(self) -> None:
        self.calls.append("close")
        self.accepted.clear()

    def ids(self, stream: Stream = ORDERS) -> list[int]:
        """Return the ids of the durable rows, in order."""
        return [i for table in self.durable_rows.get(stream, []) for i in table.column("id").to_pylist()]


class PlainDestination(MemoryDestination):
    """The same without position, staging or transactional DDL: the shape of a simple connector."""

    keeps_position = False
    stages = False
    transactional_ddl = False


class Collector(Observer):
    """Keeps the events it hears."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.closed = False

    def on_event(self, event: Any) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed = True

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def facts(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.facts) for event in self.events if event.name == name]


class Upper(Transform):
    """Writes names in capitals."""

    def __init__(self) -> None:
        self.applied = 0

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch:
        self.applied += rows.num_rows
        names = pa.array([name and name.upper() for name in rows.column("name").to_pylist()], pa.string())
        return rows.set_column(rows.schema.get_field_index("name"), "name", names)


def marker(kind: Kind, seq: bytes | None = None, **facts: Any) -> Batch:
    """Make a marker of ORDERS."""
    return Batch(kind, ORDERS, seq=seq, **facts)
