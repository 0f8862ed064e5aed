"""Connections: catalog queries, COPY, and walsenders.

The only file that imports psycopg. Every error leaves it as one of `etl_core.errors`.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import pq

from etl_core import Cancelled, Context, EtlError, RetryableError, Secret
from etl_pglib import client as pglib
from etl_pglib.secure import Secure, copy_data, open_secure
from etl_postgres_cdc.channel import Bulk, Channel, Fed, Link
from etl_postgres_cdc.events import Decoder, Happening
from etl_postgres_cdc.waiting import readable

__all__ = ["Catalog", "Replication"]

_APPLICATION = "etl-core"
#: Microseconds from the Unix epoch to PostgreSQL's.
_EPOCH = 946_684_800_000_000
_STATUS = struct.Struct(">cqqqqB")
_STREAMING = "reading the stream of changes"
_COPYING = "copying a table"
#: Seconds for interrupting a command.
_CANCEL = 1.0
#: Bytes that a decoder is fed at once.
_LIMIT = 4 << 20


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
        #: Seconds after which a query that has no answer is given up; None waits for ever, as for a lock.
        self.patience: float | None = None

    @property
    def version(self) -> int:
        return self.connection.info.server_version

    def query(self, sql: str, *parameters: object, doing: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows, if it has any.

        Raises RetryableError when no answer comes within `patience`; the connection is over then.
        """
        with self._ctx.measure("query"), self._watched(doing), _translated(doing, self._ctx):
            cursor = self.connection.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def _watched(self, doing: str) -> Iterator[None]:
        """Give the connection up when the block takes too long: a network may forget it without a word."""
        patience = self.patience
        if patience is None:
            yield
            return
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.interrupt()

        timer = threading.Timer(patience, give_up)
        timer.start()
        try:
            yield
        except EtlError as error:
            if late.is_set():
                raise RetryableError("the server does not answer", doing=doing, seconds=patience) from error
            raise
        finally:
            timer.cancel()
            timer.join()

    def copy(self, sql: str, doing: str) -> Generator[bytes, None, None]:
        """Run a COPY TO STDOUT and yield its data as it comes, a row at a time."""
        with (
            _translated(doing, self._ctx),
            self.connection.cursor() as cursor,
            cursor.copy(sql.encode()) as copy,
        ):
            for data in copy:
                yield bytes(data)

    def copy_into(self, sql: str) -> Channel:
        """Run a COPY TO STDOUT whose messages a decoder is to take; read it to its end."""
        pg = self.connection.pgconn
        channel: Channel
        if _is_plain(pg):
            channel = Bulk(self._ctx, pg.socket, _COPYING)
        else:
            channel = Fed(self._ctx, _Copied(self._ctx, pg), _COPYING)
        channel.start(sql, _COPYING)
        return channel

    def interrupt(self) -> None:
        """Stop the running statement and give the connection up; from any thread, never raises.

        The server ends the statement. Where it cannot be reached, whoever waits for it is woken.
        """
        with suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=_CANCEL)
        with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(self._socket)) as end:
            end.shutdown(socket.SHUT_RDWR)

    @property
    def _socket(self) -> int:
        return self.connection.pgconn.socket

    def close(self) -> None:
        self._forget()
        self.connection.close()


class Replication:
    """A walsender's connection. `status` may be called from another thread while `receive` is used."""

    def __init__(self, dsn: Secret, ctx: Context) -> None:
        self._ctx = ctx
        self._channel: Channel | None = None
        self._secure: Secure | None = None
        with ctx.measure("connect"):
            self._connection = pglib.connect(
                dsn, application_name=f"{_APPLICATION} {ctx.pipeline}", replication=True
            )
        self._pg = self._connection.pgconn
        self._pg.nonblocking = 1
        self._busy = False

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
        channel = self._open()
        self._busy = self._secure is None
        channel.start(sql, doing)
        self._channel = channel

    def _open(self) -> Channel:
        """Choose how the stream is read: the socket itself, Python's TLS, or libpq.

        With TLS of our own libpq's connection ends: a server has few walsenders.
        """
        if self._secure is None and _is_plain(self._pg):
            return Bulk(self._ctx, self._pg.socket, _STREAMING)
        if self._secure is None and (secure := open_secure(self._connection, replication=True)):
            self._secure = secure
            self._connection.close()
        if self._secure:
            return Fed(self._ctx, _Tls(self._ctx, self._secure), _STREAMING)
        return Fed(self._ctx, _Copied(self._ctx, self._pg), _STREAMING)

    def receive(self, decoder: Decoder, timeout: float) -> Happening:
        """Receive and decode until an event. See `Channel.next`."""
        return self._streaming().next(decoder, timeout)

    def discard(self, timeout: float) -> None:
        """Take what comes within `timeout` seconds and drop it."""
        self._streaming().discard(timeout)

    def _streaming(self) -> Channel:
        if self._channel is None:
            raise RetryableError("the stream of changes is not open")
        return self._channel

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
        return readable(self._pg.socket, timeout)

    def status(self, received: int, durable: int, ask: bool = False) -> None:
        """Tell the server what was received and what is durable; `ask` for a keepalive in return."""
        now = int(time.time() * 1_000_000) - _EPOCH
        self._streaming().send(_STATUS.pack(b"r", received, durable, durable, now, ask))

    def close(self) -> None:
        """End the connection, and what the server may still be doing for it."""
        if self._secure:
            self._secure.close()
        if self._busy and not self._connection.closed:
            with suppress(psycopg.Error):
                self._connection.cancel_safe(timeout=_CANCEL)
        self._connection.close()


class _Tls(Link):
    """A session over Python's own TLS."""

    def __init__(self, ctx: Context, secure: Secure) -> None:
        self._ctx = ctx
        self._secure = secure

    def start(self, sql: str, doing: str) -> None:
        self._secure.begin(sql, doing, self._look)

    def _look(self) -> None:
        if self._ctx.cancel.is_set():
            raise Cancelled

    def wait(self, timeout: float) -> bool:
        return self._secure.wait(timeout)

    def fill(self, sink: Callable[[Any], object]) -> int:
        size = 0

        def counted(data: memoryview) -> None:
            nonlocal size
            size += len(data)
            sink(data)

        self._secure.fill(counted)
        return size

    def send(self, data: bytes) -> None:
        self._secure.send(copy_data(data))


class _Copied(Link):
    """A copy that libpq reads: a call per message, for what only libpq can speak."""

    def __init__(self, ctx: Context, pg: pq.abc.PGconn) -> None:
        self._ctx = ctx
        self._pg = pg
        self._lock = threading.Lock()
        self._fresh = True
        self._ended = False

    def start(self, sql: str, doing: str) -> None:
        with _translated(doing, self._ctx):
            result = _answer(self._pg, sql, self._ctx)
            if result is None or result.status not in _COPIES:
                while self._pg.get_result() is not None:
                    pass
                raise _error(result)

    def wait(self, timeout: float) -> bool:
        return self._fresh or readable(self._pg.socket, timeout)

    def fill(self, sink: Callable[[Any], object]) -> int:
        """Take what libpq has and can have, up to a limit."""
        size = 0
        while size < _LIMIT and (more := self._slice(sink)):
            size += more
        self._fresh = size >= _LIMIT  # there may be more of which the socket does not tell
        return size

    def _slice(self, sink: Callable[[Any], object]) -> int:
        size = 0
        with self._lock, _translated("reading a copy", self._ctx):
            self._pg.consume_input()
            while not self._ended:
                length, data = self._pg.get_copy_data(1)
                if length == 0:
                    break
                if length < 0:
                    return size + self._end(sink)
                size += length
                sink(copy_data(bytes(data)))
                if size >= _LIMIT:
                    break
        return size

    def _end(self, sink: Callable[[Any], object]) -> int:
        """Finish a copy that the server has ended, as the wire would show it."""
        self._ended = True
        result = self._pg.get_result()
        if result is None or result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.COPY_IN):
            raise _error(result)
        if result.status == pq.ExecStatus.COMMAND_OK:
            while self._pg.get_result() is not None:
                pass
        end = _COPY_DONE + _READY_FOR_QUERY
        sink(end)
        return len(end)

    def send(self, data: bytes) -> None:
        with self._lock, _translated("confirming changes", self._ctx):
            self._pg.put_copy_data(data)
            self._pg.flush()


_COPIES = (pq.ExecStatus.COPY_BOTH, pq.ExecStatus.COPY_OUT)
_COPY_DONE = b"c\0\0\0\4"
_READY_FOR_QUERY = b"Z\0\0\0\5T"
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.COPY_BOTH)


def _is_plain(pg: pq.abc.PGconn) -> bool:
    """Whether the socket carries the protocol as it is: neither TLS nor, perhaps, GSS encryption."""
    return not (pg.ssl_in_use or pg.used_gssapi)


def _answer(pg: pq.abc.PGconn, sql: str, ctx: Context) -> pq.abc.PGresult | None:
    """Send a query and return its first result; a cancel ends the wait."""
    pg.send_query(sql.encode())
    pg.flush()
    while pg.is_busy():
        if ctx.cancel.is_set():
            raise Cancelled
        readable(pg.socket, ctx.poll_interval)
        pg.consume_input()
    return pg.get_result()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _error(result: pq.abc.PGresult | None) -> Exception:
    """Return the error that ended a command or a stream; a stream that just ends was cut by the server."""
    if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
        return psycopg.errors.error_from_result(result)
    return RetryableError("the server ended the stream of changes")
