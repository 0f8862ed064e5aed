"""Bytes over TLS, whose reads and writes never hold each other up.

TLS works on memory: one read of the socket brings many records, where an `ssl.SSLSocket` reads the socket
twice for each. PostgreSQL sends a record for every message of a stream.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from attrs import define, field, frozen

from etl_pglib.secure import certificate
from etl_pglib.secure.parameters import Unsupported

__all__ = ["Channel", "Deadline"]

#: Bytes asked of the socket at once.
_CHUNK = 256 * 1024
#: Room for them, and for a record whose first part came before.
_ROOM = _CHUNK + 32 * 1024
#: Seconds for the server to take a message. A walsender takes it even while it sends.
_PATIENCE = 60.0
_CLOSED = "server closed the connection unexpectedly"


@frozen
class Deadline:
    """A moment of `time.monotonic`; None never comes."""

    at: float | None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        return cls(None if seconds is None else time.monotonic() + seconds)

    @property
    def left(self) -> float | None:
        """Seconds until then. Raises TimeoutError once it has passed."""
        if self.at is None:
            return None
        if (left := self.at - time.monotonic()) <= 0:
            raise TimeoutError("timeout expired")
        return left


@define(eq=False, repr=False)
class Channel:
    """One thread reads, any thread may `send`. Raises OSError (`ssl.SSLError` is one), also at the end."""

    _socket: socket.socket
    _tls: ssl.SSLObject
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    #: Held for what uses the TLS object; never while waiting.
    _lock: threading.Lock = field(init=False, factory=threading.Lock)
    _unsent: bytearray = field(init=False, factory=bytearray)
    _raw: memoryview = field(init=False, factory=lambda: memoryview(bytearray(_CHUNK)))
    _plain: memoryview = field(init=False, factory=lambda: memoryview(bytearray(_ROOM)))
    _end: OSError | None = field(init=False, default=None)

    @classmethod
    def over(cls, connected: socket.socket, context: ssl.SSLContext, name: str | None) -> Channel:
        """Return the channel for a socket, before its handshake. Raises ValueError for the host's name."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
        connected.setblocking(False)
        return cls(connected, tls, incoming, outgoing)

    @property
    def tls(self) -> ssl.SSLObject:
        """What was agreed on; for reading its facts."""
        return self._tls

    def shake(self, deadline: Deadline) -> None:
        """Agree on TLS."""
        while not self._agreed():
            self.flush(deadline)
            self.wait(deadline.left)
            self._receive()
            if self._end is not None:
                raise self._end
        self.flush(deadline)

    def _agreed(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            # The alert tells the server why.
            with suppress(OSError):
                self.push()
            raise
        return True

    def end_point(self) -> bytes:
        """Return what ``tls-server-end-point`` binds to. Raises Unsupported."""
        der = self._tls.getpeercert(binary_form=True)
        if not der:
            raise Unsupported("channel binding without a certificate")
        return certificate.end_point(der)

    @property
    def ended(self) -> bool:
        """The other side is gone, as far as reading has found out."""
        return self._end is not None

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait(self, timeout: float | None) -> bool:
        """Wait until there is something for `pull`, at most `timeout` seconds; say whether it has."""
        return self._end is not None or self._ready(select.POLLIN, timeout)

    def pull(self) -> memoryview | None:
        """Return what one read of the socket brings, valid until the next; None when nothing waits there.

        Empty while a record is not complete. What came before the end is returned before the end is raised.
        """
        if self._end is None and not self._receive():
            return None
        size = self._decrypt()
        if size == 0 and self._end is not None:
            raise self._end
        if self._outgoing.pending:  # TLS has answers of its own
            with suppress(OSError):
                self.push()
        return self._plain[:size]

    def _receive(self) -> bool:
        """Take from the socket what it has; False when that is nothing yet."""
        try:
            size = self._socket.recv_into(self._raw)
        except BlockingIOError:
            return False
        except OSError as error:
            self._end = error
            return True
        if size == 0:
            self._end = ConnectionResetError(_CLOSED)
        with self._lock:
            self._incoming.write(self._raw[:size])
        return True

    def _decrypt(self) -> int:
        size = 0
        # With a buffer it returns a number, whatever its annotation says.
        read = cast("Callable[[int, memoryview], int]", self._tls.read)
        with self._lock:
            try:
                while count := read(_ROOM - size, self._plain[size:]):
                    size += count
                self._end = self._end or ConnectionResetError(_CLOSED)
            except ssl.SSLWantReadError:
                pass
            except OSError as error:
                self._end = error
        return size

    def send(self, data: bytes) -> None:
        """Send all of `data`, for which the server has a minute; from any thread."""
        self.encrypt(data)
        self.flush(Deadline.after(_PATIENCE))

    def encrypt(self, data: bytes) -> None:
        """Make `data` the next to be sent."""
        rest = memoryview(data)
        with self._lock:
            while rest:
                rest = rest[self._tls.write(rest) :]

    def flush(self, deadline: Deadline) -> None:
        """Send what is to be sent."""
        while not self.push():
            self._ready(select.POLLOUT, deadline.left)

    def push(self) -> bool:
        """Send what the socket takes at once; say whether all has gone."""
        with self._lock:
            self._unsent += self._outgoing.read()
            with suppress(BlockingIOError):
                while self._unsent:
                    del self._unsent[: self._socket.send(self._unsent)]
            return not self._unsent

    def _ready(self, event: int, timeout: float | None) -> bool:
        """Wait for an event of the socket; `select` would refuse a process with many files."""
        number = self._socket.fileno()  # once: another thread may close it
        if number < 0:
            raise ConnectionAbortedError("the connection is closed")
        poll = select.poll()
        poll.register(number, event)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    def close(self) -> None:
        """End the connection; whoever waits for it wakes up. Repeatable."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
