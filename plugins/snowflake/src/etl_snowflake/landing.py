"""Rows on their way: what is gathered for COPY, what is streamed, and the marks that wait for both.

A thread of the run does what takes long (COPY, asking what is committed, merging): `mark` and `durable` never
wait. Loads of a stream land in the order in which they came; while one waits, nothing of that stream is
streamed, and before a COPY commits its mark, all that was streamed before it is committed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from etl_core import Position, Rejected, RetryableError, StateError, Stream
from etl_snowflake import control
from etl_snowflake.account import Account
from etl_snowflake.copying import Copies
from etl_snowflake.durability import Durability
from etl_snowflake.gathering import End, Job, Jobs, Load, Mark, together
from etl_snowflake.lanes import Lane, Lanes
from etl_snowflake.marks import Outstanding
from etl_snowflake.mirroring import Mirrors
from etl_snowflake.reporting import Reports
from etl_snowflake.streaming import Channel
from etl_snowflake.worker import Worker

__all__ = ["Landing"]

_PAUSE = 0.2
#: Rows that wait may be so many times `bulk_bytes`; beyond that, `write` waits.
_ROOM = 4


class Landing:
    """See the module. Its methods are called by the thread that drives the destination."""

    def __init__(self, account: Account, lanes: Lanes) -> None:
        self._account = account
        self._lanes = lanes
        self._jobs = Jobs(account.config.bulk_bytes)
        self._durability = Durability()
        self._reports = Reports(account, lanes)
        self.outstanding = Outstanding(self._find, account.config.commit_timeout, self._merged)
        self._worker = Worker(self._jobs, account.ctx.spawn, self._step, lambda: self.outstanding.waiting)
        self.given_up = self._worker.given_up
        self._copies = Copies(account, self._committed)
        self._mirrors = Mirrors(account, lanes, self._reports.more, self.catch_up)

    def catch_up(self, lane: Lane) -> None:
        """Open a lane's channel, once; waits while what it has is being committed."""
        lane.catch_up(self.given_up.wait, self._account.config.commit_timeout)

    def load(self, load: Load) -> None:
        """Take rows for a COPY; waits while too many are on their way."""
        self._room()
        self._worker.add(load)

    def stream(self, lane: Lane, handed: pa.Table, rows: pa.Table, seqs: pa.ChunkedArray) -> None:
        """Hand rows to the lane's channel; `handed` is as the loader made them."""
        self._room()
        assert lane.channel is not None
        lane.extend(str(seqs[-1]), partial=False)
        sent = self._append(lane, lane.channel, rows, seqs)
        self.outstanding.sent(lane.stream, lane.channel, handed, seqs)
        self._account.ctx.metrics.count("snowflake.streamed_rows", rows.num_rows)
        self._account.ctx.metrics.count("snowflake.streamed_bytes", sent)
        self._worker.add()

    def _append(self, lane: Lane, channel: Channel, rows: pa.Table, seqs: pa.ChunkedArray) -> int:
        """Hand rows to a channel. Raises StateError for another copy that has opened the destination."""
        offer = self._account.ctx.payload
        try:
            return channel.append(rows, seqs, lambda body: offer(lane.stream, "ndjson", rows.schema, [body]))
        except StateError:
            self._account.require()
            raise RetryableError(
                "a copy of the pipeline that lost its fence opened the channel", stream=str(lane.stream)
            ) from None

    def replayed(self, lane: Lane, rows: pa.Table, seqs: pa.ChunkedArray) -> None:
        """Have rows that a life before this one had streamed looked for, if some were refused."""
        assert lane.channel is not None
        if lane.channel.opened.errors > lane.kept.errors:
            self.outstanding.replayed(lane.stream, lane.channel, rows, seqs)
            self._worker.add()

    def mark(self, position: Position) -> None:
        """End a group; never blocks."""
        seen = self._seen() if position.complete else {}
        ends = [End(lane.stream, lane.ended) for lane in self._lanes if lane.unsaved and lane.ended]
        mark = Mark(position, seen, ends)
        self.outstanding.mark(position)
        self._durability.mark(mark)
        self._worker.add(mark)

    def _seen(self) -> dict[Stream, str]:
        return {lane.stream: lane.seen for lane in self._lanes if lane.seen}

    def durable(self) -> tuple[Position, Sequence[Rejected]] | None:
        """Return the last mark that became durable since the last call; never blocks."""
        self._worker.check()
        position = self._durability.tell()
        return None if position is None else (position, self._reports.tell())

    def go_on(self) -> None:
        """The run goes on, so that what it was told is saved; never blocks."""
        self._durability.go_on()
        self._reports.go_on()

    def finish(self, patience: float) -> None:
        """Keep that what was told is saved, at the end of a run."""
        self.go_on()
        if self._account.lock.acquire(timeout=patience):
            try:
                self.confirm()
                self._reports.forget()
            finally:
                self._account.lock.release()

    def flush(self, position: Position) -> Sequence[Rejected]:
        """Land everything, merge what is complete; return the rows refused."""
        self.mark(position)
        self.drain()
        with self._account.lock:
            self._copies.keep_marks(list(self._lanes))
        if position.complete:
            self._mirrors.merge_all(self._seen())
        self._reports.load()
        self._durability.told(position)
        return self._reports.tell()

    def drain(self) -> None:
        """Wait until everything has landed and is committed. Raises what went wrong meanwhile."""
        self._worker.drain()

    def settle(self, lane: Lane) -> None:
        """Land everything, and merge all that is landed of a stream, complete or not."""
        self.drain()
        self._mirrors.merge(lane, lane.mark, by_task=False)

    def forget(self) -> None:
        """Drop what is not durable: it may come again."""
        self._worker.stop()
        self._durability.forget()
        self._reports.abort()
        self.outstanding.clear()

    def confirm(self) -> None:
        """Keep which ends of histories' snapshots are known to be saved."""
        for end in self._durability.take_saved():
            if (lane := self._lanes.find(end.stream)) is not None:
                with self._account.lock:
                    lane.confirm(end.generation)

    def supersede(self, lane: Lane) -> None:
        """A stream begins anew."""
        if not lane.history:
            self._reports.supersede(lane.stream)

    def saved(self, lane: Lane) -> None:
        """A stream's last end of a snapshot was saved: its source has gone on behind it."""
        self._durability.saved(End(lane.stream, lane.kept.generation))

    def _room(self) -> None:
        most = _ROOM * int(self._account.config.bulk_bytes)
        self._worker.wait_for(lambda: self._jobs.bytes + self.outstanding.bytes <= most)

    # What follows runs on the worker's thread.

    def _step(self, jobs: Sequence[Job]) -> None:
        for loads in together([job for job in jobs if isinstance(job, Load)]):
            self._copies.land(loads)
            self._worker.landed(loads)
        self.confirm()
        self._reports.forget()
        self._look()
        self._reports.load()
        marks = [job for job in jobs if isinstance(job, Mark)]
        self._note_ends(marks)
        done = self.outstanding.durable()
        self._durability.reach(
            landed=marks[-1].position if marks else None, streamed=done[0] if done else None
        )
        if self._mirrors.due and self._durability.complete:
            self._mirrors.merge_all(self._durability.ready())

    def _note_ends(self, marks: Sequence[Mark]) -> None:
        """Keep with ends of snapshots the position that says that they are saved, before anybody has it."""
        for mark in marks:
            for end in mark.ends:
                if (lane := self._lanes.find(end.stream)) is not None:
                    with self._account.lock:
                        lane.note_end(end.generation, mark.position)

    def _look(self) -> None:
        """Ask what is committed, and keep what was found to be refused, before it counts as durable."""
        if self.outstanding.waiting:
            self.outstanding.poll()
        refused, errors = self.outstanding.found()
        if refused or errors:
            self._reports.found(refused, errors)

    def _committed(self, lane: Lane) -> None:
        """Wait until what was streamed is committed."""
        while lane.channel is not None and lane.channel.sent is not None:
            if self.outstanding.reached(lane.channel, lane.channel.sent):
                return
            self.outstanding.poll()
            self.outstanding.check()
            if self._worker.ending or self.given_up.wait(_PAUSE):
                raise RetryableError("gave up waiting for streamed rows")

    def _find(self, stream: Stream, first: str, last: str) -> Collection[str]:
        """Say which seqs of a range are in the table that a stream lands in."""
        lane, account = self._lanes.find(stream), self._account
        assert lane is not None
        column = account.names.column("_etl_seq")
        text, bound = column, "?"
        if lane.history:
            text, bound = f"LOWER(TO_VARCHAR({column}, 'HEX'))", "TO_BINARY(?, 'HEX')"
        with account.lock:
            rows = account.session.execute(
                f"SELECT {text} FROM {lane.landing} WHERE {column} BETWEEN {bound} AND {bound}", (first, last)
            )
        return [str(row[0]) for row in rows]

    def _merged(self, stream: Stream) -> str | None:
        """Say how far a mirror is merged now, by whomever."""
        lane, account = self._lanes.find(stream), self._account
        if lane is None or lane.history:
            return None
        with account.lock:
            kept = control.find(account.session, account.names, account.pipeline, stream)
        return kept.merged if kept else None
