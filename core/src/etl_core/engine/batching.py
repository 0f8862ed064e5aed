"""Gathers rows per stream until a limit of the batch policy is reached. Slices and chunks, never copies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
from attrs import define, field

from etl_core.model import SEQ, Stream

if TYPE_CHECKING:
    from etl_core.config import BatchPolicy

__all__ = ["Batcher"]


@define
class _Buffer:
    since: float
    rows: int = 0
    bytes: int = 0
    chunks: list[pa.RecordBatch] = field(factory=list)


class Batcher:
    """Buffers per stream; yields chunked tables of one schema, in order within each stream."""

    def __init__(self, policy: BatchPolicy, memory: int) -> None:
        self._policy = policy
        self._memory = memory
        self._buffers: dict[Stream, _Buffer] = {}
        self._bytes = 0

    def add(self, stream: Stream, rows: pa.RecordBatch) -> Iterator[tuple[Stream, pa.Table]]:
        """Take rows; yield the batches that became full."""
        buffer = self._buffers.get(stream)
        if buffer and not buffer.chunks[0].schema.equals(rows.schema):
            yield from self.drain(stream)
        for piece, size in self._pieces(stream, rows):
            self._append(stream, piece, size)
            if self._full(stream):
                yield from self.drain(stream)
        if self._bytes > self._memory:
            yield from self.drain()

    def drain(self, stream: Stream | None = None) -> Iterator[tuple[Stream, pa.Table]]:
        """Yield what is buffered, of one stream or of all."""
        for name in [stream] if stream is not None else list(self._buffers):
            buffer = self._buffers.pop(name, None)
            if buffer:
                self._bytes -= buffer.bytes
                yield name, pa.Table.from_batches(buffer.chunks)

    def due(self) -> Iterator[tuple[Stream, pa.Table]]:
        """Yield the batches whose rows have waited long enough."""
        limit = time.monotonic() - self._policy.max_wait
        for stream in [name for name, buffer in self._buffers.items() if buffer.since <= limit]:
            yield from self.drain(stream)

    def deadline(self) -> float | None:
        """Return when (monotonic seconds) the next batch falls due."""
        if not self._buffers:
            return None
        return min(buffer.since for buffer in self._buffers.values()) + self._policy.max_wait

    def _append(self, stream: Stream, rows: pa.RecordBatch, size: int) -> None:
        buffer = self._buffers.setdefault(stream, _Buffer(time.monotonic()))
        buffer.chunks.append(rows)
        buffer.rows += rows.num_rows
        buffer.bytes += size
        self._bytes += size

    def _full(self, stream: Stream) -> bool:
        buffer = self._buffers[stream]
        return buffer.rows >= self._policy.max_rows or buffer.bytes >= self._policy.max_bytes

    def _pieces(self, stream: Stream, rows: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, int]]:
        """Slice rows so that each piece, given with its size, just fills the stream's batch."""
        size = rows.nbytes
        width = max(1, size // max(1, rows.num_rows))
        start = 0
        while start < rows.num_rows:
            buffer = self._buffers.get(stream)
            room = min(
                self._policy.max_rows - (buffer.rows if buffer else 0),
                -(-(self._policy.max_bytes - (buffer.bytes if buffer else 0)) // width),
            )
            end = _whole_seq(rows, start + max(1, room))
            whole = end - start == rows.num_rows
            piece = rows if whole else rows.slice(start, end - start)
            yield piece, size if whole else piece.nbytes
            start = end


def _whole_seq(rows: pa.RecordBatch, end: int) -> int:
    """Move a cut so that rows of one seq stay together."""
    if end >= rows.num_rows:
        return int(rows.num_rows)
    seqs = rows.column(SEQ)
    while end < rows.num_rows and seqs[end].is_valid and seqs[end].equals(seqs[end - 1]):
        end += 1
    return end
