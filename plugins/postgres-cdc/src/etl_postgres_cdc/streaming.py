"""Following the stream of changes: reading, keeping the connection alive, pausing for snapshots."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from etl_core import Batch, FatalError, RetryableError
from etl_pglib.names import quote_ident
from etl_postgres_cdc import slots
from etl_postgres_cdc.events import Decoder, Event, Happening
from etl_postgres_cdc.feedback import Feedback
from etl_postgres_cdc.position import format_lsn
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.snapshot import take
from etl_postgres_cdc.startup import RESTART, refresh, verify_publication, verify_slot
from etl_postgres_cdc.transactions import Transactions
from etl_postgres_cdc.wal import nudge

__all__ = ["Streaming"]

#: Seconds: to let small transactions gather when nothing more has come, and at most in any case.
_LINGER = 0.02
_LONGEST = 0.1
#: Seconds of decoding after which a commit is looked at.
_SLICE = 0.05
#: Seconds between positions of a stream without rows.
_PROGRESS = 3.0
#: Seconds between questions how far the server has read, when the read is to end.
_ASK = 0.05
#: Seconds to wait for the server to take the last confirmation.
_SETTLE = 2.0
#: Seconds of silence that are suffered where the server itself has no limit.
_NO_TIMEOUT = 600.0
#: Seconds that any query of the catalog may take while a stream waits for it.
_ANSWER = 10.0
_IN_USE = "55006"
_LOST = {
    "42704": "the publication did not exist at this point of the WAL",
    "55000": "the replication slot cannot be read any more",
    "58P01": "the server no longer has the WAL that the slot needs",
}
#: Seconds to wait here for a slot that is in use, before the engine's retries do.
_PATIENCE = 5.0

Batches = Iterator[Batch | None]


class Streaming:
    """Reads the slot from the session's position until `until` (an LSN) or for ever."""

    def __init__(self, session: Session, until: int | None) -> None:
        self._session = session
        self._ctx = session.ctx
        self._progress = session.progress
        self._until = reach(session, until)
        self._transactions = Transactions(session)
        self._transactions.delivered = session.progress.lsn
        ((timeout,),) = session.catalog.query(
            "SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'",
            doing="reading wal_sender_timeout",
        )
        self._timeout = (timeout or 60_000) / 1000
        self._longest_silence = self._timeout if timeout else _NO_TIMEOUT
        session.catalog.patience = max(_ANSWER, self._longest_silence)
        self._feedback = Feedback(session.replication, session.progress.lsn, min(10.0, self._timeout / 4))
        now = time.monotonic()
        self._yielded = self._positioned = now
        self._asked = -math.inf
        self._silence = 0.0
        self._refresh_at = now + session.config.refresh
        self._heartbeat_at = now + session.config.heartbeat if session.config.heartbeat else math.inf

    def run(self) -> Batches:
        """Yield batches, None at least every poll interval."""
        try:
            yield from self._start()
            yield from self._fed()
        except FatalError as error:
            raise self._explained(error) from None
        finally:
            self._transactions.close()

    def _fed(self) -> Batches:
        """Follow the stream while the feedback thread runs."""
        thread = self._ctx.spawn(self._feedback.run, name="feedback")
        try:
            yield from self._follow()
        finally:
            self._feedback.stop()
            thread.join()

    def ack(self, lsn: int) -> None:
        """Everything up to `lsn` is durable; from any thread."""
        self._feedback.ack(lsn)

    def settle(self) -> None:
        """Confirm what is durable once the read has ended and its thread with it; waits for a moment.

        A connection that the server has given up meanwhile, because nobody answered, is replaced.
        Raises RetryableError when that is of no use either.
        """
        try:
            self._confirm()
        except RetryableError:
            self._feedback.use(self._session.reconnect())
            for _ in self._start():
                pass
            self._confirm()

    def _confirm(self) -> None:
        """Confirm what is durable and wait until the slot is there."""
        session, end = self._session, time.monotonic() + _SETTLE
        durable = self._feedback.confirm(ask=True)
        while time.monotonic() < end:
            session.replication.discard(_ASK)  # a server that cannot send does not listen either
            slot = slots.find(session.catalog, session.slot)
            if slot is None or slot.confirmed >= durable:
                return
        raise RetryableError("the server did not take the last confirmation", slot=session.slot)

    def _explained(self, error: FatalError) -> FatalError:
        """Name what it means when the server cannot decode from here on."""
        reason = _LOST.get(str(error.facts.get("sqlstate")))
        return self._session.lost(reason, RESTART, **error.facts) if reason else error

    def _start(self) -> Batches:
        session = self._session
        # In the grammar of replication commands a backslash stands for itself.
        publication = "'" + quote_ident(session.publication).replace("'", "''") + "'"
        options = f"proto_version '2', streaming 'on', publication_names {publication}"
        sql = (
            f"START_REPLICATION SLOT {quote_ident(session.slot)} LOGICAL "
            f"{format_lsn(session.progress.lsn)} ({options})"
        )
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                session.replication.start(sql, "starting to stream")
            except RetryableError as error:
                if error.facts.get("sqlstate") != _IN_USE or time.monotonic() >= deadline:
                    raise self._in_use(error) from None
            else:
                verify_slot(session, session.progress)  # only now nobody else can move it
                return
            yield None
            self._ctx.cancel.wait(self._ctx.poll_interval)

    def _in_use(self, error: RetryableError) -> RetryableError:
        if error.facts.get("sqlstate") != _IN_USE:
            return error
        slot = slots.find(self._session.catalog, self._session.slot)
        return RetryableError(
            "the replication slot is in use",
            "another run of this pipeline, or a connection that the server has not given up yet",
            retry_after=self._timeout / 4,
            slot=self._session.slot,
            pid=slot.active_pid if slot else None,
        )

    def _follow(self) -> Batches:
        decoder = self._transactions.decoder
        while not self._ctx.cancel.is_set():
            decoder.due = time.monotonic() + _SLICE
            happening = self._receive(decoder)
            yield from self._take(happening)
            if not self._transactions.open:
                yield from self._between()
                if self._reached():
                    yield from self._last()
                    return
            if time.monotonic() - self._yielded >= self._ctx.poll_interval:
                yield self._note(None)

    def _receive(self, decoder: Decoder) -> Happening:
        """Receive the next event. Raises RetryableError when the server has not said a word for too long.

        It answers when asked, and speaks up by itself at half of its own timeout.
        """
        started = time.monotonic()
        with self._ctx.measure("fetch"):
            happening = self._session.replication.receive(decoder, self._patience())
        event, _, _, came = happening
        before = self._silence
        self._silence = 0.0 if event != Event.IDLE or came else before + time.monotonic() - started
        if before < self._longest_silence / 2 <= self._silence:
            self._feedback.ask()
        if self._silence >= self._longest_silence:
            raise RetryableError("the server has gone silent", seconds=self._longest_silence)
        return happening

    def _patience(self) -> float:
        """Return how long to wait: what is gathered goes out when nothing has come for a moment."""
        return _LINGER if self._gathered else self._ctx.poll_interval

    @property
    def _gathered(self) -> bool:
        return self._transactions.waiting and not self._transactions.open

    def _take(self, happening: Happening) -> Batches:
        event, number, _, flag = happening
        for batch in self._transactions.take(happening):
            yield self._note(batch)
        self._feedback.received(self._progress.lsn, answer=False)
        if event == Event.KEEPALIVE:
            self._keepalive(number, answer=flag)
        elif event == Event.ENDED:
            raise RetryableError("the server ended the stream of changes")
        elif event == Event.IDLE and not flag:
            yield from self._idle()

    def _keepalive(self, end: int, *, answer: bool) -> None:
        if not self._transactions.open and self._progress.cut is None:
            self._progress.lsn = max(self._progress.lsn, end)
        self._feedback.received(end, answer)
        if answer:  # a server that is about to stop waits until all it sent is confirmed
            self._positioned = -math.inf

    def _idle(self) -> Batches:
        """Nothing has come for a moment."""
        now = time.monotonic()
        if self._until is not None and now >= self._asked + _ASK:
            self._asked = now
            self._feedback.ask()
        if self._gathered:
            yield from self._flush()

    def _between(self) -> Batches:
        """Do what is due while no transaction is open."""
        now = time.monotonic()
        if self._transactions.waiting and now - self._positioned >= _LONGEST:
            yield from self._flush()
        if self._transactions.unknown or now >= self._refresh_at:
            self._refresh()
        if self._progress.pending:
            yield from self._copy()
        if now >= self._heartbeat_at:
            self._beat()
        if self._moved() and now - self._positioned >= _PROGRESS:
            yield from self._flush()

    def _moved(self) -> bool:
        """Whether the position has moved without rows since it was handed out."""
        return (
            self._progress.cut is None
            and not self._transactions.waiting
            and self._progress.lsn > self._transactions.delivered
        )

    def _reached(self) -> bool:
        done = self._until is not None and self._progress.lsn >= self._until
        return done and not self._progress.pending

    def _last(self) -> Batches:
        if self._transactions.waiting or self._moved():
            yield from self._flush()

    def _flush(self) -> Batches:
        for batch in self._transactions.flush():
            yield self._note(batch)

    def _note(self, batch: Batch | None) -> Batch | None:
        self._yielded = time.monotonic()
        if batch is not None and batch.position is not None:
            self._positioned = self._yielded
        return batch

    def _copy(self) -> Batches:
        """Pause the stream and copy tables; the server keeps what comes meanwhile."""
        if self._transactions.waiting:
            yield from self._flush()
        for batch in take(self._session):
            yield self._note(batch)
        self._transactions.forget_targets()
        self._until = reach(self._session, self._until)

    def _refresh(self) -> None:
        """Look for tables that joined."""
        self._refresh_at = time.monotonic() + self._session.config.refresh
        verify_publication(self._session, self._progress.identity)
        if refresh(self._session) or self._transactions.unknown:
            self._transactions.forget_targets()

    def _beat(self) -> None:
        """Write a message into the WAL, so that there is something to confirm."""
        every = self._session.config.heartbeat
        self._heartbeat_at = time.monotonic() + every if every else math.inf
        if every:
            nudge(self._session.catalog)


def reach(session: Session, until: int | None) -> int | None:
    """Return where a finite read ends: not before all snapshots, so that tables fit each other."""
    if until is None:
        return None
    return max([until, *(table.snapshot or 0 for table in session.progress.tables.values())])
