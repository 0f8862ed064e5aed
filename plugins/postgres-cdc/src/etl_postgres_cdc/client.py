"""Connections: catalog queries, COPY, and the replication protocol through libpq.

The only file that imports psycopg. Every error leaves it as one of `etl_core.errors`.
"""

from __future__ import annotations

import select
import struct
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from attrs import frozen
from psycopg import pq

from etl_core import Cancelled, Context, RetryableError, Secret
from etl_pglib import client as pglib

__all__ = ["Catalog", "Keepalive", "Replication", "XLogData"]

_APPLICATION = "etl-core"
#: Microseconds from the Unix epoch to PostgreSQL's.
_EPOCH = 946_684_800_000_000
_XLOG_DATA = struct.Struct(">xqqq")
_KEEPALIVE = struct.Struct(">xqqB")
_STATUS = struct.Struct(">cqqqqB")
#: Bytes of messages taken at once.
_SLICE = 256 * 1024
#: Seconds for interrupting a command.
_CANCEL = 5.0


@contextmanager
def _translated(doing: str, ctx: Context) -> Iterator[None]:
    """Turn errors of psycopg into ours; one that a cancel caused is no error."""
    try:
        yield
    except psycopg.Error as error:
        if ctx.cancel.is_set():
            raise Cancelled from None
        raise pglib.translate(error, doing) from None


class Catalog:
    """An ordinary connection, for one thread. A cancel of the run interrupts what it does."""

    def __init__(self, dsn: Secret, ctx: Context) -> None:
        self._ctx = ctx
        with ctx.measure("connect"):
            self.connection = pglib.connect(dsn, application_name=f"{_APPLICATION} {ctx.pipeline}")
        self._forget = ctx.on_cancel(self.interrupt)

    @property
    def version(self) -> int:
        return self.connection.info.server_version

    def query(self, sql: str, *parameters: object, doing: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any."""
        with self._ctx.measure("query"), _translated(doing, self._ctx):
            cursor = self.connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def copy(self, sql: str, doing: str) -> Generator[bytes, None, None]:
        """Run a COPY TO STDOUT and yield its data as it comes, a row at a time."""
        with (
            _translated(doing, self._ctx),
            self.connection.cursor() as cursor,
            cursor.copy(sql.encode()) as copy,
        ):
            for data in copy:
                yield bytes(data)

    def interrupt(self) -> None:
        """Stop the running statement, if that can be done; from any thread, never raises."""
        with suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=_CANCEL)

    def close(self) -> None:
        self._forget()
        self.connection.close()


@frozen
class XLogData:
    """A message of the output plugin."""

    payload: bytes


@frozen
class Keepalive:
    """All up to `end` was sent; the server asks for an `answer` before it loses patience."""

    end: int
    answer: bool


class Replication:
    """A walsender's connection. `status` may be called from another thread while `receive` is used."""

    def __init__(self, dsn: Secret, ctx: Context) -> None:
        self._ctx = ctx
        self._lock = threading.Lock()
        with ctx.measure("connect"):
            self._connection = pglib.connect(
                dsn, application_name=f"{_APPLICATION} {ctx.pipeline}", replication=True
            )
        self._pg = self._connection.pgconn
        self._pg.nonblocking = 1
        self._busy = False
        self._ended = False

    def command(self, sql: str, doing: str) -> Generator[None, None, list[tuple[str | None, ...]]]:
        """Run a command and return its rows; yields None while the server works on it."""
        with _translated(doing, self._ctx):
            result = yield from self._send(sql)
            return [
                tuple(_text(result.get_value(row, column)) for column in range(result.nfields))
                for row in range(result.ntuples)
            ]

    def run(self, sql: str, doing: str) -> list[tuple[str | None, ...]]:
        """Run a command that the server answers at once."""
        steps = self.command(sql, doing)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                rows: list[tuple[str | None, ...]] = end.value
                return rows

    def start(self, sql: str, doing: str) -> None:
        """Run START_REPLICATION: from here on `receive` and `status` serve."""
        with _translated(doing, self._ctx):
            steps = self._send(sql)
            while True:
                try:
                    next(steps)
                except StopIteration:
                    return

    def _send(self, sql: str) -> Generator[None, None, pq.abc.PGresult]:
        self._pg.send_query(sql.encode())
        self._busy = True
        self._pg.flush()
        while self._pg.is_busy():
            if self._ctx.cancel.is_set():
                raise Cancelled
            if not self.wait(self._ctx.poll_interval):
                yield None
            self._pg.consume_input()
        result = self._pg.get_result()
        if result is None or result.status not in _GOOD:
            self._drain()
            raise _error(result)
        if result.status != pq.ExecStatus.COPY_BOTH:
            self._drain()
        return result

    def _drain(self) -> None:
        """Take the end of a command's answer, so that the next can be sent."""
        while self._pg.get_result() is not None:
            pass
        self._busy = False

    def wait(self, timeout: float) -> bool:
        """Wait until something arrives, at most `timeout` seconds; say whether it did."""
        return bool(select.select([self._pg.socket], [], [], timeout)[0])

    def receive(self) -> list[XLogData | Keepalive]:
        """Return what has arrived, in slices of bounded size; empty when nothing has. Never blocks.

        Raises RetryableError when the connection or the stream has ended.
        """
        messages: list[XLogData | Keepalive] = []
        with self._lock, _translated("reading the stream of changes", self._ctx):
            if not self._take(messages):
                self._pg.consume_input()
                self._take(messages)
            if self._ended and not messages:
                raise _error(self._pg.get_result())
        return messages

    def _take(self, messages: list[XLogData | Keepalive]) -> bool:
        size = 0
        while size < _SLICE and not self._ended:
            length, data = self._pg.get_copy_data(1)
            if length == 0:
                break
            if length < 0:
                self._ended = True
            else:
                size += length
                messages.append(_message(bytes(data)))
        return bool(messages) or self._ended

    def status(self, received: int, durable: int, ask: bool = False) -> None:
        """Tell the server what was received and what is durable; `ask` for a keepalive in return."""
        now = int(time.time() * 1_000_000) - _EPOCH
        with self._lock, _translated("confirming changes", self._ctx):
            self._pg.put_copy_data(_STATUS.pack(b"r", received, durable, durable, now, ask))
            self._pg.flush()

    def close(self) -> None:
        """End the connection, and what the server may still be doing for it."""
        with self._lock:
            if self._busy and not self._connection.closed:
                with suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=_CANCEL)
            self._connection.close()


_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.COPY_BOTH)


def _message(data: bytes) -> XLogData | Keepalive:
    if data[:1] == b"w":
        return XLogData(data[1 + 24 :])
    end, _, answer = _KEEPALIVE.unpack(data)
    return Keepalive(end, bool(answer))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _error(result: pq.abc.PGresult | None) -> Exception:
    """Return the error that ended a command or a stream; a stream that just ends was cut by the server."""
    if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
        return psycopg.errors.error_from_result(result)
    return RetryableError("the server ended the stream of changes")
