"""Servers that are broken or hostile, met by the second session after libpq's had met a good one."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.scripted import ScriptedServer, end, message
from support.tls import Certificates, TlsProxy

from etl_core import Secret
from etl_core.errors import AuthError, ConfigError, EtlError, FatalError, RetryableError
from etl_pglib.client import Connection, connect
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.secure import Secure, open_secure, session
from etl_pglib.secure import channel as channels

PASSWORD = "sesame0pen"
Script = Callable[[ssl.SSLSocket], object]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates")).create()


@pytest.fixture(scope="module")
def context(certificates: Certificates) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificates.sign("server", "server"))
    return made


@pytest.fixture
def server(
    context: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with ScriptedServer.running(context) as server:
        yield server


@pytest.fixture
def good(pg_server: EmbeddedPostgres) -> Callable[[ssl.SSLSocket], None]:
    """The script of a real server, with the password it never asks for in every DSN."""

    def pass_on(secured: ssl.SSLSocket) -> None:
        with socket.create_connection(("127.0.0.1", pg_server.port)) as real:
            TlsProxy._pass_on(_Passing(), secured, real)  # type: ignore[arg-type]

    return pass_on


class _Passing:
    _stopped = threading.Event()


def dsn(server: ScriptedServer, **options: object) -> str:
    words = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": "postgres",
        "dbname": "postgres",
        "password": PASSWORD,
        "sslmode": "require",
        "connect_timeout": 20,
    }
    return " ".join(f"{name}='{value}'" for name, value in (words | options).items())


@pytest.fixture
def libpq(server: ScriptedServer, good: Script) -> Iterator[Callable[..., Connection]]:
    opened: list[Connection] = []

    def open_(**options: object) -> Connection:
        server.inside = good
        opened.append(connect(Secret(dsn(server, **options)), application_name="test"))
        return opened[-1]

    yield open_
    for connection in opened:
        connection.close()


def failing(call: Callable[[], object]) -> EtlError:
    with pytest.raises(EtlError) as raised:
        call()
    assert PASSWORD not in "".join(traceback.format_exception(raised.value)) + repr(raised.value.facts)
    return raised.value


def request(code: int, rest: bytes = b"") -> bytes:
    return message(b"R", struct.pack(">i", code) + rest)


OK = request(0)
READY = message(b"Z", b"I")
KEY = message(b"K", b"12345678")
SCRAM = request(10, b"SCRAM-SHA-256\0\0")


def says(*answers: bytes) -> Script:
    """Return a script that gives an answer to each message, and says no more."""

    def run(secured: ssl.SSLSocket) -> None:
        for answer in answers:
            secured.recv(1 << 16)
            secured.sendall(answer)
        end(secured)

    return run


def scram(challenge: Callable[[bytes], bytes], *then: bytes) -> Script:
    """Return a script that answers the client's nonce, and says more."""

    def run(secured: ssl.SSLSocket) -> None:
        secured.recv(1 << 16)
        secured.sendall(SCRAM)
        nonce = secured.recv(1 << 16).rpartition(b"r=")[2]
        secured.sendall(request(11, challenge(nonce)))
        secured.recv(1 << 16)
        secured.sendall(b"".join(then))
        end(secured)

    return run


def challenge(nonce: bytes) -> bytes:
    return b"r=" + nonce + b"server,s=" + base64.b64encode(b"salt") + b",i=4096"


def error(text: bytes, state: bytes = b"57P03") -> bytes:
    return message(b"E", b"SFATAL\0C" + state + b"\0M" + text + b"\0\0")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (lambda secured: None, RetryableError),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), RetryableError),
        (says(b"\0" * 100), RetryableError),
        (says(b"R\xff\xff\xff\xff"), RetryableError),
        (says(b"R\0\0\0\3"), RetryableError),
        (says(b"R\x7f\xff\xff\xff"), RetryableError),
        (says(b"R\0\0\x80\0" + b"\0" * 40_000), RetryableError),
        (says(b"R\0\0\0\x08\0"), RetryableError),
        (says(message(b"R")), RetryableError),
        (says(READY), RetryableError),
        (says(error(b"starting up")), RetryableError),
        (says(error(b"refused", b"28P01")), AuthError),
        (says(message(b"E")), FatalError),
        (says(message(b"E", b"\xff\xfe")), FatalError),
        (says(message(b"v", b"\0" * 8)), RetryableError),
        (says(OK + OK), RetryableError),
        (says(OK + message(b"K", b"12")), RetryableError),
        (says(OK + message(b"S", b"name")), RetryableError),
        (says(OK + message(b"T")), RetryableError),
        (says(OK + message(b"N", b"\0") + KEY + READY), RetryableError),
        (says(OK + KEY + READY, message(b"G", b"\0")), RetryableError),
        (says(OK + KEY + READY, message(b"D", b"\0\1\0\0\0\x09x")), RetryableError),
        (says(OK + KEY + READY, message(b"D", b"\0\1\xff\xff\xff\xfe")), RetryableError),
        (says(OK + KEY + READY, message(b"D", b"\0\1\0\0\0\1\xff")), RetryableError),
        (says(OK + KEY + READY, message(b"D", b"\0\0x")), RetryableError),
        (says(OK + KEY + READY, message(b"D")), RetryableError),
        (says(OK + KEY + READY, message(b"H", b"\0\0\0") + READY), FatalError),
        (says(OK + KEY + READY, message(b"W", b"\0\0\0")), FatalError),
        (says(OK + KEY + READY, error(b"no", b"42501")), AuthError),
        (says(request(99)), AuthError),
        (says(request(3), request(3)), AuthError),
        (says(request(3), request(5, b"salt")), AuthError),
        (says(request(3), error(b"your password is " + PASSWORD.encode())), RetryableError),
        (says(request(5, b"salty")), RetryableError),
        (says(request(11, b"r=,s=,i=1")), RetryableError),
        (says(request(12, b"v=")), RetryableError),
        (says(SCRAM, OK + KEY + READY), AuthError),
        (says(SCRAM, request(12, b"v=" + base64.b64encode(b"x" * 32))), AuthError),
        (says(SCRAM, request(11, b"r=other,s=AAAA,i=4096")), AuthError),
        (scram(lambda nonce: challenge(nonce).replace(b"server", b"")), AuthError),
        (scram(lambda nonce: challenge(nonce).replace(b"4096", b"0")), AuthError),
        (scram(lambda nonce: challenge(nonce).replace(b"4096", b"-1")), AuthError),
        (scram(lambda nonce: challenge(nonce).replace(b"4096", b"9" * 1000)), AuthError),
        (scram(lambda nonce: challenge(nonce).replace(b"s=", b"s=!")), AuthError),
        (scram(lambda nonce: challenge(nonce) + b",x=y"), AuthError),
        (scram(lambda nonce: b"m=x," + challenge(nonce)), AuthError),
        (scram(challenge, request(12, b"v=" + base64.b64encode(b"x" * 32))), AuthError),
        (scram(challenge, request(12, b"v=!")), AuthError),
        (scram(challenge, request(12, b"e=other-error")), AuthError),
        (scram(challenge, request(12)), AuthError),
        (scram(challenge, request(11, b"r=,s=,i=1")), AuthError),
        (scram(challenge, OK + KEY + READY), AuthError),
    ],
)
def test_a_server_that_says_what_it_must_not(
    server: ScriptedServer, libpq: Callable[..., Connection], script: Script, kind: type[EtlError]
) -> None:
    connection = libpq()
    server.inside = script
    assert type(failing(lambda: open_secure(connection, replication=True))) is kind


@pytest.mark.parametrize(
    "script",
    [
        says(request(7)),
        says(request(9)),
        says(request(10, b"OAUTHBEARER\0\0")),
        scram(lambda nonce: challenge(nonce).replace(b"4096", b"100000000")),
    ],
)
def test_what_only_libpq_can_do_is_left_to_it(
    server: ScriptedServer, libpq: Callable[..., Connection], script: Script
) -> None:
    connection = libpq()
    server.inside = script
    assert open_secure(connection, replication=True) is None
    assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("options", "script", "kind"),
    [
        ({"require_auth": "!scram-sha-256"}, SCRAM, AuthError),
        ({"require_auth": "none"}, request(3), AuthError),
        ({"require_auth": "!password,!md5"}, request(3), AuthError),
        ({"password": ""}, request(3), AuthError),
        ({"password": ""}, SCRAM, AuthError),
    ],
)
def test_a_login_that_the_parameters_do_not_allow(
    server: ScriptedServer,
    libpq: Callable[..., Connection],
    options: dict[str, object],
    script: bytes,
    kind: type[EtlError],
) -> None:
    connection = libpq(**options)
    server.inside = says(script)
    assert type(failing(lambda: open_secure(connection, replication=False))) is kind


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", RetryableError),
        (b"N", ConfigError),
        (error(b"too many"), RetryableError),
        (b"S", RetryableError),
        (b"S" + OK + KEY + READY, RetryableError),
        (b"S\x15\x03\x03\0\2\2\x28", None),  # the alert of a handshake that failed
    ],
)
def test_a_server_that_says_the_wrong_thing_before_tls(
    server: ScriptedServer, libpq: Callable[..., Connection], answer: bytes, kind: type[EtlError] | None
) -> None:
    connection = libpq()

    def outside(connected: socket.socket) -> None:
        connected.recv(8)
        connected.sendall(answer)
        connected.recv(1 << 16) if answer[:1] == b"S" else None

    server.outside = outside
    if kind is None:
        assert open_secure(connection, replication=False) is None
    else:
        assert type(failing(lambda: open_secure(connection, replication=False))) is kind


def drip(server: ScriptedServer) -> Callable[[socket.socket], object]:
    def run(connected: socket.socket) -> None:
        connected.recv(1 << 16)
        while not server.stopped.wait(0.01):
            connected.sendall(message(b"N", b"\0"))

    return run


def test_no_server_is_waited_for_longer_than_the_parameters_say(
    server: ScriptedServer, libpq: Callable[..., Connection]
) -> None:
    connection = libpq(connect_timeout=2)
    settled = OK + KEY + READY

    def then_silent(secured: ssl.SSLSocket) -> None:
        secured.recv(1 << 16)
        secured.sendall(settled)
        server.stopped.wait(30)

    for script in (drip(server), then_silent):
        server.inside = script
        assert isinstance(failing(lambda: open_secure(connection, replication=False)), RetryableError)

    def half(connected: socket.socket) -> None:
        connected.recv(8)
        connected.sendall(b"S")
        server.stopped.wait(30)

    server.outside = half
    assert isinstance(failing(lambda: open_secure(connection, replication=False)), RetryableError)


def test_a_certificate_that_changes_between_the_two(
    certificates: Certificates,
    server: ScriptedServer,
    libpq: Callable[..., Connection],
    tmp_path: Path,
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Certificates(other).create()
    good = server.context
    for mode, authority, alternatives in (
        ("verify-ca", stranger, "IP:127.0.0.1"),
        ("verify-full", certificates, "IP:127.0.0.2"),
    ):
        connection = libpq(sslmode=mode, sslrootcert=certificates.authority)
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(*authority.sign("changed", "server", alternatives=alternatives))
        with pytest.raises(ConfigError, match="TLS could not be set up"):
            open_secure(connection, replication=False)
        server.context = good


@pytest.mark.parametrize(
    "options",
    [
        {"sslcompression": "1"},
        {"ssl_min_protocol_version": "TLSv1"},
        {"ssl_min_protocol_version": ""},
        {"oauth_issuer": "https://127.0.0.1", "oauth_client_id": "x"},
        {"host": "dé", "hostaddr": "127.0.0.1"},
        {"target_session_attrs": "read-write"},
    ],
)
def test_what_is_asked_for_beyond_this_is_left_to_libpq(
    libpq: Callable[..., Connection], options: dict[str, object]
) -> None:
    connection = libpq(**options)
    expected = options.get("target_session_attrs") is not None
    secure = open_secure(connection, replication=False)
    assert (secure is not None) == expected
    if secure is not None:
        secure.close()


def test_a_server_that_takes_nothing_holds_up_no_reading(
    server: ScriptedServer, libpq: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = libpq()
    talk, go_on = threading.Event(), threading.Event()

    def stubborn(secured: ssl.SSLSocket) -> None:
        secured.recv(1 << 16)
        secured.sendall(OK + KEY + READY)
        secured.recv(1 << 16)
        secured.sendall(message(b"W", b"\0\0\0"))
        talk.wait(30)
        secured.sendall(message(b"d", b"x" * 1000) * 100)
        go_on.wait(30)

    server.inside = stubborn
    secure = open_secure(connection, replication=False, session={})
    assert secure is not None
    secure.begin("START_REPLICATION")
    monkeypatch.setattr(channels, "_PATIENCE", 2.0)
    failures: list[EtlError] = []
    thread = threading.Thread(
        target=lambda: failures.append(failing(lambda: secure.send(os.urandom(64 << 20))))
    )
    thread.start()
    talk.set()
    found = bytearray()
    while len(found) < 100 * 1005:
        assert secure.wait(30)
        secure.fill(found.extend)
    assert thread.is_alive()
    thread.join()
    go_on.set()
    assert isinstance(failures[0], RetryableError)
    monkeypatch.setattr(session, "_CANCEL", 0.5)
    secure.close()


def reset(secured: ssl.SSLSocket) -> None:
    secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "break_",
    [
        reset,
        lambda secured: os.write(secured.fileno(), b"\x17\x03\x03\0\x40" + b"no cipher's text" * 4),
        lambda secured: os.write(secured.fileno(), b"no record at all"),
        lambda secured: secured.unwrap(),
    ],
)
def test_a_stream_that_breaks_hands_over_what_came_before(
    server: ScriptedServer, libpq: Callable[..., Connection], break_: Script
) -> None:
    connection = libpq()
    data = message(b"d", b"x" * 1000) * 100
    taken = threading.Event()

    def breaking(secured: ssl.SSLSocket) -> None:
        for answer in (OK + KEY + READY, message(b"W", b"\0\0\0") + data):
            secured.recv(1 << 16)
            secured.sendall(answer)
        taken.wait(30)
        break_(secured)

    server.inside = breaking
    secure = open_secure(connection, replication=True, session={})
    assert secure is not None
    secure.begin("START_REPLICATION")
    found = bytearray()

    def read() -> None:
        while secure.wait(30):
            secure.fill(found.extend)
            if len(found) == len(data):
                taken.set()

    assert failing(read).message == "the connection to the server was lost"
    assert found == data
    assert secure.wait(0)
    secure.close()


def test_answers_are_bounded(
    server: ScriptedServer, libpq: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = libpq()
    row = message(b"D", struct.pack(">Hi", 1, 1000) + b"x" * 1000)

    def flood(secured: ssl.SSLSocket) -> None:
        secured.recv(1 << 16)
        secured.sendall(OK + KEY + READY)
        while not server.stopped.is_set():
            secured.sendall(row * 100)

    server.inside = flood
    monkeypatch.setattr(session, "_LIMIT", 1 << 20)
    secure = open_secure(connection, replication=False, session={})
    assert isinstance(secure, Secure)
    assert isinstance(failing(lambda: secure.run("select 1")), RetryableError)
    monkeypatch.setattr(session, "_CANCEL", 0.5)
    secure.close()
