"""From a fresh channel to the first ReadyForQuery."""

from __future__ import annotations

from collections.abc import Mapping

from etl_pglib import failures
from etl_pglib.secure import messages
from etl_pglib.secure.authentication import Login
from etl_pglib.secure.channel import Deadline
from etl_pglib.secure.messages import Malformed
from etl_pglib.secure.opening import failed
from etl_pglib.secure.parameters import Parameters, Unsupported
from etl_pglib.secure.wire import Wire

__all__ = ["enter"]

#: Bytes of a message before the session is ready: libpq's limit for errors.
_LIMIT = 30_000


def enter(wire: Wire, parameters: Parameters, deadline: Deadline) -> bytes:
    """Log in and return the key that a cancel request needs.

    Raises AuthError, ConfigError, RetryableError, or Unsupported for what only libpq can do.
    """
    try:
        _send(wire, messages.startup(parameters.startup), deadline)
        _log_in(wire, parameters, deadline)
        key, reports = _settle(wire, parameters, deadline)
    except Malformed:
        raise failures.connecting("the server's answer is not of the protocol") from None
    except OSError as error:
        raise failed(error) from None
    if parameters.reports is not None and not parameters.reports.items() <= reports.items():
        raise Unsupported("target_session_attrs: another server answered")
    return key


def _send(wire: Wire, data: bytes, deadline: Deadline) -> None:
    wire.channel.encrypt(data)
    wire.channel.flush(deadline)


def _next(wire: Wire, parameters: Parameters, deadline: Deadline) -> tuple[bytes, bytes]:
    """Return the next message that is no notice. Raises what an ErrorResponse means."""
    while True:
        kind, body = wire.next(_LIMIT, lambda: deadline.left)
        if kind == b"E":
            # A server that was told the password in clear could say it.
            said = body.replace(parameters.secret, b"***") if parameters.secret else body
            raise messages.failure(said, "connecting")
        if kind != b"N":
            return kind, body


def _log_in(wire: Wire, parameters: Parameters, deadline: Deadline) -> None:
    login = Login(parameters, wire.channel.end_point)
    while not login.done:
        kind, body = _next(wire, parameters, deadline)
        if kind != b"R":
            raise Malformed
        if (reply := login.answer(body)) is not None:
            _send(wire, reply, deadline)


def _settle(wire: Wire, parameters: Parameters, deadline: Deadline) -> tuple[bytes, Mapping[str, str]]:
    """Read what the server says of itself until it is ready."""
    key, reports = b"", dict[str, str]()
    while True:
        kind, body = _next(wire, parameters, deadline)
        if kind == b"Z":
            return key, reports
        if kind == b"K" and len(body) == 8:
            key = body
        elif kind == b"S" and len(parts := body.decode(errors="replace").split("\0")) == 3:
            reports[parts[0]] = parts[1]
        else:
            raise Malformed
