"""TLS for tests: certificates of a CA made on the spot, and a proxy that ends TLS before a plain server."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from attrs import define, field, frozen

__all__ = ["Certificates", "TlsProxy"]

_SSL_REQUEST = struct.pack(">ii", 8, 80877103)
_GSS_REQUEST = struct.pack(">ii", 8, 80877104)


@frozen
class Certificates:
    """A CA in `directory` and what it signed."""

    directory: Path

    @property
    def authority(self) -> Path:
        return self.directory / "ca.crt"

    def create(self) -> Self:
        """Make the CA."""
        self._openssl("req", "-x509", *self._request("ca", "Test CA"), "-out", self.authority)
        return self

    def sign(
        self,
        name: str,
        subject: str,
        *,
        alternatives: str = "IP:127.0.0.1",
        key: Sequence[str] = ("rsa:2048",),
        digest: str = "sha256",
    ) -> tuple[Path, Path]:
        """Return certificate and key, valid for `alternatives` (in OpenSSL's words) and user `subject`."""
        certificate, request = self.directory / f"{name}.crt", self.directory / f"{name}.csr"
        extensions = self.directory / "extensions"
        extensions.write_text(f"subjectAltName={alternatives}\n" if alternatives else "")
        self._openssl("req", *self._request(name, subject, key), "-out", request)
        issuer: list[str | Path] = [
            "-CA",
            self.authority,
            "-CAkey",
            self.directory / "ca.key",
            "-CAcreateserial",
            f"-{digest}",
        ]
        self._openssl("x509", "-req", "-in", request, *issuer, "-extfile", extensions, "-out", certificate)
        return certificate, self.directory / f"{name}.key"

    def _request(self, name: str, subject: str, algorithm: Sequence[str] = ("rsa:2048",)) -> list[str | Path]:
        key = self.directory / f"{name}.key"
        return ["-newkey", *algorithm, "-nodes", "-keyout", key, "-subj", f"/CN={subject}"]

    def _openssl(self, *arguments: str | Path) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.directory)


@define
class TlsProxy:
    """Answers PostgreSQL's SSLRequest, demands a client certificate, passes on what is inside."""

    target: tuple[str, int]
    context: ssl.SSLContext
    handshakes: int = 0
    _listener: socket.socket = field(init=False)
    _threads: list[threading.Thread] = field(factory=list)
    _stopped: threading.Event = field(factory=threading.Event)

    @classmethod
    @contextlib.contextmanager
    def before(
        cls, target: tuple[str, int], certificates: Certificates, context: ssl.SSLContext | None = None
    ) -> Iterator[Self]:
        """Serve until the block ends, with a context other than this one where one is given."""
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificates.sign("server", "server"))
            context.load_verify_locations(certificates.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        proxy = cls(target, context)
        with socket.create_server(("127.0.0.1", 0)) as proxy._listener:
            proxy._spawn(proxy._accept)
            try:
                yield proxy
            finally:
                proxy._stopped.set()
                for thread in list(proxy._threads):
                    thread.join()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            if select.select([self._listener], [], [], 0.1)[0]:
                self._spawn(self._serve, self._listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = client.recv(8)
            while request == _GSS_REQUEST:
                client.sendall(b"N")
                request = client.recv(8)
            if request != _SSL_REQUEST:
                return
            client.sendall(b"S")
            with (
                self.context.wrap_socket(client, server_side=True) as inside,
                socket.create_connection(self.target) as server,
            ):
                self.handshakes += 1
                self._pass_on(inside, server)

    def _pass_on(self, inside: ssl.SSLSocket, server: socket.socket) -> None:
        while not self._stopped.is_set():
            pending = [inside] if inside.pending() else []
            ready = pending or select.select([inside, server], [], [], 0.1)[0]
            for source in ready:
                data = source.recv(1 << 16)
                if not data:
                    return
                (server if source is inside else inside).sendall(data)
