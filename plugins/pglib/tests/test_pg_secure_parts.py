"""The parts of a secure session that need no server: frames, SCRAM's sums, passwords, moments."""

from __future__ import annotations

import base64
import secrets
import socket
import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core import Secret
from etl_core.errors import AuthError, ConfigError, EtlError, FatalError
from etl_pglib.secure import copy_data
from etl_pglib.secure.authentication import Login
from etl_pglib.secure.channel import Channel, Deadline
from etl_pglib.secure.messages import (
    Malformed,
    cancel_request,
    columns,
    failure,
    message,
    query,
    startup,
    take,
)
from etl_pglib.secure.parameters import Parameters, Unsupported
from etl_pglib.secure.scram import Refused, Scram, prepared

KINDS = st.sampled_from([b"R", b"d", b"Z", b"E"])


def test_what_the_client_says_is_framed_as_documented() -> None:
    assert copy_data(b"xy") == b"d\0\0\0\6xy"
    assert query("é") == b"Q\0\0\0\7\xc3\xa9\0"
    assert startup({"user": b"u"}) == struct.pack(">ii", 16, 3 << 16) + b"user\0u\0\0"
    assert cancel_request(b"PIDdKEYy") == struct.pack(">ii", 16, 80877102) + b"PIDdKEYy"


@given(st.lists(st.tuples(KINDS, st.binary(max_size=300))), st.integers(1, 50))
def test_messages_come_whole_however_they_are_cut(said: list[tuple[bytes, bytes]], piece: int) -> None:
    data = b"".join(message(kind, body) for kind, body in said)
    buffer, found = bytearray(), []
    for at in range(0, len(data), piece):
        buffer += data[at : at + piece]
        while (taken := take(buffer, 1000)) is not None:
            found.append(taken)
    assert found == said
    assert not buffer


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_refused(data: bytes) -> None:
    buffer = bytearray(data)
    try:
        while (taken := take(buffer, 100)) is not None:
            assert len(taken[1]) <= 96
    except Malformed:
        pass
    else:
        assert len(buffer) <= 101


@given(st.lists(st.none() | st.text(), max_size=20))
def test_rows_are_read(values: list[str | None]) -> None:
    packed = [
        b"\xff\xff\xff\xff" if v is None else struct.pack(">i", len(v.encode())) + v.encode() for v in values
    ]
    assert columns(struct.pack(">H", len(values)) + b"".join(packed)) == tuple(values)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_row_or_refused(data: bytes) -> None:
    try:
        found = columns(data)
    except Malformed:
        return
    assert len(data) == 2 + sum(4 + len((value or "").encode()) for value in found)


@given(st.binary())
def test_any_bytes_are_an_error(data: bytes) -> None:
    assert failure(data, "testing").facts["doing"] == "testing"


def test_an_error_that_says_nothing() -> None:
    assert type(failure(b"", "testing")) is FatalError


def test_the_example_of_rfc_7677(monkeypatch: pytest.MonkeyPatch) -> None:
    nonce = base64.b64decode("rOprNGfwEbeRWgbNEkqO")
    monkeypatch.setattr(secrets, "token_bytes", lambda size: nonce)
    # The example has a user's name, which PostgreSQL leaves out.
    monkeypatch.setattr(Scram, "_bare", lambda self: b"n=user,r=" + self._nonce)
    exchange = Scram(b"pencil", flag=b"n")
    assert exchange.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    server = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    answer = exchange.last(b"r=" + server + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert answer == b"c=biws,r=" + server + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    exchange.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert exchange.verified


def test_the_servers_proof_is_asked_for_in_turn() -> None:
    exchange = Scram(b"pencil", flag=b"y")
    with pytest.raises(Refused):
        exchange.verify(b"v=")
    challenge = b"r=" + exchange._nonce + b"x,s=AAAA,i=1"
    exchange.last(challenge)
    with pytest.raises(Refused):
        exchange.last(challenge)
    with pytest.raises(Refused):
        exchange.verify(b"v=")
    assert not exchange.verified


@given(st.binary() | st.text("r=,si0123456789ABC").map(str.encode))
def test_any_challenge_is_refused_unless_it_is_one(data: bytes) -> None:
    exchange = Scram(b"pencil", flag=b"n")
    with pytest.raises((Refused, Unsupported)):
        exchange.last(data)
    with pytest.raises((Refused, Unsupported)):
        exchange.last(b"r=" + exchange._nonce + data)
    with pytest.raises(Refused):
        exchange.verify(data)


@pytest.mark.parametrize(
    ("password", "wanted"),
    [  # RFC 4013, section 3; what it refuses is taken as it is
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u0007", "\u0007"),
        ("é\u0007", "é\u0007"),
        ("\u06271", "\u06271"),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("a\u3000b", "a b"),
        ("\u00ad\u200d", "\u00ad\u200d"),
        ("\u0627a\ufb01\u0628", "\u0627a\ufb01\u0628"),
    ],
)
def test_passwords_are_prepared(password: str, wanted: str) -> None:
    assert prepared(password.encode()).decode() == wanted


def test_a_password_that_is_no_text() -> None:
    assert prepared(b"\xff\xfe") == b"\xff\xfe"


PLAIN, BOTH = b"SCRAM-SHA-256\0\0", b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
OK, CLEARTEXT, MD5, SASL = 0, 3, 5, 10


def login(binding: str, require_auth: str = "") -> Login:
    options = {"channel_binding": binding} | ({"require_auth": require_auth} if require_auth else {})
    parameters = Parameters("h", "127.0.0.1", 1, {"user": b"u"}, Secret("sesame"), options)
    return Login(parameters, lambda: b"hash of the certificate")


def asked(code: int, rest: bytes = b"") -> bytes:
    return struct.pack(">i", code) + rest


@pytest.mark.parametrize(
    ("binding", "offered", "answer"),
    [
        ("require", BOTH, b"SCRAM-SHA-256-PLUS\0....p=tls-server-end-point,,n=,r="),
        ("prefer", BOTH, b"SCRAM-SHA-256-PLUS\0....p=tls-server-end-point,,n=,r="),
        ("prefer", PLAIN, b"SCRAM-SHA-256\0....y,,n=,r="),
        ("disable", BOTH, b"SCRAM-SHA-256\0....n,,n=,r="),
    ],
)
def test_what_is_chosen_of_what_is_offered(binding: str, offered: bytes, answer: bytes) -> None:
    said = login(binding).answer(asked(SASL, offered))
    assert said is not None
    start, length, end = answer.partition(b"....")
    assert said[5:].startswith(start)
    assert said[5 + len(start) + len(length) :].startswith(end)


@pytest.mark.parametrize(
    ("binding", "messages", "kind"),
    [
        ("require", [asked(OK)], ConfigError),
        ("require", [asked(CLEARTEXT)], ConfigError),
        ("require", [asked(MD5, b"salt")], ConfigError),
        ("require", [asked(SASL, PLAIN)], ConfigError),
        ("require", [asked(SASL, BOTH), asked(OK)], AuthError),
        ("prefer", [asked(SASL, BOTH), asked(SASL, PLAIN)], AuthError),
        ("prefer", [asked(SASL, BOTH), asked(CLEARTEXT)], AuthError),
    ],
)
def test_a_login_is_never_less_than_was_asked_for(
    binding: str, messages: list[bytes], kind: type[EtlError]
) -> None:
    entering = login(binding)
    for body in messages[:-1]:
        entering.answer(body)
    with pytest.raises(kind):
        entering.answer(messages[-1])
    assert not entering.done


@pytest.mark.parametrize(
    ("allowed", "method", "good"),
    [
        ("none", asked(OK), True),
        ("password,md5", asked(OK), False),
        ("!none", asked(OK), False),
        ("!md5", asked(OK), True),
        ("password,md5", asked(MD5, b"salt"), True),
        ("!password,!md5", asked(MD5, b"salt"), False),
        ("scram-sha-256", asked(SASL, PLAIN), True),
        ("!scram-sha-256", asked(SASL, PLAIN), False),
    ],
)
def test_methods_that_are_allowed(allowed: str, method: bytes, good: bool) -> None:
    entering = login("prefer", allowed)
    if good:
        entering.answer(method)
    else:
        with pytest.raises(AuthError, match="refused"):
            entering.answer(method)


@given(
    st.lists(
        st.binary(max_size=60).flatmap(lambda rest: st.sampled_from(range(14)).map(lambda c: asked(c, rest)))
    )
)
def test_no_messages_but_the_right_ones_let_in(said: list[bytes]) -> None:
    entering = login("require")
    for body in said:
        try:
            entering.answer(body)
        except (EtlError, Malformed, Unsupported):
            break
    assert not entering.done


def test_moments() -> None:
    assert Deadline.after(None).left is None
    assert 0 < (Deadline.after(60).left or 0) <= 60
    with pytest.raises(TimeoutError):
        _ = Deadline.after(0).left


class Closing(socket.socket):
    """Closed by another thread as soon as somebody has asked for its number."""

    def fileno(self) -> int:
        number = super().fileno()
        self.close()
        return number


def test_a_channel_that_is_closed_while_it_waits_says_so() -> None:
    one, other = socket.socketpair()
    with other:
        channel = Channel.over(Closing(fileno=one.detach()), ssl.create_default_context(), None)
        assert channel.wait(0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            channel.pull()
