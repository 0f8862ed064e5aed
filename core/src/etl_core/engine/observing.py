"""Observers: each on its own thread behind a bounded queue, so that none can fail or stall a pipeline."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, time
from traceback import extract_tb
from typing import Any

from loguru import logger

from etl_core.events import Event
from etl_core.interfaces import Metrics, Observer
from etl_core.model import Batch, Stream

__all__ = ["HubMetrics", "ObserverHub"]

OVERRUN = "observer_overrun"
#: Failures in a row after which an observer is left alone.
MAX_FAILURES = 5


class ObserverHub:
    """Hands events, batches and payloads to observers without ever waiting for them.

    Its methods may be called from any thread; none blocks or raises. Per observer at most `capacity`
    items wait, and `max_bytes` of batches and payloads; what finds no room is left out whole, counted,
    and told to the other observers.
    """

    def __init__(
        self,
        pipeline: str,
        observers: Sequence[tuple[str, Observer]],
        *,
        capacity: int = 10_000,
        max_bytes: int = 32 << 20,
    ) -> None:
        self._pipeline = pipeline
        self._workers = [
            _Worker(name, observer, capacity, max_bytes, self._on_overrun) for name, observer in observers
        ]

    def emit(self, name: str, /, **facts: Any) -> None:
        """Tell every observer that something happened; `name` is one of `events.EVENTS`."""
        if self._workers:
            self._tell(Event(name, self._pipeline, time(), facts), self._workers)

    def wants(self, stage: str) -> bool:
        """Say whether an observer takes the batches of a stage."""
        return any(stage in worker.observer.stages for worker in self._workers)

    def batch(self, stage: str, batch: Batch) -> None:
        """Show a batch to the observers that take this stage's."""
        size = batch.rows.get_total_buffer_size() if batch.rows is not None else 0
        for worker in self._workers:
            if stage in worker.observer.stages:
                worker.put(size, worker.observer.on_batch, stage, batch)

    @property
    def wants_payload(self) -> bool:
        """Whether an observer takes payloads."""
        return any(worker.observer.payloads for worker in self._workers)

    def payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        """Show encoded records to the observers that take them."""
        for worker in self._workers:
            if worker.observer.payloads:
                size = sum(memoryview(buffer).nbytes for buffer in buffers)
                worker.put(size, worker.observer.on_payload, stream, format, schema, buffers)

    def close(self, timeout: float) -> None:
        """Let observers finish what waits, for `timeout` seconds together, then abandon the rest."""
        for worker in self._workers:
            worker.finish()
        deadline = monotonic() + timeout
        for worker in self._workers:
            worker.join(max(0.0, deadline - monotonic()))

    def _on_overrun(self, slow: _Worker, left_out: int) -> None:
        event = Event(OVERRUN, self._pipeline, time(), {"observer": slow.name, "left_out": left_out})
        self._tell(event, [worker for worker in self._workers if worker is not slow])

    @staticmethod
    def _tell(event: Event, workers: Sequence[_Worker]) -> None:
        for worker in workers:
            worker.put(0, worker.observer.on_event, event)


class HubMetrics(Metrics):
    """The metrics of a context: each measurement becomes a `metric` event."""

    def __init__(self, hub: ObserverHub) -> None:
        self._hub = hub

    def count(self, name: str, value: float = 1, **labels: str) -> None:
        self._hub.emit("metric", metric=name, value=value, kind="count", labels=labels)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self._hub.emit("metric", metric=name, value=value, kind="gauge", labels=labels)


class _Worker:
    """One observer, its queue and its thread."""

    def __init__(
        self,
        name: str,
        observer: Observer,
        capacity: int,
        max_bytes: int,
        on_overrun: Callable[[_Worker, int], None],
    ) -> None:
        self.name = name
        self.observer = observer
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._on_overrun = on_overrun
        self._queue: deque[tuple[int, Callable[..., None], tuple[Any, ...]]] = deque()
        self._bytes = 0
        self._left_out = 0
        self._failures = 0
        self._said_failed = False
        self._closing = False
        self._deaf = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"etl-observer-{name}", daemon=True)
        self._thread.start()

    def put(self, size: int, call: Callable[..., None], *args: Any) -> None:
        """Queue a call that holds `size` bytes, or leave it out."""
        with self._changed:
            if self._closing or self._deaf:
                return
            fits = not size or not self._bytes or self._bytes + size <= self._max_bytes
            if fits and len(self._queue) < self._capacity:
                self._queue.append((size, call, args))
                self._bytes += size
                self._changed.notify()
                return
            self._left_out += 1
            left_out = self._left_out
        self._say_left_out(left_out)

    def _say_left_out(self, left_out: int) -> None:
        """Say it at once, then each time the number has doubled: an overrun must not cause another."""
        if left_out == 1:
            logger.warning("observer {} cannot keep up: events or batches are left out", self.name)
        if left_out & (left_out - 1) == 0:
            self._on_overrun(self, left_out)

    def finish(self) -> None:
        """Take nothing more."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout: float) -> None:
        """Wait for the thread; abandon it (it is a daemon) when it does not end in time."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            with self._changed:
                self._deaf = True
                self._left_out += len(self._queue)
                self._queue.clear()
            logger.warning("observer {} did not end in time and was abandoned", self.name)
        if self._left_out:
            logger.warning("observer {} was not told {} events or batches", self.name, self._left_out)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self._guarded(*item)
        self._guarded(self.observer.close)

    def _next(self) -> tuple[Any, ...] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing or self._deaf)
            if not self._queue:
                return None
            size, call, args = self._queue.popleft()
            self._bytes -= size
            return (call, *args)

    def _guarded(self, call: Callable[..., None], *args: Any) -> None:
        try:
            call(*args)
            self._failures = 0
        except BaseException as error:  # noqa: BLE001 - not even a careless SystemExit may pass unseen
            self._failures += 1
            self._say_failed(error)
            if self._failures == MAX_FAILURES:
                self._disable()

    def _say_failed(self, error: BaseException) -> None:
        """Say the first failure, without its text: that may hold anything."""
        if not self._said_failed:
            where = extract_tb(error.__traceback__)[-1]
            logger.warning(
                "observer {} failed: {} at {}:{}",
                self.name,
                type(error).__name__,
                where.filename,
                where.lineno,
            )
        self._said_failed = True

    def _disable(self) -> None:
        logger.error("observer {} failed {} times in a row and is left alone", self.name, MAX_FAILURES)
        with self._changed:
            self._deaf = True
            self._left_out += len(self._queue)
            self._queue.clear()
