"""A scope owns threads and their cancellation; a context is what a connector sees of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from loguru import logger

from etl_core.errors import Cancelled

if TYPE_CHECKING:
    from pathlib import Path

    from etl_core.engine.observing import ObserverHub
    from etl_core.interfaces import Cancel, Metrics
    from etl_core.model import Stream

__all__ = ["EngineContext", "Scope", "quietly"]


def quietly(name: str, call: Callable[[], object]) -> None:
    """Call what must not keep the rest of a clean-up from being done."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - what led to the clean-up is what to raise
        logger.warning("{} failed: {}", name, type(error).__name__)


class Scope:
    """Starts threads, asks them to stop, joins them.

    An exception that leaves a thread is kept in `error`, unless it comes of a stop, and reported through
    `on_failure`.
    """

    def __init__(self, name: str, on_failure: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.cancel = threading.Event()
        self.error: BaseException | None = None
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._callbacks: dict[object, Callable[[], None]] = {}

    def spawn(self, target: Callable[..., object], *args: Any, name: str = "") -> threading.Thread:
        label = f"etl-{self.name}-{name or getattr(target, '__name__', 'thread')}"
        thread = threading.Thread(target=self._guard, args=(target, args), name=label, daemon=True)
        with self._lock:
            self._threads.append(thread)
            thread.start()
        return thread

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        token = object()
        with self._lock:
            self._callbacks[token] = callback
            late = self.cancel.is_set()
        if late:
            self._call(token)
        return lambda: self._forget(token)

    def stop(self) -> None:
        """Ask everything in the scope to end, and interrupt what blocks. Never raises, may be repeated."""
        with self._lock:
            self.cancel.set()
            tokens = list(self._callbacks)
        for token in tokens:
            self._call(token)

    def join(self, timeout: float) -> Sequence[str]:
        """Wait for every thread; return the names of those that did not end in time."""
        deadline = time.monotonic() + timeout
        while alive := self._alive():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            alive[0].join(left)
        return [thread.name for thread in alive]

    def _alive(self) -> Sequence[threading.Thread]:
        """Return the other threads that run; one of them may still start another."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return [thread for thread in self._threads if thread is not threading.current_thread()]

    def _guard(self, target: Callable[..., object], args: Sequence[Any]) -> None:
        try:
            target(*args)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that runs the pipeline
            if not self.cancel.is_set() and not isinstance(error, Cancelled):
                self.error = self.error or error
            self._on_failure()

    def _forget(self, token: object) -> None:
        with self._lock:
            self._callbacks.pop(token, None)

    def _call(self, token: object) -> None:
        with self._lock:
            callback = self._callbacks.pop(token, None)
        if callback is None:
            return
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - interrupting is best effort
            logger.warning("a cancel callback failed: {}", type(error).__name__)


class EngineContext:
    """The `Context` of one connector in one run."""

    def __init__(
        self,
        *,
        pipeline: str,
        connector: str,
        scope: Scope,
        hub: ObserverHub,
        metrics: Metrics,
        spill: Path,
        epoch: int = 0,
        poll_interval: float = 0.2,
    ) -> None:
        self.pipeline = pipeline
        self.epoch = epoch
        self.spill = spill
        self.poll_interval = poll_interval
        self.cancel: Cancel = scope.cancel
        self.spawn = scope.spawn
        self.on_cancel = scope.on_cancel
        self.metrics = metrics
        self.logger = logger.bind(pipeline=pipeline, connector=connector)
        self.rejections: list[tuple[list[int], str, str | None]] = []
        self.phases: dict[str, float] = {}
        self._hub = hub

    def payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        self._hub.payload(stream, format, schema, buffers)

    def reject(self, indices: Iterable[int], code: str, column: str | None = None) -> None:
        self.rejections.append((list(indices), code, column))

    def measure(self, phase: str) -> AbstractContextManager[None]:
        return self._measure(phase)

    @contextmanager
    def _measure(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - started
