"""A server that does what a test says, before, during and after TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Self

from attrs import define, field

__all__ = ["ScriptedServer", "end", "message", "refuse"]

_REQUESTS = {80877103: b"S", 80877104: b"N"}


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Frame a message of the protocol."""
    return struct.pack(">ci", kind, len(body) + 4) + body


def end(connected: socket.socket) -> None:
    """Close in such a way that what was said arrives, whatever the client has yet to say."""
    connected.shutdown(socket.SHUT_WR)
    while connected.recv(1 << 16):
        pass


def refuse(connected: socket.socket) -> None:
    """Answer the first message with an error that says "scripted"."""
    if connected.recv(1 << 16):
        connected.sendall(message(b"E", b"SFATAL\0VFATAL\0C57P03\0Mscripted\0\0"))
        end(connected)


@define
class ScriptedServer:
    """Agrees on TLS with `context` and calls `inside`; where there is an `outside`, calls only that.

    A script reads and writes as it likes; the connection is closed when it returns. `stopped` ends waiting.
    """

    context: ssl.SSLContext | None = None
    inside: Callable[[ssl.SSLSocket], object] = refuse
    outside: Callable[[socket.socket], object] | None = None
    stopped: threading.Event = field(factory=threading.Event)
    _listener: socket.socket = field(init=False)
    _threads: list[threading.Thread] = field(factory=list)

    @classmethod
    @contextlib.contextmanager
    def running(cls, context: ssl.SSLContext | None = None) -> Iterator[Self]:
        """Serve on a port of 127.0.0.1 until the block ends."""
        server = cls(context)
        with socket.create_server(("127.0.0.1", 0)) as server._listener:
            server._spawn(server._accept)
            try:
                yield server
            finally:
                server.stopped.set()
                for thread in list(server._threads):
                    thread.join()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _spawn(self, target: Callable[..., object], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            if select.select([self._listener], [], [], 0.05)[0]:
                self._spawn(self._serve, self._listener.accept()[0])

    def _serve(self, connected: socket.socket) -> None:
        # What a client hangs up on is the client's affair.
        with connected, contextlib.suppress(OSError):
            connected.settimeout(30)
            if self.outside is not None:
                self.outside(connected)
                return
            assert self.context is not None
            self._negotiate(connected)
            with self.context.wrap_socket(connected, server_side=True) as secured:
                self.inside(secured)

    def _negotiate(self, connected: socket.socket) -> None:
        """Answer requests for encryption until TLS begins."""
        answer = b""
        while answer != b"S" and connected.recv(1, socket.MSG_PEEK) == b"\0":
            answer = _REQUESTS[struct.unpack(">ii", connected.recv(8))[1]]
            connected.sendall(answer)
