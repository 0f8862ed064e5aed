"""What stops a decoder, compiled or not, and the forms in which it keeps values."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

from etl_postgres_cdc.layout import Layout

__all__ = ["VERSION", "Copier", "Decoder", "Event", "Happening", "Rows"]


#: The same number as in csrc/pump.h.
VERSION = 1


class Event(IntEnum):
    """The same numbers as `enum event` in csrc/pump.h."""

    #: The time is over; the flag says whether anything came meanwhile.
    IDLE = 1
    #: The data is a message of pgoutput that the decoder does not take itself.
    MESSAGE = 2
    #: The next change is of the relation `number`, for which there is no route yet.
    UNKNOWN = 3
    #: The limit of rows or bytes is reached, inside a transaction or a copy.
    FULL = 4
    #: A transaction ended, and rows or time enough have gathered.
    COMMITTED = 5
    #: All up to the LSN `number` was sent; the flag asks for an answer at once.
    KEEPALIVE = 6
    #: The data are messages of the transaction `number`, which is in progress.
    SPOOL = 7
    #: The server ended the stream, or a copy is complete.
    ENDED = 8
    #: The data is the server's error.
    FAILED = 9
    #: The transaction that is to be gone on with is not the one that came.
    ASTRAY = 10
    #: A new row of the relation `number` lacks a value that the server did not send; it was left out.
    PARTIAL = 11


#: Event, number, data, flag.
Happening = tuple[int, int, bytes | None, bool]


class Rows(Protocol):
    """Rows of one layout on their way into one batch."""

    layout: Layout

    @property
    def size(self) -> int:
        """Bytes of the messages that the rows came in."""

    def __len__(self) -> int: ...

    def finish(self) -> Any:
        """Return the rows as one RecordBatch; none are left. Raises SchemaError for a misfit."""


class Decoder(Protocol):
    """The stream of changes as rows of tables; for one thread.

    What it refuses raises ValueError, the end of the connection EOFError or OSError.
    """

    open: bool
    lsn: int
    xid: int
    ordinal: int
    timestamp: int
    rows: int
    size: int
    skipping: bool
    much: bool
    due: float

    def pump(self, fd: int, timeout: float, nap: float) -> Happening:
        """Receive from a socket and decode until an event; IDLE after `timeout` seconds."""

    def run(self) -> Happening | None:
        """Decode what was fed until an event; None when all of it is taken."""

    def feed(self, data: Any) -> None:
        """Take messages of the wire; during a replay those that were kept."""

    def route(self, relation: int, rows: Any, snapshot: int, only: int) -> None:
        """Send a relation's changes to `rows` (None: nowhere), but for commits below `snapshot`.

        With `only` this holds for the transaction of that commit LSN.
        """

    def forget(self) -> None:
        """Drop all routes."""

    def skip(self, lsn: int, ordinal: int) -> None:
        """Leave out the first `ordinal` changes of the transaction with that commit LSN."""

    def release(self, rows: int, size: int) -> None:
        """Count rows, and their bytes, as taken out of their tables."""

    def begin(self, lsn: int, time: int, xid: int, aborted: bytes) -> None:
        """Begin the replay of a transaction; `aborted` holds sorted native uint32."""

    def commit(self, end: int, time: int) -> None:
        """End the replay."""

    def ended(self) -> int:
        """Return where the last commit ended that was not asked for before; else 0."""


class Copier(Protocol):
    """A copied table as rows; for one thread. Errors are those of `Decoder`."""

    def pump(self, fd: int, timeout: float, nap: float) -> Happening: ...

    def run(self) -> Happening | None: ...

    def feed(self, data: Any) -> None: ...
