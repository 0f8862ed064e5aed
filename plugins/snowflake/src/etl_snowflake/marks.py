"""Marks that are outstanding: groups of streamed rows that the service has accepted and not yet committed.

A group is durable when every channel's committed token has reached the group's. Rows are kept until then: a
channel whose error count has grown refused some of them without saying which, and these are found by
reading which seqs are in the table.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from etl_core import EtlError, Position, Rejected, RetryableError, Stream
from etl_snowflake.sending import Group, Sent, Waiting
from etl_snowflake.streaming import Channel, Wait

__all__ = ["REJECTED", "Find", "Outstanding"]

#: The code of a row that the service refused without a word.
REJECTED = "snowflake_rejected"
_PAUSE = 0.2

#: Say which of the seqs (hex) in a range, ends included, are in the table that a stream's channel writes
#: into. Called on the thread that calls `poll` or `settle`.
Find = Callable[[Stream, str, str], Collection[str]]
#: Say up to which seq rows of a stream are merged, and so no longer where they had landed.
Merged = Callable[[Stream], str | None]


class Outstanding:
    """The groups that are not durable, in order. `poll` may run on a thread of its own."""

    def __init__(self, find: Find, patience: float = 300.0, merged: Merged = lambda stream: None) -> None:
        """`patience`: seconds without progress after which waiting fails with RetryableError."""
        self._find = find
        self._merged = merged
        self._patience = patience
        self._lock = threading.RLock()
        #: One thread asks at a time: what an older answer says must not replace what a newer one said.
        self._asking = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._channels: dict[Channel, Waiting] = {}
        self._groups: deque[Group] = deque()
        self._needs: dict[Waiting, str] = {}
        self._rejected: list[Rejected] = []
        self._failure: EtlError | None = None
        self._progress = time.monotonic()
        self.bytes = 0

    def sent(
        self, stream: Stream, channel: Channel, rows: pa.Table, seqs: pa.Array | pa.ChunkedArray
    ) -> None:
        """Rows were appended to a channel: as the loader handed them over, with their hex seqs."""
        self._keep(stream, channel, rows, seqs, doubtful=False)

    def replayed(
        self, stream: Stream, channel: Channel, rows: pa.Table, seqs: pa.Array | pa.ChunkedArray
    ) -> None:
        """Rows at or below the channel's token came again: looked for if the channel ever refused rows."""
        if channel.opened.errors:
            self._keep(stream, channel, rows, seqs, doubtful=True)

    def _keep(
        self,
        stream: Stream,
        channel: Channel,
        rows: pa.Table,
        seqs: pa.Array | pa.ChunkedArray,
        *,
        doubtful: bool,
    ) -> None:
        if not rows.num_rows:
            return
        whole = seqs.combine_chunks() if isinstance(seqs, pa.ChunkedArray) else seqs
        kept = Sent(stream, rows, whole, doubtful)
        with self._lock:
            if not self.waiting:
                self._progress = time.monotonic()
            waiting = self._channels.setdefault(channel, Waiting(stream, channel, channel.opened))
            waiting.sent.append(kept)
            self._needs[waiting] = kept.last
            self.bytes += rows.nbytes

    @property
    def waiting(self) -> bool:
        """Whether rows wait for their commit."""
        with self._lock:
            return any(waiting.sent for waiting in self._channels.values())

    def reached(self, channel: Channel, token: str) -> bool:
        """Whether all that was sent up to a token is committed, as far as is known."""
        with self._lock:
            waiting = self._channels.get(channel)
            return waiting is None or waiting.reached(token)

    def check(self) -> None:
        """Raise what went wrong."""
        with self._lock:
            self._raise()

    def mark(self, position: Position) -> None:
        """End a group; never blocks."""
        with self._lock:
            self._groups.append(Group(position, self._needs))
            self._needs = {}

    def poll(self) -> None:
        """Ask the service once about each channel that is waited for, and look for refused rows.

        Does not raise: what went wrong is raised by the next `durable` or `settle`.
        """
        with self._asking:
            with self._lock:
                busy = [waiting for waiting in self._channels.values() if waiting.sent]
            try:
                self._ask_all(busy)
            except EtlError as error:
                self._failure = error

    def _ask_all(self, busy: Sequence[Waiting]) -> None:
        for waiting in busy:
            self._ask(waiting)
        if busy and time.monotonic() - self._progress > self._patience:
            raise RetryableError("streamed rows were not committed in time", seconds=self._patience)

    def _ask(self, waiting: Waiting) -> None:
        state = waiting.channel.state()
        if state.committed is None:
            return
        with self._lock:
            covered = waiting.covered(state.committed)
        found = self._look(waiting, covered, state.errors)
        with self._lock:
            waiting.take_out(state.committed)
            waiting.known = state
            waiting.looked = max([waiting.looked, *(part.last for part in covered)])
            if not waiting.sent:
                waiting.found = max(waiting.found, state.errors)
            self._rejected += found
            self.bytes = sum(part.rows.nbytes for each in self._channels.values() for part in each.sent)
            if covered:
                self._progress = time.monotonic()

    def _look(self, waiting: Waiting, covered: Sequence[Sent], refused: int) -> list[Rejected]:
        """Look for rows that are not there, where more were refused than are found.

        So the count may be ahead of the token.
        """
        found: list[Rejected] = []
        more = refused > waiting.found
        for part in covered:
            if part.doubtful or more:
                missing = self._missing(part)
                found += missing
                if not part.doubtful:
                    waiting.found += sum(each.rows.num_rows for each in missing)
        return found

    def _missing(self, part: Sent) -> list[Rejected]:
        """Look for rows that were to be in the table."""
        there = pa.array(self._find(part.stream, str(part.seqs[0]), part.last), pa.string())
        absent = pc.invert(pc.is_in(part.seqs, value_set=there))
        if pc.any(absent).as_py() and (merged := self._merged(part.stream)):  # a task merges, too
            absent = pc.and_(absent, pc.greater(part.seqs, merged))
        rows = part.rows.filter(absent)
        return [Rejected(part.stream, rows, REJECTED)] if rows.num_rows else []

    def durable(self) -> tuple[Position, Sequence[Rejected]] | None:
        """Return the last mark that became durable since the last call, with rows refused; never blocks."""
        with self._lock:
            self._raise()
            position = None
            while self._groups and self._groups[0].done:
                position = self._groups.popleft().position
            return None if position is None else (position, self._taken())

    def found(self) -> tuple[Sequence[Rejected], dict[Stream, int]]:
        """Return the rows refused since the last call, and per stream how many are found now in all."""
        with self._lock:
            answers: dict[Stream, int] = {}
            for waiting in self._channels.values():
                if waiting.complete and waiting.found > waiting.told:
                    answers[waiting.stream] = waiting.told = waiting.found
            return self._taken(), answers

    def _taken(self) -> Sequence[Rejected]:
        rejected, self._rejected = self._rejected, []
        return rejected

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def settle(self, wait: Wait) -> Sequence[Rejected]:
        """Wait until everything sent is committed, marked or not; return the rows refused since `durable`.

        `wait(seconds)` sleeps and says whether to give up, which is a RetryableError.
        """
        while True:
            self.poll()
            with self._lock:
                self._raise()
                if not self.waiting:
                    return self._taken()
            if wait(_PAUSE):
                raise RetryableError("gave up waiting for streamed rows")

    def clear(self) -> None:
        """Forget everything: it may come again, or `flush` has answered for it."""
        with self._asking, self._lock:
            self._forget()
