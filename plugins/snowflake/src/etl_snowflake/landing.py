"""Rows on their way: what is gathered for COPY, what is streamed, and the marks that wait for both.

A thread of the run does what takes long (COPY, asking what is committed, merging): `mark` and `durable` never
wait. Loads of a stream land in the order in which they came; while one waits, nothing of that stream is
streamed, and before a COPY commits its mark, all that was streamed before it is committed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Any

import attrs
import pyarrow as pa
from attrs import frozen

from etl_core import Position, Rejected, RetryableError, Stream
from etl_snowflake import control, merging, snapshots, tasks
from etl_snowflake.account import Account
from etl_snowflake.lanes import Lane, Lanes
from etl_snowflake.marks import Outstanding

__all__ = ["Landing", "Load"]

_PAUSE = 0.2
_IDLE = 1.0
#: Rows that wait may be so many times `bulk_bytes`; beyond that, `write` waits.
_ROOM = 4


@frozen(eq=False)
class Load:
    """Rows for a COPY into a table; they reach `mark` (hex). `window`: whether they are partial."""

    lane: Lane
    table: str
    rows: pa.Table
    mark: str | None
    window: bool | None = None


@frozen(eq=False)
class _Mark:
    position: Position
    seen: dict[Stream, str]
    ends: Sequence[Lane]
    """Histories whose snapshot ended before it."""


class Landing:
    """See the module. Its methods are called by the thread that drives the destination."""

    def __init__(self, account: Account, lanes: Lanes) -> None:
        self._account = account
        self._lanes = lanes
        self.given_up = threading.Event()
        self.outstanding = Outstanding(self._find, account.config.commit_timeout)
        self._changed = threading.Condition()
        self._ending = self._busy = self._draining = False
        self._next_merge = time.monotonic() + account.config.merge_interval
        self._thread: threading.Thread | None = None
        self._reset()

    def _reset(self) -> None:
        self._jobs: deque[Load | _Mark] = deque()
        self._gathered = 0
        self._marks: deque[_Mark] = deque()
        self._landed: Position | None = None
        self._streamed: Position | None = None
        self._durable: Position | None = None
        self._told: Position | None = None
        self._ready: dict[Stream, str] = {}
        #: Ends that are durable, told, and known to be saved: the engine goes on after it has saved.
        self._ended: list[Lane] = []
        self._saving: list[Lane] = []
        self._saved: list[Lane] = []
        self._complete = False
        self._rejected: list[Rejected] = []
        self._failure: BaseException | None = None

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = self._account.ctx.spawn(self._work, name="snowflake")

    def load(self, load: Load) -> None:
        """Take rows for a COPY; waits while too many are on their way."""
        self._room()
        self._start()
        with self._changed:
            load.lane.pending += 1
            self._jobs.append(load)
            self._gathered += load.rows.nbytes
            self._changed.notify_all()

    def stream(self, lane: Lane, handed: pa.Table, rows: pa.Table, seqs: pa.ChunkedArray) -> None:
        """Hand rows to the lane's channel; `handed` is as the loader made them."""
        self._room()
        self._start()
        assert lane.channel is not None
        lane.extend(str(seqs[-1]), partial=False)
        sent = lane.channel.append(rows, seqs)
        self.outstanding.sent(lane.stream, lane.channel, handed, seqs)
        self._count("snowflake.streamed", rows.num_rows, sent)
        with self._changed:
            self._changed.notify_all()

    def mark(self, position: Position) -> None:
        """End a group; never blocks."""
        seen = {lane.stream: lane.seen for lane in self._lanes if lane.seen} if position.complete else {}
        mark = _Mark(position, seen, [lane for lane in self._lanes if lane.unsaved and lane.ended])
        self._start()
        self.outstanding.mark(position)
        with self._changed:
            self._go_on()
            self._jobs.append(mark)
            self._marks.append(mark)
            self._changed.notify_all()

    def durable(self) -> tuple[Position, Sequence[Rejected]] | None:
        """Return the last mark that became durable since the last call; never blocks."""
        with self._changed:
            self._raise()
            self._go_on()
            if self._durable is None or self._durable is self._told:
                return None
            self._told = self._durable
            self._saving, self._ended = self._ended, []
            return self._durable, self._taken()

    def confirm(self, lane: Lane) -> None:
        """A stream's end of a snapshot was saved: the source has gone on behind it."""
        with self._changed:
            self._saved.append(lane)

    def _go_on(self) -> None:
        """What was told is saved, or this would not be called."""
        self._saved += self._saving
        self._saving = []

    def drain(self) -> None:
        """Wait until everything has landed and is committed. Raises what went wrong meanwhile."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            try:
                while not self._failure and (self._jobs or self._busy or self.outstanding.waiting):
                    self._changed.wait(_PAUSE)
                    if self.given_up.is_set():
                        raise RetryableError("gave up waiting for rows to land")
            finally:
                self._draining = False
            self._raise()

    def flush(self, position: Position) -> Sequence[Rejected]:
        """Land everything, merge what is complete; return the rows refused."""
        self.mark(position)
        self.drain()
        with self._account.lock:
            self._keep_marks()
            if position.complete:
                self._merge_all({lane.stream: lane.seen for lane in self._lanes if lane.seen})
        with self._changed:
            self._durable = self._told = position
            self._saving, self._ended = self._ended, []
            return self._taken()

    def settle(self, lane: Lane) -> None:
        """Land everything, and merge all that is landed of a stream, complete or not."""
        self.drain()
        with self._account.lock:
            self._merge(lane, lane.mark, by_task=False)

    def forget(self) -> None:
        """Drop what is not durable: it may come again."""
        with self._changed:
            self._reset()
            self._ending = True
            self._changed.notify_all()
        self.outstanding.clear()
        if self._thread is not None:
            self._thread.join()
        self._ending = False

    def _room(self) -> None:
        most = _ROOM * int(self._account.config.bulk_bytes)
        with self._changed:
            self._raise()
            while self._gathered + self.outstanding.bytes > most:
                self._changed.wait(_PAUSE)
                self._raise()
                if self.given_up.is_set():
                    raise RetryableError("gave up waiting for rows to land")

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _taken(self) -> Sequence[Rejected]:
        rejected, self._rejected = self._rejected, []
        return rejected

    # What follows runs on the thread of the run, but for `_merge` and `_keep_marks`, which hold the lock.

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._ending and self._failure is None and not self._something():
                    self._changed.wait(_PAUSE if self.outstanding.waiting else _IDLE)
                if self._ending:
                    return
                jobs = self._due() if self._failure is None else []
                self._busy = bool(jobs)
            try:
                if self._failure is None:
                    self._step(jobs)
            except Exception as error:  # noqa: BLE001 - raised where the destination is driven
                self._fail(error)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _something(self) -> bool:
        return any(isinstance(job, _Mark) for job in self._jobs) or bool(self._jobs and self._full())

    def _full(self) -> bool:
        return self._draining or self._gathered >= self._account.config.bulk_bytes

    def _due(self) -> list[Load | _Mark]:
        """Take the jobs that are not to be gathered any longer: those before a mark, or many."""
        ends = [place for place, job in enumerate(self._jobs, 1) if isinstance(job, _Mark)]
        count = ends[0] if ends else len(self._jobs) if self._full() else 0
        return [self._jobs.popleft() for _ in range(count)]

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failure = self._failure or error

    def _step(self, jobs: Sequence[Load | _Mark]) -> None:
        for loads in _together([job for job in jobs if isinstance(job, Load)]):
            self._land(loads)
        self._confirm()
        marks = [job for job in jobs if isinstance(job, _Mark)]
        if self.outstanding.waiting:
            self.outstanding.poll()
        done = self.outstanding.durable()
        with self._changed:
            self._landed = marks[-1].position if marks else self._landed
            if done is not None:
                self._streamed = done[0]
                self._rejected += done[1]
            self._advance()
        if time.monotonic() >= self._next_merge:
            with self._account.lock:
                self._merge_ready()
            self._next_merge = time.monotonic() + self._account.config.merge_interval

    def _confirm(self) -> None:
        with self._changed:
            saved, self._saved = self._saved, []
        for lane in saved:
            with self._account.lock:
                if lane.unsaved and lane.kept.staging is None:
                    lane.kept = snapshots.confirm(*self._account.identity, lane.kept)
                    lane.unsaved = False

    def _advance(self) -> None:
        """Note how far everything is durable, and what may be merged therefore."""
        while self._marks and self._landed and self._streamed:
            mark = self._marks[0]
            if mark.position.order > min(self._landed.order, self._streamed.order):
                return
            self._marks.popleft()
            self._durable = mark.position
            self._ready.update(mark.seen)
            self._ended += mark.ends
            self._complete |= mark.position.complete

    def _land(self, loads: Sequence[Load]) -> None:
        """COPY loads of one stream into one table, with the mark that they reach."""
        lane, account = loads[0].lane, self._account
        self._committed(lane)
        for load in loads:
            if load.window is not None and load.mark:
                lane.extend(load.mark, partial=load.window)
        rows = pa.concat_tables([load.rows for load in loads])
        mark = next((load.mark for load in reversed(loads) if load.mark), None)
        with account.lock:
            staged = account.bulk.load(
                loads[0].table,
                rows,
                directory=account.directory(lane.stream),
                name=mark or "rows",
                before=lambda: control.require(*account.identity),
                after=lambda: self._keep_mark(lane, mark),
                landed=lambda: self._has_mark(lane, mark),
            )
        if mark:
            lane.kept = attrs.evolve(lane.kept, mark=max(lane.kept.mark or "", mark))
        self._count("snowflake.copied", rows.num_rows, sum(each.bytes for each in staged))
        account.ctx.metrics.count("snowflake.copies")
        account.ctx.metrics.count("snowflake.files", len(staged))
        account.ctx.metrics.gauge("snowflake.rows_per_copy", rows.num_rows)
        with self._changed:
            lane.pending -= len(loads)
            self._gathered -= sum(load.rows.nbytes for load in loads)

    def _committed(self, lane: Lane) -> None:
        """Wait until what was streamed is committed: the mark of a COPY would hide its loss."""
        while lane.channel is not None and lane.channel.sent is not None:
            if self.outstanding.reached(lane.channel, lane.channel.sent):
                return
            self.outstanding.poll()
            self.outstanding.check()
            if self.given_up.wait(_PAUSE):
                raise RetryableError("gave up waiting for streamed rows")

    def _keep_mark(self, lane: Lane, mark: str | None) -> None:
        account = self._account
        if mark is not None:
            control.advance(account.session, account.names, account.pipeline, lane.stream, mark, lane.windows)

    def _has_mark(self, lane: Lane, mark: str | None) -> bool:
        account = self._account
        found = control.find(account.session, account.names, account.pipeline, lane.stream)
        return mark is not None and found is not None and (found.mark or "") >= mark

    def _keep_marks(self) -> None:
        """Keep how far streams were streamed: so that it is known also without their channels."""
        account = self._account
        behind = [lane for lane in self._lanes if lane.mark and lane.mark > (lane.kept.mark or "")]
        with account.session.transaction():
            control.require(*account.identity)
            for lane in behind:
                self._keep_mark(lane, lane.mark)
        for lane in behind:
            lane.kept = attrs.evolve(lane.kept, mark=lane.mark)

    def _merge_ready(self) -> None:
        with self._changed:
            ready, complete = dict(self._ready), self._complete
        if complete:
            self._merge_all(ready)

    def _merge_all(self, ready: dict[Stream, str]) -> None:
        for lane in self._lanes:
            upto = ready.get(lane.stream)
            if upto is None and lane.left_over and lane.seen is None:
                upto = self._left_over(lane)
            self._merge(lane, upto)

    def _left_over(self, lane: Lane) -> str | None:
        """Return how far a life before this one had landed a stream that nothing has come of since."""
        lane.left_over = False
        account = self._account
        if not lane.has_landing():
            return None
        seq = account.names.column("_etl_seq")
        found = account.session.execute(f"SELECT MAX({seq}) FROM {lane.landing}")[0][0]
        if found and (not lane.windows or lane.windows[-1].upto < found):
            lane.extend(found, partial=False)
        return str(found) if found else None

    def _merge(self, lane: Lane, upto: str | None, *, by_task: bool = True) -> None:
        account = self._account
        if lane.history or upto is None or lane.kept.staging is not None:
            return
        kept = attrs.evolve(lane.kept, windows=lane.windows)
        windows = merging.due(kept, upto)
        if not windows:
            return
        merge = tasks.hand_over if by_task and account.config.task_schedule_minutes else merging.merge
        kept, rejected = merge(*account.identity, kept, upto)
        lane.kept = attrs.evolve(lane.kept, merged=kept.merged)
        lane.windows = tuple(each for each in lane.windows if each.upto > (kept.merged or ""))
        account.ctx.metrics.count("snowflake.merges", len(windows))
        with self._changed:
            self._rejected += rejected

    def _find(self, stream: Stream, first: str, last: str) -> Collection[str]:
        """Say which seqs of a range are in the table that a stream lands in."""
        lane, account = self._lanes.find(stream), self._account
        assert lane is not None
        column = account.names.column("_etl_seq")
        low, high = "?", "?"
        text = column
        if lane.history:
            text, low, high = (
                f"LOWER(TO_VARCHAR({column}, 'HEX'))",
                "TO_BINARY(?, 'HEX')",
                "TO_BINARY(?, 'HEX')",
            )
        with account.lock:
            rows = account.session.execute(
                f"SELECT {text} FROM {lane.landing} WHERE {column} BETWEEN {low} AND {high}", (first, last)
            )
        return [str(row[0]) for row in rows]

    def _count(self, name: str, rows: int, size: int) -> None:
        self._account.ctx.metrics.count(f"{name}_rows", rows)
        self._account.ctx.metrics.count(f"{name}_bytes", size)


def _together(loads: Sequence[Load]) -> Iterator[list[Load]]:
    """Yield loads that go into one table with one schema, in the order of each stream."""
    by_lane: dict[Lane, list[Load]] = {}
    for load in loads:
        by_lane.setdefault(load.lane, []).append(load)
    for mine in by_lane.values():
        for _, same in groupby(mine, key=_shape):
            yield list(same)


def _shape(load: Load) -> Any:
    return load.table, load.rows.schema.to_string()
