"""The client's side of a login, message by message; no I/O."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from etl_core.errors import EtlError
from etl_pglib import failures
from etl_pglib.secure import scram
from etl_pglib.secure.messages import Malformed, message
from etl_pglib.secure.parameters import Parameters, Unsupported

__all__ = ["Login"]

_OK, _CLEARTEXT, _MD5, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 3, 5, 10, 11, 12
#: Kerberos, SCM credentials, GSS, GSS continued, SSPI.
_OF_LIBPQ = {2, 6, 7, 8, 9}
_METHODS = {_OK: "none", _CLEARTEXT: "password", _MD5: "md5", _SASL: "scram-sha-256"}
_REPLY = b"p"
_CODE = struct.Struct(">i")


class Login:
    """One login; each AuthenticationXXX message goes through `answer` until `done`.

    `end_point` returns what channel binding binds to. A server that asks twice, or is content before it has
    proved what SCRAM asks of it, is refused.
    """

    def __init__(self, parameters: Parameters, end_point: Callable[[], bytes]) -> None:
        self._parameters = parameters
        self._end_point = end_point
        self._asked = False
        self._scram: scram.Scram | None = None
        self._bound = False
        self.done = False

    def answer(self, body: bytes) -> bytes | None:
        """Return what to send for a message's body, if anything.

        Raises AuthError, ConfigError, Malformed, or Unsupported for what only libpq can do.
        """
        if len(body) < _CODE.size or self.done:
            raise Malformed
        (code,), rest = _CODE.unpack_from(body), body[_CODE.size :]
        try:
            return self._step(code, rest)
        except scram.Refused:
            raise failures.connecting("authentication failed: the server did not prove who it is") from None

    def _step(self, code: int, rest: bytes) -> bytes | None:
        if code == _OK:
            self._finish()
            return None
        if code in (_SASL_CONTINUE, _SASL_FINAL):
            return self._continue(code, rest)
        if code in _OF_LIBPQ:
            raise Unsupported("the login that the server asks for")
        if code not in _METHODS or self._asked:
            raise failures.connecting("authentication method not supported")
        self._asked = True
        self._check(_METHODS[code])
        return {_CLEARTEXT: self._cleartext, _MD5: self._md5, _SASL: self._begin}[code](rest)

    def _check(self, method: str) -> None:
        """Hold to `require_auth`, and to `channel_binding=require`, which SCRAM alone has."""
        wanted = self._parameters.options.get("require_auth", "")
        listed = [word.removeprefix("!") for word in wanted.split(",") if word]
        if listed and (method in listed) == wanted.startswith("!"):
            raise failures.connecting("authentication method is not one of require_auth")
        if method != "scram-sha-256" and self._must_bind:
            raise _unbound()

    @property
    def _must_bind(self) -> bool:
        return self._parameters.options["channel_binding"] == "require"

    def _finish(self) -> None:
        if not self._asked:
            self._check("none")
        if self._scram is not None and not self._scram.verified:
            raise scram.Refused
        if self._must_bind and not self._bound:
            raise _unbound()
        self.done = True

    def _password(self) -> bytes:
        if not (password := self._parameters.secret):
            raise failures.connecting("no password supplied")
        return password

    def _cleartext(self, _: bytes) -> bytes:
        return message(_REPLY, self._password() + b"\0")

    def _md5(self, salt: bytes) -> bytes:
        if len(salt) != 4:
            raise Malformed
        inner = _md5(self._password() + self._parameters.startup["user"])
        return message(_REPLY, b"md5" + _md5(inner + salt) + b"\0")

    def _begin(self, rest: bytes) -> bytes:
        offered = rest.split(b"\0")
        bind = scram.PLUS in offered and self._parameters.options["channel_binding"] != "disable"
        mechanism = scram.PLUS if bind else scram.PLAIN
        if self._must_bind and not bind:
            raise _unbound()
        if mechanism not in offered:
            raise Unsupported("the login that the server asks for")
        self._bound = bind
        self._scram = scram.Scram(
            self._password(), flag=self._flag(bind=bind), binding=self._end_point() if bind else b""
        )
        first = self._scram.first()
        return message(_REPLY, mechanism + b"\0" + _CODE.pack(len(first)) + first)

    def _flag(self, *, bind: bool) -> bytes:
        """Say what we could have done: a server that offered more, to somebody between us, notices."""
        if bind:
            return b"p=tls-server-end-point"
        return b"n" if self._parameters.options["channel_binding"] == "disable" else b"y"

    def _continue(self, code: int, rest: bytes) -> bytes | None:
        if self._scram is None:
            raise Malformed
        if code == _SASL_CONTINUE:
            return message(_REPLY, self._scram.last(rest))
        self._scram.verify(rest)
        return None


def _unbound() -> EtlError:
    return failures.connecting("channel binding is required, and the server's login has none")


def _md5(data: bytes) -> bytes:
    try:
        return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
    except ValueError:
        raise Unsupported("md5, which this Python is built without") from None
