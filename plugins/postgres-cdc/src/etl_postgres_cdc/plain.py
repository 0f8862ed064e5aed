"""The decoder in Python: what runs where nothing was compiled, and the oracle of what is.

It does what csrc/decoder.c does, message by message, and refuses what that refuses.
"""

from __future__ import annotations

import os
import struct
import time
from array import array

from attrs import define, frozen

from etl_core import FatalError, pack_seq
from etl_postgres_cdc import pgoutput
from etl_postgres_cdc.events import Event, Happening
from etl_postgres_cdc.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    StreamStart,
    Update,
)
from etl_postgres_cdc.rows import EPOCH, Rows
from etl_postgres_cdc.waiting import readable

__all__ = ["PlainDecoder"]

_HEADER = 5
_XLOG_HEADER = 25
_XID = slice(1, 5)
_KEEPALIVE = struct.Struct(">xQQB")
_LENGTH = struct.Struct(">I")
_LARGEST = (1 << 30) + (1 << 20)
_ROOM = 256 << 10
_PIECE = 256 << 10


@frozen
class _Route:
    rows: Rows | None
    snapshot: int
    only: int


@define
class _Wire:
    """Bytes that came, cut into messages."""

    data: bytearray
    start: int = 0

    def feed(self, data: bytes) -> None:
        del self.data[: self.start]
        self.start = 0
        self.data += data

    def peek(self, at: int) -> tuple[int, bytes, int] | None:
        """Return kind, body and size of the message at a place, if it has all come."""
        if len(self.data) - at < _HEADER:
            return None
        (length,) = _LENGTH.unpack_from(self.data, at + 1)
        if not _LENGTH.size <= length <= _LARGEST:
            raise ValueError("no such length of a message")
        if len(self.data) - at < length + 1:
            return None
        return self.data[at], bytes(self.data[at + _HEADER : at + length + 1]), length + 1


class PlainDecoder:
    """See `events.Decoder`."""

    def __init__(self, epoch: int, max_rows: int, max_bytes: int) -> None:
        self._epoch = epoch
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._wire = _Wire(bytearray())
        self._replay = _Wire(bytearray())
        self._replaying = False
        self._block: int | None = None
        self._gathered = 0
        self._aborted: frozenset[int] = frozenset()
        self._routes: dict[int, _Route] = {}
        self._cut: tuple[int, int] | None = None
        self._end = 0
        self._time = 0
        self.open = False
        self.lsn = self.xid = self.ordinal = 0
        self.timestamp = 0
        self.rows = self.size = 0
        self.due = 0.0

    @property
    def skipping(self) -> bool:
        return self._cut is not None

    @property
    def much(self) -> bool:
        return self.rows >= self._max_rows // 2 or self.size >= self._max_bytes // 2

    def pump(self, fd: int, timeout: float, nap: float) -> Happening:
        deadline = time.monotonic() + timeout
        came = False
        while True:
            event = self.run()
            if event is not None:
                return event
            left = deadline - time.monotonic()
            if left <= 0:
                return Event.IDLE, 0, None, came
            if readable(fd, left):
                data = os.read(fd, _ROOM)
                if not data:
                    raise EOFError
                came = True
                self._wire.feed(data)

    def feed(self, data: bytes) -> None:
        (self._replay if self._replaying else self._wire).feed(data)

    def run(self) -> Happening | None:
        wire = self._replay if self._replaying else self._wire
        while message := wire.peek(wire.start):
            kind, body, size = message
            if self._is_kept(kind, body):
                return self._spool()
            event = self._frame(kind, body)
            if event is None or event[0] != Event.UNKNOWN:
                wire.start += size
            if event is not None:
                return event
        return None

    def route(self, relation: int, rows: Rows | None, snapshot: int, only: int) -> None:
        self._routes[relation] = _Route(rows, snapshot, only)

    def forget(self) -> None:
        self._routes.clear()

    def skip(self, lsn: int, ordinal: int) -> None:
        self._cut = (lsn, ordinal)

    def release(self, rows: int, size: int) -> None:
        if not (0 <= rows <= self.rows and 0 <= size <= self.size):
            raise ValueError("more than was gathered")
        self.rows -= rows
        self.size -= size

    def begin(self, lsn: int, time: int, xid: int, aborted: bytes) -> None:
        if self.open or self._replaying:
            raise ValueError("a transaction inside a transaction")
        self._aborted = frozenset(array("I", aborted))
        self.open = self._replaying = True
        self.lsn, self.xid, self.ordinal, self._time = lsn, xid, 0, time

    def commit(self, end: int, time: int) -> None:
        if not self._replaying or self._replay.start != len(self._replay.data):
            raise ValueError("a transaction that is not complete")
        self.open = self._replaying = False
        self._committed(end, time)

    def ended(self) -> int:
        end, self._end = self._end, 0
        return end

    def _is_kept(self, kind: int, body: bytes) -> bool:
        """Whether this is a message inside a block of a transaction in progress."""
        if self._block is None or self._replaying:
            return False
        return kind == ord("d") and body[:1] == b"w" and len(body) > _XLOG_HEADER and body[25:] != b"E"

    def _spool(self) -> Happening | None:
        """Hand out messages of the block, when they are many or the last for now."""
        wire = self._wire
        while message := wire.peek(wire.start + self._gathered):
            if not self._is_kept(message[0], message[1]):
                break
            self._gathered += message[2]
        if message is None and self._gathered < _PIECE:
            return None
        end = wire.start + self._gathered
        data = bytes(wire.data[wire.start : end])
        wire.start, self._gathered = end, 0
        return Event.SPOOL, self._block or 0, data, False

    def _frame(self, kind: int, body: bytes) -> Happening | None:
        match chr(kind):
            case "d":
                return self._copy_data(body)
            case "c" | "C":
                return Event.ENDED, 0, None, False
            case "E":
                return Event.FAILED, 0, body, False
            case "N" | "S":
                return None
        raise ValueError("no such message")

    def _copy_data(self, body: bytes) -> Happening | None:
        if body[:1] == b"k":
            if len(body) != _KEEPALIVE.size:
                raise ValueError("no keepalive")
            end, _, answer = _KEEPALIVE.unpack(body)
            return Event.KEEPALIVE, end, None, bool(answer)
        if body[:1] != b"w" or len(body) <= _XLOG_HEADER:
            raise ValueError("no data of a log")
        payload = body[_XLOG_HEADER:]
        return self._kept(payload) if self._replaying else self._payload(payload)

    def _kept(self, payload: bytes) -> Happening | None:
        if len(payload) < 1 + 4:
            raise ValueError("no message of a transaction in progress")
        if payload[:1] == b"O":
            return None  # has no xid, and says nothing that matters
        aborted = int.from_bytes(payload[_XID]) in self._aborted
        if aborted and payload[:1] not in (b"R", b"Y"):
            return None
        if payload[:1] in (b"B", b"C"):
            raise ValueError("a transaction inside a transaction")
        return self._message(payload[:1] + payload[5:])

    def _payload(self, payload: bytes) -> Happening | None:
        if self._block is not None:
            self._block = None  # the only message that is not kept ends the block
            return None
        if payload[:1] == b"S" and not self.open:
            start = _parse(payload)
            assert isinstance(start, StreamStart)
            self._block = start.xid
            return None
        return self._message(payload)

    def _message(self, payload: bytes) -> Happening | None:
        kind = payload[:1]
        if kind in (b"I", b"U", b"D"):
            return self._row(payload)
        if kind in (b"B", b"C"):
            return self._boundary(_parse(payload))
        if kind == b"T":
            return self._truncate(payload)
        if kind == b"R":
            self._routes.pop(int.from_bytes(payload[1:5]), None)
            if len(payload) < 5:
                raise ValueError("no relation")
        return Event.MESSAGE, 0, payload, False

    def _boundary(self, message: Message) -> Happening | None:
        if isinstance(message, Begin) and not self.open:
            self.open, self.ordinal = True, 0
            self.lsn, self.xid, self._time = message.lsn, message.xid, message.timestamp + EPOCH
            return None
        if not isinstance(message, Commit) or not self.open:
            raise ValueError("a transaction inside a transaction")
        self.open = False
        self._committed(message.end, message.timestamp + EPOCH)
        due = self.much or (self.due and time.monotonic() >= self.due)
        return (Event.COMMITTED, 0, None, False) if due else None

    def _committed(self, end: int, timestamp: int) -> None:
        if self._cut and self._cut[0] == self.lsn:
            self._cut = None
        self._end = end
        self.timestamp = timestamp

    def _judge(self) -> bool | None:
        """Whether the next change is taken; None: its transaction is not the one to go on with."""
        if self._cut is None:
            return True
        lsn, ordinal = self._cut
        return None if lsn != self.lsn else self.ordinal >= ordinal

    def _count(self, *, taken: bool) -> None:
        self.ordinal += 1
        if taken:
            self._cut = None

    def _truncate(self, payload: bytes) -> Happening | None:
        if not self.open:
            raise ValueError("a change outside of a transaction")
        taken = self._judge()
        if taken is None:
            return Event.ASTRAY, 0, None, False
        self._count(taken=taken)
        return (Event.MESSAGE, 0, payload, False) if taken else None

    def _row(self, payload: bytes) -> Happening | None:
        if not self.open or len(payload) < 5:
            raise ValueError("a change outside of a transaction")
        taken = self._judge()
        if taken is None:
            return Event.ASTRAY, 0, None, False
        relation = int.from_bytes(payload[1:5])
        route = self._routes.get(relation)
        if taken and (route is None or route.only not in (0, self.lsn)):
            return Event.UNKNOWN, relation, None, False
        self._count(taken=taken)
        if not taken or route is None or route.rows is None or self.lsn < route.snapshot:
            return None
        return self._add(payload, route.rows)

    def _add(self, payload: bytes, rows: Rows) -> Happening | None:
        change = _parse(payload)
        assert isinstance(change, Insert | Update | Delete)
        size = len(payload)
        if (
            isinstance(change, Insert)
            and len(change.new) == len(rows.layout.names)
            and UNCHANGED in change.new
        ):
            return Event.PARTIAL, change.relation, None, False
        rows.change(change, pack_seq(self._epoch, self.lsn, self.ordinal << 1), self._time - EPOCH, size)
        self.rows += 1
        self.size += size
        full = self.rows >= self._max_rows or self.size >= self._max_bytes
        return (Event.FULL, 0, None, False) if full else None


def _parse(payload: bytes) -> Message:
    """Parse a message; refuse with ValueError, as the compiled decoder does."""
    try:
        return pgoutput.parse(payload)
    except FatalError:
        raise ValueError("no message of pgoutput") from None
