"""Changes of transactions in progress, kept as they came until it is known what becomes of them."""

from __future__ import annotations

import errno
import os
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from attrs import define, field, frozen

from etl_core import RetryableError

__all__ = ["Spool", "Spools", "packed"]

#: Bytes of all transactions in progress that stay in memory.
_BUDGET = 8 << 20


@frozen
class Piece:
    """Messages of the wire that came in one go, and how many descriptions of tables had come by then."""

    start: int
    size: int
    serial: int


@define
class Spool:
    """What came of one transaction; beyond the budget in a file without a name: nothing stays."""

    pieces: list[Piece] = field(factory=list)
    size: int = 0
    aborted: set[int] = field(factory=set)
    _directory: Path = field(kw_only=True)
    _memory: bytearray = field(factory=bytearray)
    _file: FileIO | None = None

    @property
    def in_memory(self) -> int:
        return len(self._memory)

    def add(self, data: bytes, serial: int) -> None:
        """Append messages."""
        self.pieces.append(Piece(self.size, len(data), serial))
        self.size += len(data)
        self._memory += data

    def to_disk(self) -> None:
        """Move what is in memory to the file. Raises RetryableError when that cannot be written."""
        with self._disk():
            if self._file is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
            left = memoryview(self._memory)
            while left:
                left = left[self._file.write(left) :]
        self._memory = bytearray()

    def read(self) -> Iterator[tuple[bytes, int]]:
        """Yield each piece with its serial, in order. Raises RetryableError when the file cannot be read."""
        on_disk = self.size - len(self._memory)
        for piece in self.pieces:
            if piece.start < on_disk:
                yield self._from_disk(piece), piece.serial
            else:
                start = piece.start - on_disk
                yield bytes(self._memory[start : start + piece.size]), piece.serial

    def _from_disk(self, piece: Piece) -> bytes:
        assert self._file is not None
        with self._disk():
            self._file.seek(piece.start)
            data = b""
            while len(data) < piece.size:
                more = self._file.read(piece.size - len(data))
                if not more:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                data += more
        return data

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RetryableError(
                "a transaction in progress cannot be kept on disk",
                "make room, or point resources.spill elsewhere; nothing is lost",
                directory=str(self._directory),
                reason=error.strerror,
            ) from None

    def close(self) -> None:
        """Give up memory and file."""
        self._memory = bytearray()
        if self._file:
            self._file.close()


class Spools:
    """The transactions in progress of one stream, by their number."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._spools: dict[int, Spool] = {}

    def __len__(self) -> int:
        return len(self._spools)

    @property
    def in_memory(self) -> int:
        """Bytes that are in memory."""
        return sum(spool.in_memory for spool in self._spools.values())

    def add(self, xid: int, data: bytes, serial: int) -> None:
        """Keep messages of a transaction; the largest goes to disk when all are too large together."""
        if xid not in self._spools:
            self._spools[xid] = Spool(directory=self._directory)
        self._spools[xid].add(data, serial)
        if self.in_memory > _BUDGET:
            max(self._spools.values(), key=lambda spool: spool.in_memory).to_disk()

    def abort(self, xid: int, subxid: int) -> None:
        """Forget a transaction, or note which part of it was rolled back."""
        if xid == subxid:
            self._drop(xid)
        elif xid in self._spools:
            self._spools[xid].aborted.add(subxid)

    def take(self, xid: int) -> Spool:
        """Return what was kept of a transaction that committed; the caller closes it."""
        return self._spools.pop(xid, None) or Spool(directory=self._directory)

    def close(self) -> None:
        for xid in list(self._spools):
            self._drop(xid)

    def _drop(self, xid: int) -> None:
        spool = self._spools.pop(xid, None)
        if spool:
            spool.close()


def packed(xids: set[int]) -> bytes:
    """Return transaction numbers as decoders take them."""
    return array("I", sorted(xids)).tobytes()
