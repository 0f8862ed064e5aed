"""When ours starts and ends.

It starts when the source yields its first marker: connected, its slot and tables known, no row asked for.
(If rows came first, it would have started when the source was asked for them.) It ends when the flush that
makes the last row durable has returned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from etl_core import Batch, Destination, Kind, Position, Source, Write

__all__ = ["Clock", "Moment", "peak_memory"]


@frozen
class Moment:
    """A time by the clock, and the CPU seconds this process has used then."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.perf_counter(), time.process_time())


class Clock:
    """Watches a source and a destination through the methods that the engine calls."""

    def __init__(self, source: Source, destination: Destination) -> None:
        self.started: Moment | None = None
        self.ended: Moment | None = None
        self._dirty = False
        self._replace(source, "read", self._reading)
        self._replace(destination, "write", self._writing)
        self._replace(destination, "flush", self._flushing)

    @property
    def seconds(self) -> float:
        return self.ended.wall - self.started.wall if self.started and self.ended else 0.0

    @property
    def cpu(self) -> float:
        return self.ended.cpu - self.started.cpu if self.started and self.ended else 0.0

    @staticmethod
    def _replace(connector: object, name: str, wrap: Callable[[Any], Any]) -> None:
        setattr(connector, name, wrap(getattr(connector, name)))

    def _reading(self, read: Callable[..., Iterator[Batch | None]]) -> Callable[..., Iterator[Batch | None]]:
        def clocked(*arguments: Any) -> Iterator[Batch | None]:
            asked = Moment.now()
            for batch in read(*arguments):
                if self.started is None and batch is not None:
                    self.started = asked if batch.kind is Kind.ROWS else Moment.now()
                yield batch

        return clocked

    def _writing(self, write: Callable[[Write], Any]) -> Callable[[Write], Any]:
        def clocked(work: Write) -> Any:
            self._dirty |= work.rows is not None
            return write(work)

        return clocked

    def _flushing(self, flush: Callable[[Position], Any]) -> Callable[[Position], Any]:
        def clocked(position: Position) -> Any:
            refused = flush(position)
            if self._dirty:
                self.ended, self._dirty = Moment.now(), False
            return refused

        return clocked


def peak_memory() -> int:
    """Return the most resident bytes this process has had (Linux: without what its parent had)."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
