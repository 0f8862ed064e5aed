"""Measures a run while it goes: rows per second of each stream, and how far the source is ahead."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from loguru import logger

from etl_core.engine.scope import quietly
from etl_core.engine.stages import stage
from etl_core.errors import Cancelled, EtlError
from etl_core.model import Lag

if TYPE_CHECKING:
    from etl_core.engine.observing import ObserverHub
    from etl_core.engine.scope import Scope
    from etl_core.interfaces import Context, Source, StateStore
    from etl_core.result import PipelineResult, StreamCounts

__all__ = ["Measuring"]

#: Seconds between two measurements.
_EVERY = 2.0
#: Measurements that a rate is taken over.
_WINDOW = 5
#: Seconds that the end of a run waits for the last one.
_LAST = 2.0

#: When it was, and rows read and written of each stream until then.
Sample = tuple[float, Mapping[str, tuple[int, int]]]


class Measuring:
    """Measures on a thread of its own, so that a source or destination that stands still is seen too.

    What it finds goes to observers, into the result and, as the run's note, to the state store. What goes
    wrong here is said and never reaches the run. `position` returns the value that is durable now.
    """

    def __init__(
        self,
        *,
        source: Source,
        state: StateStore,
        hub: ObserverHub,
        result: PipelineResult,
        ctx: Context,
        fence: str,
        position: Callable[[], Any],
    ) -> None:
        self._source = source
        self._state = state
        self._hub = hub
        self._result = result
        self._ctx = ctx
        self._fence = fence
        self._position = position
        self._samples: deque[Sample] = deque([self._sample()], maxlen=_WINDOW + 1)
        self._began = self._samples[0]
        self._ending = threading.Event()
        self._asks = True
        self._answers = self._asks_last = self._abandoned = False
        self._failed: str | None = None
        self._log = logger.bind(pipeline=result.pipeline)
        self._noted: Mapping[str, Any] | None = None
        self._said = False
        self._told: list[str] = []
        self._lag_at: float | None = None

    def start(self, scope: Scope) -> None:
        """Measure every few seconds until `finish`; the scope is this object's own."""
        self._scope = scope
        self._thread = scope.spawn(self._run, name="measure")

    def finish(self, grace: float, *, last: bool) -> None:
        """End, with a last note; the source is asked a `last` time where it answered the time before.

        A run too short for a question has no lag: its end does not wait for what may never be answered.
        """
        self._asks_last = last and self._answers
        self._ending.set()
        if self._asks_last:
            self._thread.join(_LAST)
        self._scope.stop()
        if self._scope.join(min(grace, _LAST)):
            self._abandoned = True
            self._log.error("the measuring thread did not end: the source does not answer")

    def _run(self) -> None:
        while not self._ending.wait(_EVERY):
            quietly("measuring the run", lambda: self._measure(final=False))
        quietly("measuring the run", lambda: self._measure(final=True))

    def _measure(self, *, final: bool) -> None:
        self._samples.append(self._sample())
        self._tell_throughput()
        if self._asks and (self._asks_last or not final) and not self._ctx.cancel.is_set():
            self._ask()
        if not self._abandoned:
            self._note(final)

    def _sample(self) -> Sample:
        counts = list(self._result.streams.items())  # in one step: other threads add to it
        return time.monotonic(), {name: (one.records_read, one.records_written) for name, one in counts}

    def _tell_throughput(self) -> None:
        before, now = self._samples[0], self._samples[-1]
        moved = [name for name in now[1] if now[1][name] != before[1].get(name, (0, 0))]
        # One that has come to stand is told once more, with rates of zero.
        if told := dict.fromkeys([*moved, *self._told]):
            streams = {name: self._facts(name, self._since(name)) for name in told}
            self._hub.emit("throughput", seconds=now[0] - before[0], streams=streams)
        self._told = moved

    def _since(self, name: str) -> Sample:
        """Return the sample that a stream's rates are taken from: of a snapshot none from before it began."""
        first, *between, _ = self._samples
        if self._result.stream(name).phase == "snapshot":
            for sample in between:
                if sample[1].get(name, (0, 0)) != first[1].get(name, (0, 0)):
                    break
                first = sample
        return first

    def _facts(self, name: str, before: Sample) -> dict[str, Any]:
        """Return what is known of a stream, rates since the sample `before`."""
        now = self._samples[-1]
        seconds = max(now[0] - before[0], 1e-9)
        (read, written), (old_read, old_written) = now[1][name], before[1].get(name, (0, 0))
        return {
            "rows_read": read,
            "rows_written": written,
            "rows_read_per_second": (read - old_read) / seconds,
            "rows_written_per_second": (written - old_written) / seconds,
            **_snapshot(self._result.stream(name)),
        }

    def _ask(self) -> None:
        try:
            with stage("source"):
                lag = self._source.lag(self._ctx, self._position())
        except Cancelled:
            return
        except EtlError as error:
            self._say_failed(error)
            return
        self._failed, self._asks, self._answers = None, lag is not None, lag is not None
        if lag is not None:
            self._result.lag, self._lag_at = lag.to_json(), time.time()
            self._hub.emit("lag", **lag.to_json(), error=None)

    def _say_failed(self, error: EtlError) -> None:
        """Say it once while it stays the same: a server that is away is asked again every time."""
        name = type(error).__name__
        if self._failed != name:
            self._log.warning("the lag cannot be measured: {}: {}", name, error)
        self._failed, self._answers = name, False
        self._hub.emit("lag", **Lag().to_json(), error=name)

    def _note(self, final: bool) -> None:
        """Keep what `status` shows: rates of the last seconds, in the `final` note those of the whole run."""
        streams = {
            name: self._facts(name, self._began if final else self._since(name))
            for name in self._samples[-1][1]
        }
        note = {"ended": final, "lag": self._result.lag, "streams": streams}
        if note == self._noted:
            return
        try:
            self._state.note(self._fence, {"at": time.time(), "lag_at": self._lag_at, **note})
        except EtlError as error:
            self._say_not_kept(error)
        else:
            self._noted = note

    def _say_not_kept(self, error: EtlError) -> None:
        """Say it once: the next note may be kept again."""
        if not self._said:
            self._log.warning("what was measured is not kept: {}", error)
        self._said = True


def _snapshot(counts: StreamCounts) -> dict[str, Any]:
    return {
        "phase": counts.phase,
        "snapshot_rows": counts.snapshot_records,
        "snapshot_estimate": counts.snapshot_estimate,
    }
