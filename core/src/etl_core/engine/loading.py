"""The loop of the loading thread: takes what the source's thread queued, decides when to commit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from etl_core.engine.reading import End, Item, Stopped
from etl_core.errors import Cancelled, SchemaError
from etl_core.model import Batch, Kind, Position, Stream

if TYPE_CHECKING:
    from etl_core.config import CommitPolicy
    from etl_core.engine.committing import Committer
    from etl_core.engine.feeding import Feeder
    from etl_core.engine.holding import Holder
    from etl_core.engine.queue import ByteQueue
    from etl_core.result import PipelineResult

__all__ = ["LoadStage", "Rewritten"]

_LONGEST_WAIT = 0.5
_MARK_POLL = 0.02


class Rewritten(Exception):
    """A stream's stored values changed without being sent; `position` lies just before, durable."""

    def __init__(self, stream: Stream, position: Position) -> None:
        super().__init__(stream)
        self.stream = stream
        self.position = position


class LoadStage:
    """Consumes the queue of one attempt until its end.

    `pending` is the newest position whose rows have all arrived; it can be committed as long as nothing
    that lies behind it was written or buffered (`_clean`).
    """

    def __init__(
        self,
        *,
        queue: ByteQueue[Item | End | Stopped],
        feeder: Feeder,
        committer: Committer,
        commit: CommitPolicy,
        on_rewrite: str,
        transactional_ddl: bool,
        resume: Position,
        result: PipelineResult,
        look: Callable[[], None],
        holder: Holder | None = None,
    ) -> None:
        self._queue = queue
        self._feeder = feeder
        self._committer = committer
        self._commit = commit
        self._on_rewrite = on_rewrite
        self._transactional_ddl = transactional_ddl
        self._result = result
        self._look = look
        self._holder = holder
        self._pending = self._committed = resume
        self._clean = True
        self._since: float | None = None

    def run(self) -> None:
        """Load until the read ends. Raises Cancelled after a stop, once what can be is durable."""
        while True:
            item = self._receive()
            self._look()
            self._committer.poll()
            if isinstance(item, End):
                return self._finish(item.position)
            if isinstance(item, Stopped):
                return self._stop()
            if item is not None:
                self._take(item)
            self._feeder.write_due()
            if self._commit_due():
                self._commit_pending()

    def _receive(self) -> Item | End | Stopped | None:
        started = time.perf_counter()
        item = self._queue.get(self._patience())
        timing = self._result.destination
        timing.receive += time.perf_counter() - started
        timing.receive_count += isinstance(item, Item)
        return item

    def _patience(self) -> float:
        """Return how long nothing but a new item matters."""
        if self._committer.outstanding:
            return _MARK_POLL
        deadlines = [self._feeder.deadline()]
        if self._since is not None and self._committable():
            deadlines.append(self._since + self._commit.max_wait)
        nearest = min((d for d in deadlines if d is not None), default=time.monotonic() + _LONGEST_WAIT)
        return min(_LONGEST_WAIT, max(0.0, nearest - time.monotonic()))

    def _take(self, item: Item) -> None:
        for ready in self._holder.feed(item) if self._holder else (item,):
            self._process(ready)

    def _process(self, item: Item) -> None:
        batch, stream = item.batch, item.batch.stream
        if stream is None or batch.kind is Kind.PROGRESS:
            self._reached(item)
        elif batch.kind is Kind.SCHEMA:
            self._reached(item)
            self._take_schema(batch, stream)
        elif batch.kind is Kind.ROWS:
            self._clean &= not self._feeder.rows(batch, stream, self._before_change)
            self._reached(item)
        else:
            self._feeder.marker(batch, stream, self._before_change)
            self._clean = False
            self._reached(item)
        if self._since is None:
            self._since = time.monotonic()

    def _reached(self, item: Item) -> None:
        """Note the item's position, if whole transactions allow to stop there."""
        if item.position is not None and self._may_stop_at(item.position):
            self._pending = item.position
            self._clean = True

    def _may_stop_at(self, position: Position) -> bool:
        return position.complete or not self._commit.whole_transactions

    def _take_schema(self, batch: Batch, stream: Stream) -> None:
        if any(change.rewrites for change in batch.changes):
            self._feeder.drain(stream)
            self._rewritten(batch, stream)
        self._feeder.schema(batch, stream, self._before_change)

    def _rewritten(self, batch: Batch, stream: Stream) -> None:
        if self._on_rewrite == "fail" or batch.position is None:
            raise SchemaError(
                "stored values of a stream changed without being sent",
                "set load.on_rewrite to resnapshot, or undo the change at the source",
                stream=str(stream),
                changes=[repr(change) for change in batch.changes if change.rewrites],
            )
        self._settle()
        raise Rewritten(stream, self._committer.durable)

    def _before_change(self) -> None:
        if not self._transactional_ddl and self._committable():
            self._commit_pending()

    def _committable(self) -> bool:
        return self._clean and self._pending.order > self._committed.order

    def _commit_due(self) -> bool:
        if not self._committable() or self._since is None:
            return False
        waited = time.monotonic() - self._since >= self._commit.max_wait
        return waited or self._feeder.bytes >= self._commit.max_bytes

    def _commit_pending(self) -> None:
        self._feeder.drain()
        self._look()
        self._committer.commit(self._pending)
        self._committed = self._pending
        self._feeder.bytes = 0
        self._since = None

    def _finish(self, position: Position | None) -> None:
        if position is not None and self._may_stop_at(position):
            for item in self._holder.release() if self._holder else ():
                self._process(item)
            self._pending = position
            self._clean = True
        self._settle()

    def _stop(self) -> None:
        self._settle()
        raise Cancelled

    def _settle(self) -> None:
        """Make durable what can be. A flush would take with it what lies behind the last position."""
        if self._committable():
            self._commit_pending()
        if self._clean:
            self._committer.drain()
