"""A network that misbehaves when told to: a proxy on the loopback that cuts, stalls and delays."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from attrs import define, field

__all__ = ["TcpProxy"]

_CHUNK = 65536
#: Bytes that wait in one direction before its sender has to.
_ROOM = 1 << 20
#: An end that is told by a reset, as by a host that has forgotten the connection.
_ABRUPT = struct.pack("ii", 1, 0)


@define(eq=False)
class _Way:
    """One direction of a connection; each piece waits until it is due."""

    source: socket.socket
    target: socket.socket
    downstream: bool
    waiting: deque[tuple[float, bytes]] = field(factory=deque)
    size: int = 0
    ended: bool = False
    shut: bool = False

    def readable(self) -> bool:
        return not self.ended and self.size < _ROOM

    def due(self) -> float | None:
        return self.waiting[0][0] if self.waiting else None


@define(eq=False)
class _Link:
    """A connection of a client and the one to the server behind it."""

    client: socket.socket
    server: socket.socket
    ways: tuple[_Way, _Way]
    forgotten: bool = False

    def close(self, abrupt: bool) -> None:
        for sock in (self.client, self.server):
            with suppress(OSError):
                if abrupt:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPT)
                sock.close()


class TcpProxy:
    """Passes connections on to a port of this machine, from one thread; its methods are for any other.

    A stalled connection looks alive: nothing arrives any more, and nothing says that it is over. TCP's own
    keepalives are answered by the kernel, as by a proxy in front of a server that hangs.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._bell, self._ear = socket.socketpair()
        self._lock = threading.Lock()
        self._links: list[_Link] = []
        self._stopping = False
        self._delay = 0.0
        self._limit: tuple[int, Callable[[], None]] | None = None
        #: Bytes that came from the server.
        self.passed = 0
        #: Bytes that went to no server, since their connection was forgotten.
        self.swallowed = 0
        #: Connections that were made.
        self.accepted = 0
        #: How often everything was cut.
        self.cuts = 0
        #: Whether anything is passed on.
        self.stalled = False
        self._thread = threading.Thread(target=self._run, name="tcp-proxy")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def through(self, dsn: str) -> str:
        """Return the DSN of a server on the proxied port with the proxy's port in its place."""
        assert f":{self._server}/" in dsn
        return dsn.replace(f":{self._server}/", f":{self.port}/")

    def cut(self) -> None:
        """Reset every connection, whatever it is doing; new ones are served."""
        with self._lock:
            self._cut()
        self._ring()

    def cut_after(self, size: int) -> None:
        """Cut once so many more bytes have come from the server."""
        with self._lock:
            self._limit = self.passed + size, self._cut

    def stall_after(self, size: int) -> None:
        """Stall once so many more bytes have come from the server."""
        with self._lock:
            self._limit = self.passed + size, self._stall

    def stall(self) -> None:
        """Pass nothing on, of new connections neither, until `resume`."""
        with self._lock:
            self._stall()
        self._ring()

    def forget(self) -> None:
        """Pass nothing more on of the connections there are and swallow what comes; new ones are served."""
        with self._lock:
            for link in self._links:
                link.forgotten = True
        self._ring()

    def resume(self) -> None:
        """Pass on again, what had waited first; what was forgotten stays so."""
        with self._lock:
            self.stalled = False
        self._ring()

    def delay(self, seconds: float) -> None:
        """Hold back whatever comes from now on for so long, each way."""
        with self._lock:
            self._delay = seconds

    def close(self) -> None:
        """End everything and the thread."""
        with self._lock:
            self._stopping = True
        self._ring()
        self._thread.join()
        for sock in (self._listener, self._bell, self._ear):
            sock.close()

    def _ring(self) -> None:
        with suppress(OSError):
            self._bell.send(b"!")

    def _run(self) -> None:
        while True:
            ready, timeout = self._poll()
            events = dict(ready.poll(timeout))
            with self._lock:
                if self._stopping:
                    self._cut()
                    return
                if self._ear.fileno() in events:
                    self._ear.recv(_CHUNK)
                if self._listener.fileno() in events:
                    self._accept()
                for link in [] if self.stalled else list(self._links):
                    if link.forgotten:
                        self._swallow(link, events)
                    else:
                        self._pass(link, events)
                if self._limit is not None and self.passed >= self._limit[0]:
                    (_, act), self._limit = self._limit, None
                    act()

    def _poll(self) -> tuple[select.poll, float | None]:
        """Return what is to be waited for, and for how many milliseconds at most."""
        wanted: dict[int, int] = {self._ear.fileno(): select.POLLIN, self._listener.fileno(): select.POLLIN}
        now, first = time.monotonic(), None
        with self._lock:
            links = [] if self.stalled else self._links
            wanted |= {link.client.fileno(): select.POLLIN for link in links if link.forgotten}
            for way in [way for link in links if not link.forgotten for way in link.ways]:
                if way.readable():
                    wanted[way.source.fileno()] = wanted.get(way.source.fileno(), 0) | select.POLLIN
                due = way.due()
                if due is not None and due <= now:
                    wanted[way.target.fileno()] = wanted.get(way.target.fileno(), 0) | select.POLLOUT
                elif due is not None:
                    first = due if first is None else min(first, due)
        poll = select.poll()
        for number, interest in wanted.items():
            poll.register(number, interest)
        return poll, None if first is None else max(0.0, first - now) * 1000 + 1

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._server))
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = (_Way(client, server, False), _Way(server, client, True))
        self._links.append(_Link(client, server, ways))
        self.accepted += 1

    def _pass(self, link: _Link, events: dict[int, int]) -> None:
        try:
            for way in link.ways:
                if way.source.fileno() in events and way.readable():
                    self._read(way)
                self._write(way)
        except OSError:
            self._end(link)
            return
        if all(way.shut for way in link.ways):
            self._end(link)

    def _swallow(self, link: _Link, events: dict[int, int]) -> None:
        if link.client.fileno() in events:
            try:
                data = link.client.recv(_CHUNK)
            except OSError:
                data = b""
            self.swallowed += len(data)
            if not data:
                self._end(link)

    def _read(self, way: _Way) -> None:
        with suppress(BlockingIOError):
            data = way.source.recv(_CHUNK)
            way.ended = not data
            if data:
                way.size += len(data)
                way.waiting.append((time.monotonic() + self._delay, data))

    def _write(self, way: _Way) -> None:
        while way.waiting and way.waiting[0][0] <= time.monotonic():
            due, data = way.waiting[0]
            try:
                sent = way.target.send(data)
            except BlockingIOError:
                return
            way.size -= sent
            self.passed += sent if way.downstream else 0
            if sent < len(data):
                way.waiting[0] = (due, data[sent:])
            else:
                way.waiting.popleft()
        if way.ended and not way.waiting and not way.shut:
            way.shut = True
            way.target.shutdown(socket.SHUT_WR)

    def _end(self, link: _Link) -> None:
        link.close(abrupt=False)
        self._links.remove(link)

    def _stall(self) -> None:
        self.stalled = True

    def _cut(self) -> None:
        self.cuts += 1
        for link in self._links:
            link.close(abrupt=True)
        self._links.clear()
