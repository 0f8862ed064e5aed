"""The source's thread: iterates `read`, numbers positions, completes reserved columns, fills the queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, field

from etl_core.engine.stages import stage
from etl_core.errors import FatalError, SchemaError
from etl_core.model import RESERVED, Batch, Kind, Position, Stream, StreamInfo
from etl_core.schema import add_reserved, data_columns

if TYPE_CHECKING:
    import pyarrow as pa

    from etl_core.engine.observing import ObserverHub
    from etl_core.engine.queue import ByteQueue
    from etl_core.engine.scope import EngineContext
    from etl_core.interfaces import Source
    from etl_core.result import PipelineResult, StreamCounts

__all__ = ["End", "Item", "Reader", "Stopped", "Streams"]

_SNAPSHOT_OPS = {True: "r", False: "i"}


@define
class Item:
    """A batch on its way to the loading thread, with the engine's position for the source's value."""

    batch: Batch
    position: Position | None


@define
class End:
    """The read ended by itself; `position` covers all it yielded."""

    position: Position | None


@define
class Stopped:
    """The read was stopped; nothing more will come."""


@define
class Streams:
    """What is known of each stream now: columns and key."""

    known: dict[Stream, StreamInfo] = field(factory=dict)

    @classmethod
    def of(cls, infos: Sequence[StreamInfo]) -> Streams:
        return cls({info.stream: info for info in infos})

    def key(self, stream: Stream) -> tuple[str, ...]:
        info = self.known.get(stream)
        return info.key if info else ()

    def learn(self, batch: Batch) -> None:
        """Take over the schema and key that a marker announces."""
        stream = batch.stream
        if stream is None or batch.schema is None:
            return
        key = batch.key if batch.key is not None else self.key(stream)
        old = self.known.get(stream) or StreamInfo(stream, batch.schema)
        self.known[stream] = attrs.evolve(old, schema=batch.schema, key=key)


class Reader:
    """One iteration of `Source.read`, from a durable position."""

    def __init__(
        self,
        source: Source,
        ctx: EngineContext,
        queue: ByteQueue[Item | End | Stopped],
        hub: ObserverHub,
        result: PipelineResult,
        streams: Streams,
        resume: Position,
        until: Any,
        wrap_snapshots: bool,
    ) -> None:
        self._source = source
        self._ctx = ctx
        self._queue = queue
        self._hub = hub
        self._result = result
        self._streams = streams
        self._position = resume
        self._until = until
        self._wrap = wrap_snapshots
        self._open: set[Stream] = set(resume.snapshots)
        self._begun: set[Stream] = set()
        self._wrapped: set[Stream] = set()
        self._unpositioned = False
        self._emitted_before = result.source.emit
        for stream in resume.snapshots:  # how much of it was read before is not known
            result.stream(str(stream)).phase, result.stream(str(stream)).snapshot_records = "snapshot", None

    def run(self) -> None:
        """Read until the end, a stop, or an error (which is raised)."""
        with stage("source"):
            ended = self._read()
        if ended and not self._ctx.cancel.is_set():
            self._finish()
        else:
            self._emit(Stopped(), 0)

    def _read(self) -> bool:
        started = time.perf_counter()
        iterator = iter(self._source.read(self._ctx, self._position.value, self._until))
        try:
            return self._pump(iterator)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
            self._account(time.perf_counter() - started)

    def _pump(self, iterator: Iterator[Batch | None]) -> bool:
        while not self._ctx.cancel.is_set():
            try:
                batch = next(iterator)
            except StopIteration:
                return True
            if batch is not None and not self._ctx.cancel.is_set():
                self._take(batch)
        return False

    def _finish(self) -> None:
        for stream in self._unfinished():
            self._send(Batch(Kind.SNAPSHOT_END, stream))
        if self._unpositioned:
            self._position = self._next(self._position.value, complete=True)
        self._emit(End(self._position if self._position.n else None), 0)

    def _unfinished(self) -> list[Stream]:
        if not self._wrap:
            return []
        for stream, info in sorted(self._streams.known.items()):
            if stream not in self._begun:
                self._begin(stream, info.schema)
        return sorted(self._wrapped & self._open)

    def _take(self, batch: Batch) -> None:
        if not isinstance(batch, Batch):
            raise FatalError("a source yielded something that is no batch", found=type(batch).__name__)
        if batch.kind is not Kind.PROGRESS and batch.stream is None:
            raise FatalError("a source yielded a batch without a stream", kind=batch.kind.value)
        if batch.kind is Kind.ROWS:
            self._take_rows(batch)
        else:
            self._streams.learn(batch)
            self._send(batch)

    def _take_rows(self, batch: Batch) -> None:
        stream, rows = batch.stream, batch.rows
        if stream is None or rows is None:
            raise FatalError("a source yielded a batch of rows without rows", stream=str(stream))
        if self._wrap and stream not in self._begun:
            self._begin(stream, data_columns(rows.schema))
        if stream not in self._streams.known:
            self._streams.known[stream] = StreamInfo(stream, data_columns(rows.schema))
        if not rows.num_rows:
            if batch.position is not None:
                self._send(Batch(Kind.PROGRESS, position=batch.position, complete=batch.complete))
            return
        self._refuse_reserved_names(rows.schema)
        op = _SNAPSHOT_OPS[stream in self._open]
        self._send(attrs.evolve(batch, rows=add_reserved(rows, self._streams.key(stream), op)))

    def _refuse_reserved_names(self, schema: pa.Schema) -> None:
        taken = [n for n in schema.names if n.startswith("_etl_") and n not in RESERVED]
        if taken:
            raise SchemaError(
                "a column has a name that is reserved", "rename it in a transform", columns=taken
            )

    def _begin(self, stream: Stream, schema: pa.Schema) -> None:
        self._wrapped.add(stream)
        key = self._streams.key(stream)
        self._send(Batch(Kind.SNAPSHOT_BEGIN, stream, schema=schema, key=key))

    def _send(self, batch: Batch) -> None:
        if batch.kind is Kind.SNAPSHOT_BEGIN and batch.stream is not None:
            self._open.add(batch.stream)
            self._begun.add(batch.stream)
            self._count_from_here(batch.stream, batch.estimate)
        elif batch.kind is Kind.SNAPSHOT_END and batch.stream is not None:
            self._open.discard(batch.stream)
            self._result.stream(str(batch.stream)).phase = "changes"
        position = None
        if batch.position is not None:
            position = self._position = self._next(batch.position, batch.complete)
        self._unpositioned = position is None
        size = self._count(batch)
        self._emit(Item(batch, position), size)

    def _next(self, value: Any, complete: bool) -> Position:
        opened = tuple(sorted(self._open))
        return Position(self._position.epoch, self._position.n + 1, value, complete, opened)

    def _count_from_here(self, stream: Stream, estimate: int | None) -> None:
        counts, info = self._result.stream(str(stream)), self._streams.known.get(stream)
        counts.phase, counts.snapshot_records = "snapshot", 0
        counts.snapshot_estimate = info.estimate if info and estimate is None else estimate

    def _count(self, batch: Batch) -> int:
        if batch.rows is None or batch.stream is None:
            return 0
        name, rows, size = str(batch.stream), batch.rows.num_rows, batch.rows.nbytes
        for counts in (self._result.counts, self._result.stream(name)):
            counts.records_read += rows
            counts.bytes_read += size
        copied = self._count_snapshot(self._result.stream(name), rows)
        self._hub.emit("batch_read", stream=name, rows=rows, bytes=size, snapshot_rows=copied)
        if self._hub.wants("source"):
            self._hub.batch("source", batch)
        return int(batch.rows.get_total_buffer_size())

    @staticmethod
    def _count_snapshot(counts: StreamCounts, rows: int) -> int | None:
        """Count rows of a snapshot; return how many it had so far, None outside of one."""
        if counts.phase != "snapshot" or counts.snapshot_records is None:
            return None
        counts.snapshot_records += rows
        return counts.snapshot_records

    def _emit(self, item: Item | End | Stopped, size: int) -> None:
        started = time.perf_counter()
        self._queue.put(item, size)
        timing = self._result.source
        timing.emit += time.perf_counter() - started
        timing.emit_count += isinstance(item, Item)

    def _account(self, seconds: float) -> None:
        """Share the thread's time out: what the connector did not attribute was fetching."""
        timing, phases = self._result.source, self._ctx.phases
        for phase in ("connect", "query", "encode"):
            setattr(timing, phase, getattr(timing, phase) + phases.get(phase, 0.0))
        known = sum(phases.get(phase, 0.0) for phase in ("connect", "query", "encode"))
        timing.total += seconds
        timing.fetch += max(0.0, seconds - known - (timing.emit - self._emitted_before))
