"""Destinations of the benchmark: Arrow in memory (or counted and dropped, or kept in a file), Parquet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from etl_core import RESERVED, Destination, Mode, Position, Stream, Write

__all__ = ["ArrowSink", "ParquetSink"]


class ArrowSink(Destination):
    """Takes rows as Arrow, with the reserved columns.

    `keep` says what becomes of them: `memory` keeps them, `file` writes them beside, `none` drops them.
    `stall`: for so many seconds it does not take the first rows, as a destination that has stopped.
    """

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})

    def __init__(self, keep: str = "memory", directory: Path | None = None, stall: float = 0.0) -> None:
        self.rows = 0
        self._keep = keep
        self._directory = directory
        self._stall = stall
        self._kept: list[pa.Table] = []
        self._files: dict[Stream, tuple[Path, Any]] = {}

    def write(self, write: Write) -> None:
        if write.rows is None:
            return
        if self._stall:
            threading.Event().wait(self._stall)
            self._stall = 0.0
        self.rows += write.rows.num_rows
        if self._keep == "memory":
            self._kept.append(write.rows)
        elif self._keep == "file":
            self._file(write.stream, write.rows.schema).write_table(write.rows)

    def flush(self, position: Position) -> None:
        return None

    def tables(self) -> Iterator[pa.Table]:
        """Return what was kept, in pieces."""
        yield from self._kept
        for path, writer in self._files.values():
            writer.close()
            with pa.memory_map(str(path)) as data:
                for batch in pa.ipc.open_stream(data):
                    yield pa.Table.from_batches([batch])

    def _file(self, stream: Stream, schema: pa.Schema) -> Any:
        if stream not in self._files:
            assert self._directory is not None
            path = self._directory / f"{len(self._files)}.arrow"
            self._files[stream] = path, pa.ipc.new_stream(str(path), schema)
        return self._files[stream][1]


class ParquetSink(Destination):
    """Writes the source's columns as Parquet files (snappy); a flush ends the files that are open."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})

    def __init__(self, directory: Path) -> None:
        self.rows = 0
        self.directory = directory
        self._open: dict[Stream, pq.ParquetWriter] = {}
        self._made = 0

    def write(self, write: Write) -> None:
        if write.rows is None:
            return
        rows = write.rows.drop_columns([name for name in RESERVED if name in write.rows.column_names])
        self.rows += rows.num_rows
        self._writer(write.stream, rows.schema).write_table(rows)

    def flush(self, position: Position) -> None:
        for writer in self._open.values():
            writer.close()
        self._open.clear()

    def _writer(self, stream: Stream, schema: pa.Schema) -> pq.ParquetWriter:
        if stream not in self._open:
            self._made += 1
            self._open[stream] = pq.ParquetWriter(self.directory / f"{self._made}.parquet", schema)
        return self._open[stream]
