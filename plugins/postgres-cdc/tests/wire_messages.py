"""Messages as the server writes them: pgoutput's, and the frames that they come in."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from etl_postgres_cdc.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    Logical,
    Message,
    Origin,
    Relation,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
    Values,
)

__all__ = ["copied_row", "copy_header", "encode", "frame", "in_progress", "keepalive", "notice", "wal"]


def name(text: str) -> bytes:
    return text.encode() + b"\0"


def row(values: Values) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if isinstance(value, str):
            data = value.encode()
            parts.append(b"t" + struct.pack(">i", len(data)) + data)
        else:
            parts.append(b"n" if value is None else b"u")
    return b"".join(parts)


def encode(message: Message) -> bytes:  # noqa: C901, PLR0912 - one case per message
    """Write a message as the server does."""
    match message:
        case Begin(lsn, timestamp, xid):
            return b"B" + struct.pack(">QqI", lsn, timestamp, xid)
        case Commit(lsn, end, timestamp):
            return b"C\0" + struct.pack(">QQq", lsn, end, timestamp)
        case Origin(lsn, text):
            return b"O" + struct.pack(">q", lsn) + name(text)
        case Relation(relation, namespace, text, identity, columns):
            head = b"R" + struct.pack(">I", relation) + name(namespace) + name(text) + identity.encode()
            return (
                head
                + struct.pack(">H", len(columns))
                + b"".join(
                    bytes([key]) + name(column) + struct.pack(">Ii", oid, typmod)
                    for key, column, oid, typmod in columns
                )
            )
        case Type(oid, namespace, text):
            return b"Y" + struct.pack(">I", oid) + name(namespace) + name(text)
        case Insert(relation, new):
            return b"I" + struct.pack(">I", relation) + b"N" + row(new)
        case Update(relation, old, full, new):
            before = b"" if old is None else (b"O" if full else b"K") + row(old)
            return b"U" + struct.pack(">I", relation) + before + b"N" + row(new)
        case Delete(relation, old, full):
            return b"D" + struct.pack(">I", relation) + (b"O" if full else b"K") + row(old)
        case Truncate(relations, options):
            return (
                b"T"
                + struct.pack(">iB", len(relations), options)
                + struct.pack(f">{len(relations)}I", *relations)
            )
        case Logical(lsn, prefix, content):
            return b"M\0" + struct.pack(">q", lsn) + name(prefix) + struct.pack(">I", len(content)) + content
        case StreamStart(xid, first):
            return b"S" + struct.pack(">IB", xid, first)
        case StreamStop():
            return b"E"
        case StreamCommit(xid, lsn, end, timestamp):
            return b"c" + struct.pack(">IBQQq", xid, 0, lsn, end, timestamp)
        case StreamAbort(xid, subxid):
            return b"A" + struct.pack(">II", xid, subxid)


def in_progress(xid: int, message: Message) -> bytes:
    """Write a message inside a block of a transaction in progress: all but origins have its number."""
    data = encode(message)
    return data if isinstance(message, Origin) else data[:1] + struct.pack(">I", xid) + data[1:]


def frame(kind: bytes, body: bytes) -> bytes:
    """Write a message of the frontend/backend protocol."""
    return kind + struct.pack(">I", len(body) + 4) + body


def wal(payload: bytes, lsn: int = 0) -> bytes:
    """Write a message of pgoutput as the stream of a walsender has it."""
    return frame(b"d", b"w" + struct.pack(">QQq", lsn, lsn, 0) + payload)


def keepalive(end: int, *, answer: bool = False) -> bytes:
    return frame(b"d", b"k" + struct.pack(">QqB", end, 0, answer))


def notice() -> bytes:
    return frame(b"N", b"SNOTICE\0Mheed\0\0")


def copy_header(extension: bytes = b"", flags: int = 0) -> bytes:
    """Write what a binary copy begins with."""
    return b"PGCOPY\n\xff\r\n\0" + struct.pack(">II", flags, len(extension)) + extension


def copied_row(values: Iterable[bytes | None]) -> bytes:
    """Write one row of a binary copy."""
    fields = [b"\xff" * 4 if value is None else struct.pack(">I", len(value)) + value for value in values]
    return struct.pack(">H", len(fields)) + b"".join(fields)
