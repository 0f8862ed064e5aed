"""One run of a pipeline: claim, attempts with recovery, clean-up on every exit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from loguru import logger

from etl_core.engine.attempt import Attempt
from etl_core.engine.holding import spill_directory
from etl_core.engine.loading import Rewritten
from etl_core.engine.measuring import Measuring
from etl_core.engine.observing import HubMetrics, ObserverHub
from etl_core.engine.positions import raised
from etl_core.engine.preflight import require_compatible
from etl_core.engine.retry import Next, Retrier, next_step
from etl_core.engine.scope import EngineContext, Scope, quietly
from etl_core.engine.stages import stage
from etl_core.engine.transforming import TransformChain
from etl_core.errors import Cancelled, FatalError
from etl_core.model import Mode, Position
from etl_core.result import PipelineResult

if TYPE_CHECKING:
    from etl_core.config import BatchPolicy
    from etl_core.engine.pipeline import Pipeline
    from etl_core.interfaces import Cancel

__all__ = ["Run"]

_WATCH_INTERVAL = 0.1
_OBSERVERS_END = 5.0


class Run:
    """Executes a pipeline once; owns its scopes, hub and result."""

    def __init__(self, pipeline: Pipeline, batch: BatchPolicy | None, cancel: Cancel | None) -> None:
        self.pipeline = pipeline
        self.batch = batch
        self.cancel: Cancel = cancel or threading.Event()
        self.result = PipelineResult(pipeline.name, transform_count=len(pipeline.transforms))
        self.result.source.load, self.result.destination.load = pipeline.load_seconds
        self.result.transform_load = [step.load_seconds for step in pipeline.transforms]
        self.hub = ObserverHub(pipeline.name, pipeline.observers)
        self.metrics = HubMetrics(self.hub)
        self.scope = Scope(pipeline.name)
        self.chain = self._chain()
        self.until: Any = None
        self.fence = ""
        self._attempt: Attempt | None = None
        self._measuring: Measuring | None = None
        self._durable: Position | None = None
        self._epoch = 0
        self._floor = -1
        self._retrier = Retrier(pipeline.retry, self.cancel, self._retrying)

    def execute(self) -> PipelineResult:
        """Run to the end; raise its error or Cancelled when everything was joined and closed."""
        started = time.perf_counter()
        status, error = "ok", None
        try:
            self.pipeline.before_run()
            self._run()
        except Cancelled as stop:
            status, stop.result = "cancelled", self.result
            raise
        except BaseException as failure:
            status, error = "failed", type(failure).__name__
            raise
        finally:
            self.result.total = self.result.destination.total = time.perf_counter() - started
            self.result.transform_duration = list(self.chain.durations)
            self._close(status, error)
        return self.result

    def context(self, connector: str, scope: Scope) -> EngineContext:
        return EngineContext(
            pipeline=self.pipeline.name,
            connector=connector,
            scope=scope,
            hub=self.hub,
            metrics=self.metrics,
            spill=spill_directory(self.pipeline.resources.spill, self.pipeline.name),
            epoch=self._epoch,
        )

    def resume_from(self, durable: Position | None) -> Position:
        """Return where this attempt reads from; raises the epoch when it starts anew."""
        fresh = self.pipeline.loader.snapshot_only or durable is None or durable.epoch <= self._floor
        self._durable = None if fresh else durable
        if durable is not None and not fresh:
            self._epoch = durable.epoch
            return durable
        previous = max(durable.epoch if durable else 0, self._floor)
        if self._epoch > previous:  # of an attempt that made nothing durable
            return Position(self._epoch, 0, None)
        self._epoch = raised(previous)
        self.hub.emit("epoch_raised", epoch=self._epoch, reason="a new snapshot")
        return Position(self._epoch, 0, None)

    def progressed(self, position: Position) -> None:
        """Note that a position became durable."""
        self._durable = position
        self._retrier.progressed()

    def _run(self) -> None:
        if self.cancel.is_set():
            raise Cancelled
        require_compatible(self.pipeline.loader, self.pipeline.destination)
        with stage("state"):
            self.fence = self.pipeline.state.claim(self.pipeline.name)
        self.hub.emit("run_started", once=self.pipeline.once)
        self._measure()
        self.scope.spawn(self._watch, name="watch")
        with stage("transform"):
            self.chain.open()
        self._retrier.run(self._try)
        if self.cancel.is_set():
            raise Cancelled

    def _try(self) -> None:
        try:
            while self._once():
                pass
        except Exception as error:
            if next_step(error) is Next.RESTART:
                self._floor = self._epoch
                self.until = None
            raise

    def _once(self) -> bool:
        """Make one attempt; True when a stream was marked to be read anew and reading goes on."""
        if self._attempt is not None and (stuck := self._attempt.scope.join(0)):
            raise FatalError(
                "a thread of the source did not end and may still read",
                "the connector must end its calls when `ctx.on_cancel` says so; run again",
                threads=", ".join(stuck),
            )
        self._attempt = Attempt(self)
        if self.cancel.is_set():  # the watcher may have stopped the attempt before this one
            raise Cancelled
        try:
            self._attempt.execute()
        except Rewritten as change:
            self.hub.emit("snapshot_started", stream=str(change.stream), reason="rewritten", estimate=None)
            return True
        return False

    def _retrying(self, error: BaseException, failures: int, wait: float) -> None:
        self.result.retries += 1
        self.hub.emit(
            "retrying", error=type(error).__name__, message=str(error), attempt=failures, wait_seconds=wait
        )
        logger.bind(pipeline=self.pipeline.name).warning(
            "{}: {}; trying again in {:.1f} s", type(error).__name__, error, wait
        )

    def _watch(self) -> None:
        """Carry the caller's cancel to the source, and after the grace period to everything."""
        while not self.scope.cancel.wait(_WATCH_INTERVAL):
            if self.cancel.is_set():
                if self._attempt is not None:
                    self._attempt.stop_reading()
                if not self.scope.cancel.wait(self.pipeline.grace):
                    self.scope.stop()
                return

    def _measure(self) -> None:
        """Measure from here on, in a scope that outlives attempts: a source may be away for long."""
        scope = Scope(f"{self.pipeline.name}-measuring")
        self._measuring = Measuring(
            source=self.pipeline.source,
            state=self.pipeline.state,
            hub=self.hub,
            result=self.result,
            ctx=self.context("source", scope),
            fence=self.fence,
            position=lambda: self._durable.value if self._durable else None,
        )
        self._measuring.start(scope)

    def _chain(self) -> TransformChain:
        return TransformChain(
            self.pipeline.transforms,
            lambda name: self.context(name, self.scope),
            mirror=Mode.APPEND not in self.pipeline.loader.needs,
        )

    def _close(self, status: str, error: str | None) -> None:
        pipeline = self.pipeline
        measuring, last = self._measuring, status != "failed"
        if measuring is not None:
            quietly("the last measurement", lambda: measuring.finish(pipeline.grace, last=last))
        quietly("close of the transforms", self.chain.close)
        quietly("close of the source", pipeline.source.close)
        self.scope.stop()
        stuck = self.scope.join(pipeline.grace)
        if stuck:
            logger.error("threads did not end: {}", ", ".join(stuck))
        if self.fence:
            quietly("release of the claim", lambda: pipeline.state.release(self.fence))
        quietly("after_run", pipeline.after_run)
        counts = self.result.counts
        self.hub.emit(
            "run_finished",
            status=status,
            error=error,
            rows_read=counts.records_read,
            rows_written=counts.records_written,
            seconds=self.result.total,
        )
        self.hub.close(_OBSERVERS_END)
