"""The loading thread: transforms, batches, plans, writes, and decides when to commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from etl_core.engine import failpoints
from etl_core.engine.reading import End, Item, Stopped, Streams
from etl_core.engine.stages import stage
from etl_core.errors import Cancelled, FatalError, SchemaError
from etl_core.model import Batch, Kind, Position, Stream, Write
from etl_core.schema import data_columns, with_key

if TYPE_CHECKING:
    from etl_core.config import CommitPolicy
    from etl_core.engine.batching import Batcher
    from etl_core.engine.committing import Committer
    from etl_core.engine.holding import Holder
    from etl_core.engine.observing import ObserverHub
    from etl_core.engine.queue import ByteQueue
    from etl_core.engine.tables import Tables
    from etl_core.engine.transforming import TransformChain
    from etl_core.interfaces import Loader
    from etl_core.model import Change
    from etl_core.result import PipelineResult

__all__ = ["LoadStage", "Rewritten"]

_LONGEST_WAIT = 0.5
_MARK_POLL = 0.02


class Rewritten(Exception):
    """A stream's stored values changed without being sent; `position` lies just before, durable."""

    def __init__(self, stream: Stream, position: Position) -> None:
        super().__init__(stream)
        self.stream = stream
        self.position = position


class LoadStage:
    """Consumes the queue of one attempt until its end.

    `pending` is the newest position whose rows have all arrived; it can be committed as long as nothing
    that lies behind it was written or buffered (`_clean`).
    """

    def __init__(
        self,
        *,
        queue: ByteQueue[Item | End | Stopped],
        chain: TransformChain,
        loader: Loader,
        tables: Tables,
        batcher: Batcher,
        committer: Committer,
        commit: CommitPolicy,
        on_rewrite: str,
        transactional_ddl: bool,
        streams: Streams,
        resume: Position,
        left_open: set[Stream],
        hub: ObserverHub,
        result: PipelineResult,
        look: Callable[[], None],
        holder: Holder | None = None,
    ) -> None:
        self._queue = queue
        self._chain = chain
        self._loader = loader
        self._tables = tables
        self._batcher = batcher
        self._committer = committer
        self._commit = commit
        self._on_rewrite = on_rewrite
        self._transactional_ddl = transactional_ddl
        self._streams = streams
        self._resumed = set(resume.snapshots)
        self._open = left_open
        self._touched: set[Stream] = set()
        self._hub = hub
        self._result = result
        self._look = look
        self._holder = holder
        self._schemas: dict[Stream, pa.Schema] = {}
        self._pending = self._committed = resume
        self._clean = True
        self._bytes = 0
        self._since: float | None = None

    def run(self) -> None:
        """Load until the read ends. Raises Cancelled after a stop, once what can be is durable."""
        while True:
            item = self._receive()
            self._look()
            self._committer.poll()
            if isinstance(item, End):
                return self._finish(item.position)
            if isinstance(item, Stopped):
                return self._stop()
            if item is not None:
                self._take(item)
            self._emit_all(self._batcher.due())
            if self._commit_due():
                self._commit_pending()

    def _receive(self) -> Item | End | Stopped | None:
        started = time.perf_counter()
        item = self._queue.get(self._patience())
        timing = self._result.destination
        timing.receive += time.perf_counter() - started
        timing.receive_count += isinstance(item, Item)
        return item

    def _patience(self) -> float:
        """Return how long nothing but a new item matters."""
        if self._committer.outstanding:
            return _MARK_POLL
        deadlines = [self._batcher.deadline()]
        if self._since is not None and self._committable():
            deadlines.append(self._since + self._commit.max_wait)
        nearest = min((d for d in deadlines if d is not None), default=time.monotonic() + _LONGEST_WAIT)
        return min(_LONGEST_WAIT, max(0.0, nearest - time.monotonic()))

    def _take(self, item: Item) -> None:
        for ready in self._holder.feed(item) if self._holder else (item,):
            self._process(ready)

    def _process(self, item: Item) -> None:
        batch, stream = item.batch, item.batch.stream
        if stream is None or batch.kind is Kind.PROGRESS:
            self._reached(item)
        elif batch.kind is Kind.SCHEMA:
            self._reached(item)
            self._take_schema(batch, stream)
        elif batch.kind is Kind.ROWS:
            self._take_rows(batch, stream)
            self._reached(item)
        else:
            self._take_marker(batch, stream)
            self._reached(item)
        if self._since is None:
            self._since = time.monotonic()

    def _reached(self, item: Item) -> None:
        """Note the item's position, if whole transactions allow to stop there."""
        if item.position is not None and self._may_stop_at(item.position):
            self._pending = item.position
            self._clean = True

    def _may_stop_at(self, position: Position) -> bool:
        return position.complete or not self._commit.whole_transactions

    def _take_rows(self, batch: Batch, stream: Stream) -> None:
        if stream not in self._open and stream not in self._resumed:
            failpoints.hit("stream")
        with stage("transform"):
            rows, rejected = self._chain.apply(batch)
        self._committer.refuse(rejected)
        if self._hub.wants("transform"):
            self._hub.batch("transform", Batch(Kind.ROWS, stream, rows))
        if rows.num_rows:
            self._prime(stream)
            self._fit(stream, data_columns(rows.schema))
            self._clean = False
            self._emit_all(self._batcher.add(stream, rows))

    def _take_marker(self, batch: Batch, stream: Stream) -> None:
        self._emit_all(self._batcher.drain(stream))
        self._streams.learn(batch)
        self._prime(stream)
        schema = self._chain_schema(stream, self._known_schema(stream))
        if batch.schema is not None:
            self._prepare(stream, schema, replacing=batch.kind is Kind.SNAPSHOT_BEGIN)
        else:
            self._tables.existing(stream, schema, self._before_change)
        self._clean = False
        self._plan(batch)
        self._note_marker(batch.kind, stream)

    def _note_marker(self, kind: Kind, stream: Stream) -> None:
        if kind is Kind.SNAPSHOT_BEGIN:
            self._hub.emit("snapshot_started", stream=str(stream))
        elif kind is Kind.SNAPSHOT_END:
            self._hub.emit("snapshot_finished", stream=str(stream))
            failpoints.hit("handover")
        else:
            self._hub.emit("truncated", stream=str(stream))

    def _take_schema(self, batch: Batch, stream: Stream) -> None:
        self._emit_all(self._batcher.drain(stream))
        if any(change.rewrites for change in batch.changes):
            self._rewritten(batch, stream)
        self._streams.learn(batch)
        self._prime(stream)
        schema = self._chain_schema(stream, self._known_schema(stream))
        self._prepare(stream, schema, batch.changes, batch.seq)

    def _rewritten(self, batch: Batch, stream: Stream) -> None:
        if self._on_rewrite == "fail" or batch.position is None:
            raise SchemaError(
                "stored values of a stream changed without being sent",
                "set load.on_rewrite to resnapshot, or undo the change at the source",
                stream=str(stream),
                changes=[repr(change) for change in batch.changes if change.rewrites],
            )
        self._settle()
        raise Rewritten(stream, self._committer.durable)

    def _known_schema(self, stream: Stream) -> pa.Schema:
        info = self._streams.known.get(stream)
        if info is None:
            raise FatalError("a marker came for a stream that nothing is known of", stream=str(stream))
        return info.schema

    def _chain_schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        key = self._streams.key(stream)
        with stage("transform"):
            return self._chain.schema(stream, with_key(schema, key), key)

    def _prepare(
        self,
        stream: Stream,
        schema: pa.Schema,
        changes: Sequence[Change] = (),
        seq: bytes | None = None,
        *,
        replacing: bool = False,
    ) -> None:
        self._tables.prepare(
            stream, schema, changes, seq, replacing=replacing, before_change=self._before_change
        )
        self._schemas[stream] = schema

    def _before_change(self) -> None:
        if not self._transactional_ddl and self._committable():
            self._commit_pending()

    def _fit(self, stream: Stream, schema: pa.Schema) -> None:
        """Make the table fit rows that are about to come, what came before them being written."""
        if stream not in self._schemas or not self._schemas[stream].equals(schema):
            self._emit_all(self._batcher.drain(stream))
            self._prepare(stream, with_key(schema, self._streams.key(stream)))

    def _emit_all(self, batches: Iterable[tuple[Stream, pa.Table]]) -> None:
        for stream, rows in batches:
            self._emit(stream, rows)

    def _emit(self, stream: Stream, rows: pa.Table) -> None:
        self._plan(Batch(Kind.ROWS, stream, rows))

    def _prime(self, stream: Stream) -> None:
        """Tell the loader what a resume skipped: that the stream's snapshot is open, or no longer is."""
        if stream in self._touched:
            return
        self._touched.add(stream)
        if stream in self._resumed and stream not in self._open:
            self._discard_plan(Kind.SNAPSHOT_BEGIN, stream)
        elif stream in self._open and stream not in self._resumed:
            self._discard_plan(Kind.SNAPSHOT_END, stream)

    def _discard_plan(self, kind: Kind, stream: Stream) -> None:
        schema = self._chain_schema(stream, self._known_schema(stream))
        with stage("loader"):
            self._loader.schema(stream, schema)
        self._planned(Batch(kind, stream))

    def _planned(self, batch: Batch) -> list[Write]:
        """Return the loader's writes; note what it now takes for open, whether they succeed or not."""
        with stage("loader"):
            writes = list(self._loader.plan(batch))
        if batch.stream is not None and batch.kind is Kind.SNAPSHOT_BEGIN:
            self._open.add(batch.stream)
        elif batch.stream is not None and batch.kind is Kind.SNAPSHOT_END:
            self._open.discard(batch.stream)
        return writes

    def _plan(self, batch: Batch) -> None:
        started = time.perf_counter()
        writes = self._planned(batch)
        self._result.load_duration += time.perf_counter() - started
        if self._hub.wants("load"):
            self._hub.batch("load", batch)
        for write in writes:
            self._write(write)

    def _write(self, write: Write) -> None:
        started = time.perf_counter()
        rejected = self._tables.write(write)
        self._result.destination.decode += time.perf_counter() - started
        self._committer.refuse(rejected)
        if write.rows is None:
            return
        self._bytes += write.rows.nbytes
        counts = self._result.counts
        counts.records_written += write.rows.num_rows - sum(group.rows.num_rows for group in rejected)
        counts.bytes_written += write.rows.nbytes
        self._hub.emit(
            "batch_written",
            stream=str(write.stream),
            rows=write.rows.num_rows,
            bytes=write.rows.nbytes,
            mode=write.mode.value,
        )
        failpoints.hit("snapshot" if write.step else "after_write")

    def _committable(self) -> bool:
        return self._clean and self._pending.order > self._committed.order

    def _commit_due(self) -> bool:
        if not self._committable() or self._since is None:
            return False
        waited = time.monotonic() - self._since >= self._commit.max_wait
        return waited or self._bytes >= self._commit.max_bytes

    def _commit_pending(self) -> None:
        self._emit_all(self._batcher.drain())
        self._look()
        self._committer.commit(self._pending)
        self._committed = self._pending
        self._bytes = 0
        self._since = None

    def _finish(self, position: Position | None) -> None:
        if position is not None and self._may_stop_at(position):
            for item in self._holder.release() if self._holder else ():
                self._process(item)
            self._pending = position
            self._clean = True
        self._settle()

    def _stop(self) -> None:
        self._settle()
        raise Cancelled

    def _settle(self) -> None:
        """Make durable what can be. A flush would take with it what lies behind the last position."""
        if self._committable():
            self._commit_pending()
        if self._clean:
            self._committer.drain()
