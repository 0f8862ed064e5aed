"""A proxy that speaks TLS for a server that cannot, and the certificates for it."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

_SSL_REQUEST = struct.pack(">ii", 8, 80877103)
_CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = etl tests
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
subjectAltName = DNS:localhost
[client]
extendedKeyUsage = clientAuth
"""


def certificates(directory: Path) -> Path:
    """Make a CA, and with it certificates `server` and `client`; `stranger` is signed by itself."""
    config = directory / "openssl.cnf"
    config.write_text(_CONFIG)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    for name in ("ca", "server", "client", "stranger"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
        (directory / f"{name}.key").chmod(0o600)
    new = ["req", "-config", "openssl.cnf", "-new"]
    for name in ("ca", "stranger"):
        openssl(
            *new, "-x509", "-days", "2", "-key", f"{name}.key", "-extensions", "ca", "-out", f"{name}.crt"
        )
    for name in ("server", "client"):
        openssl(*new, "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.crt"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", "openssl.cnf", "-extensions", name)
    return directory


class TlsProxy:
    """Listens on localhost; demands TLS with a client certificate of the CA, then passes bytes through."""

    def __init__(self, directory: Path, port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "server.crt", directory / "server.key")
        self._context.load_verify_locations(directory / "ca.crt")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sessions = 0
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """Cut every connection in the middle of whatever it does."""
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                return
            client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as inner,
                socket.create_connection(("127.0.0.1", self._server)) as outer,
            ):
                self._sockets += [inner, outer]
                self.sessions += 1
                _pump(inner, outer)


def _pump(inner: ssl.SSLSocket, outer: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(inner, selectors.EVENT_READ, outer)
        selector.register(outer, selectors.EVENT_READ, inner)
        while True:
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                while True:
                    data = source.recv(65536)
                    if not data:
                        return
                    target.sendall(data)
                    if not (isinstance(source, ssl.SSLSocket) and source.pending()):
                        break
