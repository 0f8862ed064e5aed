"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL speaks it; no I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import stringprep
import unicodedata

from etl_pglib.secure.parameters import Unsupported

__all__ = ["PLAIN", "PLUS", "Refused", "Scram", "prepared"]

PLAIN = b"SCRAM-SHA-256"
PLUS = b"SCRAM-SHA-256-PLUS"
#: A server may ask for any number; more than this would keep a core busy for seconds.
_ITERATIONS = 1_000_000
_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class Refused(Exception):
    """The server's part of the exchange is not what one who knows the password's verifier would send."""


class Scram:
    """One exchange. `flag` is the GS2 flag (``p=...``, ``y`` or ``n``), `binding` what ``p`` binds to."""

    def __init__(self, password: bytes, *, flag: bytes, binding: bytes = b"") -> None:
        self._password = prepared(password)
        self._header = flag + b",,"
        self._binding = binding
        self._nonce = base64.b64encode(secrets.token_bytes(18))
        self._signature: bytes | None = None
        #: The server has shown that it knows the verifier.
        self.verified = False

    def first(self) -> bytes:
        """Return the client's first message."""
        return self._header + self._bare()

    def last(self, server: bytes) -> bytes:
        """Return the answer to the server's first message: the proof. Raises Refused."""
        nonce, salt, iterations = self._challenge(server)
        final = b"c=" + base64.b64encode(self._header + self._binding) + b",r=" + nonce
        exchanged = b",".join((self._bare(), server, final))
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, iterations)
        key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(key).digest(), exchanged)
        self._signature = _hmac(_hmac(salted, b"Server Key"), exchanged)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return final + b",p=" + base64.b64encode(proof)

    def verify(self, server: bytes) -> None:
        """Check the server's last message. Raises Refused."""
        if self._signature is None or not server.startswith(b"v="):
            raise Refused
        if not hmac.compare_digest(_decoded(server[2:]), self._signature):
            raise Refused
        self.verified = True

    def _bare(self) -> bytes:
        # The user's name is that of the start-up message; PostgreSQL ignores what stands here.
        return b"n=,r=" + self._nonce

    def _challenge(self, server: bytes) -> tuple[bytes, bytes, int]:
        parts = server.split(b",")
        if [part[:2] for part in parts] != [b"r=", b"s=", b"i="]:
            raise Refused
        nonce, salt, iterations = (part[2:] for part in parts)
        if self._signature is not None or not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise Refused
        if not iterations.isdigit() or len(iterations) > 10 or int(iterations) < 1:
            raise Refused
        if int(iterations) > _ITERATIONS:
            raise Unsupported("the number of SCRAM iterations")
        return nonce, _decoded(salt), int(iterations)


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Refused from None


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def prepared(password: bytes) -> bytes:
    """Return the password as SASLprep (RFC 4013) has it; one that SASLprep refuses is taken as it is."""
    try:
        text = password.decode()
    except UnicodeDecodeError:
        return password
    if text.isascii():
        return password
    spaced = "".join(" " if stringprep.in_table_c12(letter) else letter for letter in text)
    mapped = "".join(letter for letter in spaced if not stringprep.in_table_b1(letter))
    normal = unicodedata.normalize("NFKC", mapped)
    allowed = bool(normal) and not any(test(letter) for test in _PROHIBITED for letter in normal)
    return normal.encode() if allowed and _directions(normal) else password


def _directions(text: str) -> bool:
    """Whether right-to-left letters are used as RFC 3454, section 6, allows."""
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))
