"""Messages of PostgreSQL's protocol 3.0, made and taken apart; no I/O.

The formats are those of the PostgreSQL documentation, "Message Formats". Whatever a server says of a length
is checked before it is believed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from etl_core.errors import EtlError
from etl_pglib import failures

__all__ = [
    "TERMINATE",
    "TLS_REQUEST",
    "Malformed",
    "cancel_request",
    "columns",
    "copy_data",
    "failure",
    "message",
    "query",
    "startup",
    "take",
]

TLS_REQUEST = struct.pack(">ii", 8, 80877103)
TERMINATE = b"X\0\0\0\x04"
_VERSION = 196608
_CANCEL = 80877102
_HEADER = struct.Struct(">ci")
_LENGTH = struct.Struct(">i")
_COUNT = struct.Struct(">H")


class Malformed(Exception):
    """What came is not of the protocol, or longer than it may be."""


def message(kind: bytes, body: bytes) -> bytes:
    """Frame a message of the client."""
    return _HEADER.pack(kind, len(body) + 4) + body


def copy_data(payload: bytes) -> bytes:
    """Frame what goes into a running copy, such as a status update to a walsender."""
    return message(b"d", payload)


def query(sql: str) -> bytes:
    """Frame a simple query."""
    return message(b"Q", sql.encode() + b"\0")


def startup(parameters: Mapping[str, bytes]) -> bytes:
    """Frame the first message of a session."""
    body = b"".join(name.encode() + b"\0" + value + b"\0" for name, value in parameters.items()) + b"\0"
    return struct.pack(">ii", len(body) + 8, _VERSION) + body


def cancel_request(key: bytes) -> bytes:
    """Frame the request to cancel what runs in the session of `key` (process and secret, 8 bytes)."""
    return struct.pack(">ii", 8 + len(key), _CANCEL) + key


def take(buffer: bytearray, limit: int) -> tuple[bytes, bytes] | None:
    """Remove the first message from `buffer`: its kind and body; None when it has not all come yet.

    Raises Malformed where the length cannot be, or is above `limit`.
    """
    if len(buffer) < _HEADER.size:
        return None
    kind, length = _HEADER.unpack_from(buffer)
    if not (4 <= length <= limit and kind.isalpha()):
        raise Malformed
    if len(buffer) <= length:
        return None
    body = bytes(buffer[_HEADER.size : length + 1])
    del buffer[: length + 1]
    return kind, body


def columns(body: bytes) -> tuple[str | None, ...]:
    """Return the values of a DataRow in text. Raises Malformed."""
    try:
        (count,) = _COUNT.unpack_from(body)
        values, at = [], _COUNT.size
        for _ in range(count):
            value, at = _value(body, at)
            values.append(value)
    except (struct.error, UnicodeDecodeError):
        raise Malformed from None
    if at != len(body):
        raise Malformed
    return tuple(values)


def _value(body: bytes, at: int) -> tuple[str | None, int]:
    (length,) = _LENGTH.unpack_from(body, at)
    start = at + _LENGTH.size
    if length == -1:
        return None, start
    if not 0 <= length <= len(body) - start:
        raise Malformed
    return body[start : start + length].decode(), start + length


def failure(body: bytes, doing: str) -> EtlError:
    """Return what an ErrorResponse means to a pipeline."""
    fields = _fields(body)
    return failures.executing(fields.get("C", ""), doing, fields.get("M"), fields.get("H"))


def _fields(body: bytes) -> dict[str, str]:
    """Read the fields of an ErrorResponse: a letter and a text each. Its encoding may be any, early on."""
    return {
        part[:1].decode(errors="replace"): part[1:].decode(errors="replace") for part in body.split(b"\0")
    }
