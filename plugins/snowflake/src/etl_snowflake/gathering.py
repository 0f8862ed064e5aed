"""What waits for the thread that lands rows: loads that are gathered for COPY, and the marks between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
from attrs import frozen

from etl_core import Position, Stream
from etl_snowflake.lanes import Lane

__all__ = ["End", "Job", "Jobs", "Load", "Mark", "together"]


@frozen(eq=False)
class Load:
    """Rows for a COPY into a table; they reach `mark` (hex). `window`: whether they are partial."""

    lane: Lane
    table: str
    rows: pa.Table
    mark: str | None
    window: bool | None = None


@frozen
class End:
    """The end of a snapshot: of which generation of a stream."""

    stream: Stream
    generation: int


@frozen(eq=False)
class Mark:
    """A position, and how far streams had come then."""

    position: Position
    seen: Mapping[Stream, str]
    ends: Sequence[End]
    """Of histories, before it."""


Job = Load | Mark


class Jobs:
    """Jobs in the order in which they came. Whoever uses it holds the worker's lock."""

    def __init__(self, enough: int) -> None:
        """`enough`: so many Arrow bytes are not gathered any longer."""
        self._enough = enough
        self._waiting: deque[Job] = deque()
        #: Of loads that have not landed.
        self.bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, job: Job) -> None:
        if isinstance(job, Load):
            job.lane.pending += 1
            self.bytes += job.rows.nbytes
        self._waiting.append(job)

    def landed(self, loads: Sequence[Load]) -> None:
        for load in loads:
            load.lane.pending -= 1
            self.bytes -= load.rows.nbytes

    def due(self, *, all: bool) -> bool:
        """Whether there is something that is not to be gathered any longer; `all`: everything is."""
        marked = any(isinstance(job, Mark) for job in self._waiting)
        return marked or bool(self._waiting and self._full(all))

    def take(self, *, all: bool) -> list[Job]:
        """Take what is due: the jobs up to the first mark, or all of them where they are many."""
        ends = [place for place, job in enumerate(self._waiting, 1) if isinstance(job, Mark)]
        count = ends[0] if ends else len(self._waiting) if self._full(all) else 0
        return [self._waiting.popleft() for _ in range(count)]

    def clear(self) -> None:
        self._waiting.clear()
        self.bytes = 0

    def _full(self, all: bool) -> bool:
        return all or self.bytes >= self._enough


def together(loads: Sequence[Load]) -> Iterator[list[Load]]:
    """Yield loads that go into one table with one schema, in the order of each stream."""
    by_lane: dict[Lane, list[Load]] = {}
    for load in loads:
        by_lane.setdefault(load.lane, []).append(load)
    for mine in by_lane.values():
        for _, same in groupby(mine, key=_shape):
            yield list(same)


def _shape(load: Load) -> Any:
    return load.table, load.rows.schema.to_string()
