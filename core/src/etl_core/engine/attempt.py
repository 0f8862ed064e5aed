"""One attempt of a run: from the durable position until the end, a stop or an error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs
from loguru import logger

from etl_core.config import BatchPolicy
from etl_core.engine.batching import Batcher
from etl_core.engine.committing import Committer
from etl_core.engine.feeding import Feeder
from etl_core.engine.holding import Holder, spill_directory
from etl_core.engine.loading import LoadStage, Rewritten
from etl_core.engine.positions import durable_position
from etl_core.engine.preflight import de_duplicates, require_finite, require_streams
from etl_core.engine.queue import ByteQueue
from etl_core.engine.reading import End, Item, Reader, Stopped, Streams
from etl_core.engine.scope import EngineContext, Scope, quietly
from etl_core.engine.stages import stage
from etl_core.engine.tables import Tables, Targets
from etl_core.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_core.engine.run import Run
    from etl_core.model import Position, StreamInfo

__all__ = ["Attempt"]


class Attempt:
    """Owns the source's thread and the queue; runs the loading stage on the caller's thread."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pipeline = run.pipeline
        self._queue: ByteQueue[Item | End | Stopped] = ByteQueue(run.pipeline.resources.queue)
        self.scope = Scope(f"{run.pipeline.name}-source", on_failure=self._source_failed)
        self._sink = Scope(f"{run.pipeline.name}-destination", on_failure=self._queue.wake)

    def execute(self) -> None:
        """Load until the read ends. Whatever is raised, the source's threads are joined first."""
        forget = self._run.scope.on_cancel(self._sink.stop)
        try:
            try:
                self._read_and_load()
            finally:
                self._end(self.scope)
        except BaseException:
            quietly("abort of the destination", self._pipeline.destination.abort)
            raise
        finally:
            quietly("close of the destination", self._pipeline.destination.close)
            forget()
            self._end(self._sink)

    def _read_and_load(self) -> None:
        pipeline = self._pipeline
        resume = self._open()
        ctx = self._source_context()
        with stage("source"):
            infos = pipeline.source.streams(ctx)
            self._until(ctx)
        with stage("destination"):
            require_streams(pipeline.loader, pipeline.destination, infos, pipeline.target)
        self._load(resume, ctx, infos)

    def stop_reading(self) -> None:
        """Ask the source to end; the loading stage notices."""
        self.scope.stop()
        self._queue.wake()

    def _open(self) -> Position:
        run, destination = self._run, self._pipeline.destination
        started = time.perf_counter()
        with stage("destination"):
            destination.open(run.context("destination", self._sink), run.fence)
            run.result.destination.connect += time.perf_counter() - started
            durable = durable_position(self._pipeline.name, run.fence, destination, self._pipeline.state)
            destination.saved(durable)
            resume = run.resume_from(durable)
            if resume != durable and de_duplicates(self._pipeline.loader, destination):
                # What a crash leaves there before the first save is known again by its epoch alone.
                with stage("state"):
                    self._pipeline.state.save(run.fence, resume)
        return resume

    def _source_context(self) -> EngineContext:
        return self._run.context("source", self.scope)

    def _until(self, ctx: EngineContext) -> None:
        run, pipeline = self._run, self._pipeline
        if run.until is None and (pipeline.once or pipeline.loader.snapshot_only):
            run.until = pipeline.source.latest(ctx)
            require_finite(pipeline.loader, run.until)

    def _load(self, resume: Position, ctx: EngineContext, infos: Sequence[StreamInfo]) -> None:
        targets = Targets(self._pipeline.target, [info.stream for info in infos])
        committer = self._committer(resume, targets)
        reader = Reader(
            self._pipeline.source,
            ctx,
            self._queue,
            self._run.hub,
            self._run.result,
            Streams.of(infos),
            resume,
            self._run.until,
            wrap_snapshots=self._pipeline.loader.snapshot_only,
        )
        self.scope.spawn(reader.run, name="read")
        try:
            self._stage(resume, infos, targets, committer).run()
        except Rewritten as change:
            self._restart_stream(change, committer)
            raise

    def _restart_stream(self, change: Rewritten, committer: Committer) -> None:
        """Make a position durable in which the stream's snapshot is still to be taken."""
        with stage("source"):
            value = self._pipeline.source.resync(change.position.value, [change.stream])
        with stage("destination"):
            self._pipeline.destination.abort()
        position = attrs.evolve(change.position, n=change.position.n + 1, value=value)
        committer.commit(position)
        committer.drain()

    def _committer(self, resume: Position, targets: Targets) -> Committer:
        run, pipeline = self._run, self._pipeline
        return Committer(
            pipeline=pipeline.name,
            fence=run.fence,
            source=pipeline.source,
            destination=pipeline.destination,
            state=pipeline.state,
            hub=run.hub,
            result=run.result,
            on_error=pipeline.load.on_error,
            resume=resume,
            on_progress=run.progressed,
            source_of=targets.source,
        )

    def _stage(
        self, resume: Position, infos: Sequence[StreamInfo], targets: Targets, committer: Committer
    ) -> LoadStage:
        run, pipeline = self._run, self._pipeline
        policy = pipeline.load.batch or run.batch or BatchPolicy()
        spare = max(1, pipeline.resources.memory - pipeline.resources.queue)
        feeder = Feeder(
            chain=run.chain,
            loader=pipeline.loader,
            tables=Tables(pipeline.destination, pipeline.loader, pipeline.load, targets.of, run.hub),
            batcher=Batcher(policy, spare),
            committer=committer,
            streams=Streams.of(infos),
            resume=resume,
            left_open=pipeline.left_open,
            hub=run.hub,
            result=run.result,
        )
        return LoadStage(
            queue=self._queue,
            feeder=feeder,
            committer=committer,
            commit=pipeline.load.commit,
            on_rewrite=pipeline.load.on_rewrite,
            transactional_ddl=pipeline.destination.transactional_ddl,
            resume=resume,
            result=run.result,
            look=self._look,
            holder=self._holder(),
        )

    def _holder(self) -> Holder | None:
        pipeline = self._pipeline
        if not pipeline.load.commit.whole_transactions or pipeline.destination.keeps_position:
            return None
        return Holder(spill_directory(pipeline.resources.spill, pipeline.name), pipeline.resources.memory)

    def _look(self) -> None:
        """Raise what other threads have to say."""
        for scope in (self.scope, self._sink, self._run.scope):
            if scope.error is not None:
                raise scope.error
        if self._run.scope.cancel.is_set():
            raise Cancelled

    def _source_failed(self) -> None:
        """Have the loading stage look at the error, or end where a stop was the reason."""
        if self.scope.error is None:
            self._queue.put(Stopped())
        self._queue.wake()

    def _end(self, scope: Scope) -> None:
        scope.stop()
        if scope is self.scope:
            self._queue.close()
        stuck = scope.join(self._pipeline.grace)
        if stuck:
            logger.error("threads did not end: {}", ", ".join(stuck))
