"""A stream as it came from the server, to decode it again and again from memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.speed.workloads import PUBLICATION, SLOT, Stream

from etl_core import FatalError, Secret
from etl_pglib.client import Connection, connect

__all__ = ["payloads", "record"]

#: `d` and the length, which counts itself.
_FRAME = struct.Struct(">cI")
#: `w`, the LSN of the message, the LSN that the server has read, its clock.
_HEADER = struct.Struct(">cQQq")
#: `k`, the LSN that the server has read.
_KEEPALIVE = struct.Struct(">cQ")


def record(stream: Stream, path: Path) -> None:
    """Write the frames of a backlog: `d`, length, then `w` with its header and a message of pgoutput."""
    dsn = Secret(stream.database.dsn)
    with stream.database.slot(SLOT) as slot, path.open("wb") as out, ExitStack() as ends:
        connection = connect(dsn, application_name="benchmark", replication=True)
        ends.callback(connection.close)  # its own context would commit
        for message in _received(connection, slot, stream.end):
            out.write(_FRAME.pack(b"d", len(message) + 4) + message)


def _received(connection: Connection, slot: str, end: str) -> Iterator[bytes]:
    """Yield what the server sends of the slot, until it has read up to `end`."""
    high, low = (int(part, 16) for part in end.split("/"))
    options = f"proto_version '1', publication_names '{PUBLICATION}'"
    raw = connection.pgconn
    raw.exec_(f"START_REPLICATION SLOT {slot} LOGICAL 0/0 ({options})".encode())
    while True:
        size, data = raw.get_copy_data(0)
        if size < 0:
            raise FatalError("the server ended the stream", said=raw.get_error_message())
        message = bytes(data)
        if message[:1] == b"w":
            yield message
        elif _KEEPALIVE.unpack_from(message)[1] >= high << 32 | low:
            return


def payloads(stream: bytes) -> Iterator[bytes]:
    """Yield the messages of pgoutput in a recorded stream."""
    at, end = 0, len(stream)
    while at < end:
        frame = at + 1 + _FRAME.unpack_from(stream, at)[1]
        yield stream[at + _FRAME.size + _HEADER.size : frame]
        at = frame
