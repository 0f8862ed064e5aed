"""Messages of pgoutput, protocol versions 1 and 2, as PostgreSQL's documentation describes them.

`parse` is a pure function. Text is taken as it comes, a null is None, and an unchanged TOAST value, which
the server leaves out, is UNCHANGED.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from etl_core import FatalError

__all__ = [
    "UNCHANGED",
    "Begin",
    "Commit",
    "Delete",
    "Insert",
    "Logical",
    "Message",
    "Origin",
    "Relation",
    "RelationColumn",
    "StreamAbort",
    "StreamCommit",
    "StreamStart",
    "StreamStop",
    "Truncate",
    "Type",
    "Unchanged",
    "Update",
    "Values",
    "parse",
]


class Unchanged(enum.Enum):
    """A value that an update left as it was and the server did not send."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
Values = list[str | Unchanged | None]


class Begin(NamedTuple):
    """A transaction's changes follow. `lsn` is its commit's; `timestamp` is us since 2000-01-01 UTC."""

    lsn: int
    timestamp: int
    xid: int


class Commit(NamedTuple):
    """The transaction's end; `end` is where the WAL goes on."""

    lsn: int
    end: int
    timestamp: int


class Origin(NamedTuple):
    """The transaction came from another server."""

    lsn: int
    name: str


class RelationColumn(NamedTuple):
    """A column of a relation; `key` says that it is part of the replica identity."""

    key: bool
    name: str
    oid: int
    typmod: int


class Relation(NamedTuple):
    """What the rows of a table look like from here on; sent before its first row and after changes."""

    relation: int
    namespace: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]


class Type(NamedTuple):
    """The name of a type that is not built in."""

    oid: int
    namespace: str
    name: str


class Insert(NamedTuple):
    """A row was inserted."""

    relation: int
    new: Values


class Update(NamedTuple):
    """A row was updated. `old` is its replica identity (`full`: all of it), or None when unchanged."""

    relation: int
    old: Values | None
    full: bool
    new: Values


class Delete(NamedTuple):
    """A row was deleted; `old` is its replica identity (`full`: all of it)."""

    relation: int
    old: Values
    full: bool


class Truncate(NamedTuple):
    """Tables were emptied together."""

    relations: tuple[int, ...]
    options: int


class Logical(NamedTuple):
    """A message of `pg_logical_emit_message`."""

    lsn: int
    prefix: str
    content: bytes


class StreamStart(NamedTuple):
    """Changes of a transaction that is still in progress follow."""

    xid: int
    first: bool


class StreamStop(NamedTuple):
    """That is all of it for now."""


class StreamCommit(NamedTuple):
    """A transaction whose changes came while it was in progress has committed."""

    xid: int
    lsn: int
    end: int
    timestamp: int


class StreamAbort(NamedTuple):
    """A sub-transaction of one in progress was rolled back, or all of it (`subxid` is `xid` then)."""

    xid: int
    subxid: int


Message = (
    Begin
    | Commit
    | Origin
    | Relation
    | Type
    | Insert
    | Update
    | Delete
    | Truncate
    | Logical
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
)


_BEGIN = struct.Struct(">QqI")
_COMMIT = struct.Struct(">xQQq")
_LOGICAL = struct.Struct(">xq")
_U16 = struct.Struct(">H")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")
_U32 = struct.Struct(">I")
_LATEST = 2**63 - 1 - 946_684_800_000_000
_COLUMN = struct.Struct(">Ii")
_RELATION = struct.Struct(">cH")
_TRUNCATE = struct.Struct(">iB")
_STREAM_START = struct.Struct(">IB")
_STREAM_COMMIT = struct.Struct(">IxQQq")
_STREAM_ABORT = struct.Struct(">II")


def parse(data: bytes) -> Message:
    """Return the message that `data` is. Raises FatalError when it is not exactly one."""
    try:
        message, end = _PARSERS[data[:1]](data)
    except (KeyError, IndexError, ValueError, struct.error):
        end = -1
    if end != len(data):
        raise FatalError(
            "the server sent something that is no message of pgoutput",
            "the database's encoding must be UTF8 or convertible to it",
            kind=data[:1].hex(),
            size=len(data),
        )
    return message


def _begin(data: bytes) -> tuple[Begin, int]:
    lsn, timestamp, xid = _BEGIN.unpack_from(data, 1)
    return Begin(lsn, _time(timestamp), xid), 1 + _BEGIN.size


def _commit(data: bytes) -> tuple[Commit, int]:
    lsn, end, timestamp = _COMMIT.unpack_from(data, 1)
    return Commit(lsn, end, _time(timestamp)), 1 + _COMMIT.size


def _origin(data: bytes) -> tuple[Origin, int]:
    name, end = _string(data, 9)
    return Origin(_I64.unpack_from(data, 1)[0], name), end


def _relation(data: bytes) -> tuple[Relation, int]:
    namespace, at = _string(data, 5)
    name, at = _string(data, at)
    identity, count = _RELATION.unpack_from(data, at)
    at += _RELATION.size
    columns = []
    for _ in range(count):
        column, end = _string(data, at + 1)
        columns.append(RelationColumn(bool(data[at] & 1), column, *_COLUMN.unpack_from(data, end)))
        at = end + _COLUMN.size
    return Relation(_relid(data, 1), namespace, name, identity.decode("ascii"), tuple(columns)), at


def _type(data: bytes) -> tuple[Type, int]:
    namespace, at = _string(data, 5)
    name, at = _string(data, at)
    return Type(_relid(data, 1), namespace, name), at


def _insert(data: bytes) -> tuple[Insert, int]:
    _expect(data, 5, b"N")
    new, end = _tuple(data, 6)
    return Insert(_relid(data, 1), new), end


def _update(data: bytes) -> tuple[Update, int]:
    old: Values | None = None
    at, kind = 5, data[5:6]
    if kind in (b"K", b"O"):
        old, at = _tuple(data, 6)
    _expect(data, at, b"N")
    new, end = _tuple(data, at + 1)
    return Update(_relid(data, 1), old, kind == b"O", new), end


def _delete(data: bytes) -> tuple[Delete, int]:
    kind = data[5:6]
    if kind != b"K":
        _expect(data, 5, b"O")
    old, end = _tuple(data, 6)
    return Delete(_relid(data, 1), old, kind == b"O"), end


def _truncate(data: bytes) -> tuple[Truncate, int]:
    count, options = _TRUNCATE.unpack_from(data, 1)
    end = 6 + 4 * count
    relations = struct.unpack_from(f">{max(count, 0)}I", data, 6)
    return Truncate(relations, options), end


def _logical(data: bytes) -> tuple[Logical, int]:
    (lsn,) = _LOGICAL.unpack_from(data, 1)
    prefix, at = _string(data, 1 + _LOGICAL.size)
    end = at + 4 + _U32.unpack_from(data, at)[0]
    return Logical(lsn, prefix, data[at + 4 : end]), end


def _stream_start(data: bytes) -> tuple[StreamStart, int]:
    xid, first = _STREAM_START.unpack_from(data, 1)
    return StreamStart(xid, bool(first)), 1 + _STREAM_START.size


def _stream_stop(data: bytes) -> tuple[StreamStop, int]:
    return StreamStop(), 1


def _stream_commit(data: bytes) -> tuple[StreamCommit, int]:
    xid, lsn, end, timestamp = _STREAM_COMMIT.unpack_from(data, 1)
    return StreamCommit(xid, lsn, end, _time(timestamp)), 1 + _STREAM_COMMIT.size


def _stream_abort(data: bytes) -> tuple[StreamAbort, int]:
    return StreamAbort(*_STREAM_ABORT.unpack_from(data, 1)), 1 + _STREAM_ABORT.size


def _time(micros: int) -> int:
    """Return a time since 2000 that can also be one since 1970."""
    if micros > _LATEST:
        raise ValueError("no time")
    return micros


def _relid(data: bytes, at: int) -> int:
    return int(_U32.unpack_from(data, at)[0])


def _expect(data: bytes, at: int, kind: bytes) -> None:
    if data[at : at + 1] != kind:
        raise ValueError("unexpected tuple")


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1


def _tuple(data: bytes, at: int) -> tuple[Values, int]:
    (count,) = _U16.unpack_from(data, at)
    at += 2
    values: Values = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == _TEXT:
            start = at + 4
            at = start + _I32.unpack_from(data, at)[0]
            if not start <= at <= len(data):
                raise ValueError("value out of bounds")
            values.append(data[start:at].decode())
        elif kind == _NULL:
            values.append(None)
        elif kind == _UNCHANGED:
            values.append(UNCHANGED)
        else:
            raise ValueError("unknown kind of value")
    return values, at


_TEXT, _NULL, _UNCHANGED = b"tnu"

_PARSERS: dict[bytes, Callable[[bytes], tuple[Message, int]]] = {
    b"B": _begin,
    b"C": _commit,
    b"O": _origin,
    b"R": _relation,
    b"Y": _type,
    b"I": _insert,
    b"U": _update,
    b"D": _delete,
    b"T": _truncate,
    b"M": _logical,
    b"S": _stream_start,
    b"E": _stream_stop,
    b"c": _stream_commit,
    b"A": _stream_abort,
}
