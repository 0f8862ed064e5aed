"""Connections in the middle of a copy: what arrives goes to a decoder in bulk.

`Bulk` reads the socket of a plain connection itself, without the GIL. `Fed` reads through Python, where
there is TLS or where only libpq knows how: it feeds what came. Errors are those of `etl_core.errors`.
"""

from __future__ import annotations

import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from etl_core import Cancelled, Context, FatalError, RetryableError
from etl_pglib.secure.messages import failure, query
from etl_postgres_cdc.events import Copier, Decoder, Event, Happening
from etl_postgres_cdc.waiting import readable, writable

__all__ = ["Bulk", "Channel", "Fed", "Link", "unreadable"]

#: Seconds to sleep while much comes over TCP, so that the server sends more at once.
_NAP = 0.0005
#: Bytes that come during a nap only if the server has more than it can send.
_MUCH = 4 << 10
#: Seconds for the server to take a few bytes.
_SENDING = 10.0
_HEADER = 5
_READY, _ERROR, _STARTED = b"Z", b"E", (b"W", b"H")


def unreadable(doing: str) -> FatalError:
    """Return the error for what a decoder refuses."""
    return FatalError(
        "the server sent something that is no message of pgoutput",
        "the database's encoding must be UTF8 or convertible to it",
        doing=doing,
    )


class Channel(ABC):
    """Where a copy's messages come from. One thread reads; `send` may be called by another."""

    def __init__(self, ctx: Context, doing: str) -> None:
        self._ctx = ctx
        self._doing = doing

    def next(self, decoder: Decoder | Copier, timeout: float) -> Happening:
        """Receive and decode until an event; IDLE after `timeout` seconds.

        Raises RetryableError when the connection has ended, the error that the server sent, or FatalError
        when what it sent cannot be read.
        """
        with self._translated():
            happening = self._receive(decoder, timeout)
        event, _, data, _ = happening
        if event == Event.FAILED and data is not None:
            if self._ctx.cancel.is_set():
                raise Cancelled
            raise failure(data, self._doing)
        return happening

    @abstractmethod
    def start(self, sql: str, doing: str) -> None:
        """Run a command that begins a copy. Raises what the server says of it."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send a payload into the copy; from any thread. Raises RetryableError."""

    @abstractmethod
    def discard(self, timeout: float) -> None:
        """Wait for what comes and drop it."""

    @abstractmethod
    def _receive(self, decoder: Decoder | Copier, timeout: float) -> Happening: ...

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except EOFError:
            raise self._ended() from None
        except OSError:
            raise self._ended() from None
        except ValueError:
            raise unreadable(self._doing) from None

    def _ended(self) -> BaseException:
        if self._ctx.cancel.is_set():
            return Cancelled()
        return RetryableError("the server ended the connection", doing=self._doing)


class Bulk(Channel):
    """A connection without TLS whose socket is ours to read, from where the server is ready for a command.

    `fd` stays its owner's to close.
    """

    def __init__(self, ctx: Context, fd: int, doing: str) -> None:
        super().__init__(ctx, doing)
        self._fd = fd
        self._lock = threading.Lock()
        with socket.socket(fileno=fd) as peek:
            self._nap = 0.0 if peek.family == getattr(socket, "AF_UNIX", None) else _NAP
            peek.detach()

    def start(self, sql: str, doing: str) -> None:
        with self._translated():
            self._write(query(sql))
            error: BaseException | None = None
            while True:
                kind, body = self._message()
                if kind in _STARTED:
                    return
                if kind == _ERROR:
                    error = failure(body, doing)
                if kind == _READY:
                    raise error or FatalError("the server did not begin to copy", doing=doing)

    def send(self, data: bytes) -> None:
        with self._lock, self._translated():
            self._write(b"d" + (len(data) + 4).to_bytes(4) + data)

    def discard(self, timeout: float) -> None:
        if readable(self._fd, timeout):
            with self._socket() as connection, self._translated():
                while self._piece(connection):
                    pass

    def _piece(self, connection: socket.socket) -> bool:
        try:
            data = connection.recv(1 << 18, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not data:
            raise EOFError
        return True

    def _receive(self, decoder: Decoder | Copier, timeout: float) -> Happening:
        return decoder.pump(self._fd, timeout, self._nap)

    @contextmanager
    def _socket(self) -> Iterator[socket.socket]:
        connection = socket.socket(fileno=self._fd)
        try:
            yield connection
        finally:
            connection.detach()

    def _message(self) -> tuple[bytes, bytes]:
        """Read exactly one message, so that nothing behind it is taken."""
        header = self._exactly(_HEADER)
        return header[:1], self._exactly(int.from_bytes(header[1:]) - 4)

    def _exactly(self, size: int) -> bytes:
        data = b""
        with self._socket() as connection:
            while len(data) < size:
                if self._ctx.cancel.is_set():
                    raise Cancelled
                if readable(self._fd, self._ctx.poll_interval):
                    piece = connection.recv(size - len(data))
                    if not piece:
                        raise EOFError
                    data += piece
        return data

    def _write(self, data: bytes) -> None:
        deadline = time.monotonic() + _SENDING
        left = memoryview(data)
        with self._socket() as connection:
            while left:
                if not writable(self._fd, deadline - time.monotonic()):
                    raise RetryableError("the server does not take what is sent", doing=self._doing)
                with suppress(BlockingIOError):
                    left = left[connection.send(left, socket.MSG_DONTWAIT) :]


class Link(ABC):
    """What a `Fed` channel reads from."""

    @abstractmethod
    def start(self, sql: str, doing: str) -> None: ...

    @abstractmethod
    def wait(self, timeout: float) -> bool: ...

    @abstractmethod
    def fill(self, sink: Callable[[Any], object]) -> int:
        """Hand over what has come, as messages of the wire; return how many bytes that were."""

    @abstractmethod
    def send(self, data: bytes) -> None: ...


class Fed(Channel):
    """A connection that Python reads."""

    def __init__(self, ctx: Context, link: Link, doing: str) -> None:
        super().__init__(ctx, doing)
        self._link = link

    def start(self, sql: str, doing: str) -> None:
        self._link.start(sql, doing)

    def send(self, data: bytes) -> None:
        self._link.send(data)

    def discard(self, timeout: float) -> None:
        if self._link.wait(timeout):
            self._link.fill(lambda _: None)

    def _receive(self, decoder: Decoder | Copier, timeout: float) -> Happening:
        deadline = time.monotonic() + timeout
        came = hurry = False
        while True:
            event = decoder.run()
            if event is not None:
                return event
            started = time.monotonic()
            if started >= deadline:
                return Event.IDLE, 0, None, came
            if hurry:
                time.sleep(_NAP)
            elif not self._link.wait(deadline - started):
                continue
            elif time.monotonic() - started < _NAP:
                time.sleep(_NAP)  # it was there at once: let more gather
            size = self._link.fill(decoder.feed)
            came, hurry = came or size > 0, size >= _MUCH
