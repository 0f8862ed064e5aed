"""What becomes of batches on the loading thread: transformed, gathered per stream, planned, written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from etl_core.engine import failpoints
from etl_core.engine.reading import Streams
from etl_core.engine.stages import stage
from etl_core.errors import FatalError
from etl_core.model import Batch, Kind, Position, Stream, Write
from etl_core.schema import data_columns, with_key

if TYPE_CHECKING:
    from etl_core.engine.batching import Batcher
    from etl_core.engine.committing import Committer
    from etl_core.engine.observing import ObserverHub
    from etl_core.engine.tables import Tables
    from etl_core.engine.transforming import TransformChain
    from etl_core.interfaces import Loader
    from etl_core.result import PipelineResult

__all__ = ["Feeder"]


class Feeder:
    """Takes the batches of one attempt, in order, to the destination's tables.

    `before_change` is called before a table is changed, with everything written that came before.
    `left_open` are the streams whose snapshot the loader takes for open; it outlives the attempt.
    """

    def __init__(
        self,
        *,
        chain: TransformChain,
        loader: Loader,
        tables: Tables,
        batcher: Batcher,
        committer: Committer,
        streams: Streams,
        resume: Position,
        left_open: set[Stream],
        hub: ObserverHub,
        result: PipelineResult,
    ) -> None:
        self._chain = chain
        self._loader = loader
        self._tables = tables
        self._batcher = batcher
        self._committer = committer
        self._streams = streams
        self._resumed = set(resume.snapshots)
        self._open = left_open
        self._touched: set[Stream] = set()
        self._hub = hub
        self._result = result
        self._schemas: dict[Stream, pa.Schema] = {}
        #: Bytes written since they were last set to 0.
        self.bytes = 0

    def rows(self, batch: Batch, stream: Stream, before_change: Callable[[], None]) -> bool:
        """Take rows; False when transforms left none."""
        if stream not in self._open and stream not in self._resumed:
            failpoints.hit("stream")
        with stage("transform"):
            rows, rejected = self._chain.apply(batch)
        self._committer.refuse(rejected)
        if self._hub.wants("transform"):
            self._hub.batch("transform", Batch(Kind.ROWS, stream, rows))
        if not rows.num_rows:
            return False
        self._prime(stream)
        self._fit(stream, data_columns(rows.schema), before_change)
        self._emit(self._batcher.add(stream, rows))
        return True

    def marker(self, batch: Batch, stream: Stream, before_change: Callable[[], None]) -> None:
        """Take a snapshot's begin or end, or a truncate."""
        self.drain(stream)
        schema = self._learned(batch, stream)
        if batch.schema is not None:
            replacing = batch.kind is Kind.SNAPSHOT_BEGIN
            self._tables.prepare(stream, schema, replacing=replacing, before_change=before_change)
            self._schemas[stream] = schema
        else:
            self._tables.existing(stream, schema, before_change)
        self._plan(batch)
        self._note_marker(batch.kind, stream)

    def schema(self, batch: Batch, stream: Stream, before_change: Callable[[], None]) -> None:
        """Take a schema change."""
        self.drain(stream)
        schema = self._learned(batch, stream)
        self._tables.prepare(stream, schema, batch.changes, batch.seq, before_change=before_change)
        self._schemas[stream] = schema

    def drain(self, stream: Stream | None = None) -> None:
        """Write what is gathered, of one stream or of all."""
        self._emit(self._batcher.drain(stream))

    def write_due(self) -> None:
        """Write the batches whose rows have waited long enough."""
        self._emit(self._batcher.due())

    def deadline(self) -> float | None:
        """Return when (monotonic seconds) the next batch falls due."""
        return self._batcher.deadline()

    def _note_marker(self, kind: Kind, stream: Stream) -> None:
        if kind is Kind.SNAPSHOT_BEGIN:
            estimate = self._result.stream(str(stream)).snapshot_estimate
            self._hub.emit("snapshot_started", stream=str(stream), estimate=estimate)
        elif kind is Kind.SNAPSHOT_END:
            self._hub.emit("snapshot_finished", stream=str(stream))
            failpoints.hit("handover")
        else:
            self._hub.emit("truncated", stream=str(stream))

    def _learned(self, batch: Batch, stream: Stream) -> pa.Schema:
        """Return the stream's schema behind the transforms, after what the marker says of it."""
        self._streams.learn(batch)
        self._prime(stream)
        return self._chain_schema(stream)

    def _chain_schema(self, stream: Stream) -> pa.Schema:
        info = self._streams.known.get(stream)
        if info is None:
            raise FatalError("a marker came for a stream that nothing is known of", stream=str(stream))
        with stage("transform"):
            return self._chain.schema(stream, with_key(info.schema, info.key), info.key)

    def _fit(self, stream: Stream, schema: pa.Schema, before_change: Callable[[], None]) -> None:
        """Make the table fit rows that are about to come, what came before them being written."""
        if stream not in self._schemas or not self._schemas[stream].equals(schema):
            self.drain(stream)
            keyed = with_key(schema, self._streams.key(stream))
            self._tables.prepare(stream, keyed, before_change=before_change)
            self._schemas[stream] = keyed

    def _emit(self, batches: Iterable[tuple[Stream, pa.Table]]) -> None:
        for stream, rows in batches:
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
        schema = self._chain_schema(stream)
        with stage("loader"):
            self._loader.schema(stream, schema)
        self._planned(Batch(kind, stream))

    def _planned(self, batch: Batch) -> Sequence[Write]:
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
        name, size = str(write.stream), write.rows.nbytes
        self.bytes += size
        written = write.rows.num_rows - sum(group.rows.num_rows for group in rejected)
        for counts in (self._result.counts, self._result.stream(name)):
            counts.records_written += written
            counts.bytes_written += size
        self._hub.emit(
            "batch_written",
            stream=name,
            rows=write.rows.num_rows,
            bytes=size,
            mode=write.mode.value,
        )
        failpoints.hit("snapshot" if write.step else "after_write")
