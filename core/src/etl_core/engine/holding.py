"""Holds back a source transaction until it is whole, on disk past a memory budget.

Only for destinations that may show rows before `flush`: one that keeps the position commits nothing before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import attrs
import pyarrow as pa

from etl_core.engine.reading import Item
from etl_core.errors import FatalError

__all__ = ["Holder", "spill_directory"]

_SUFFIX = ".arrows"


def spill_directory(spill: Path, pipeline: str) -> Path:
    """Return the directory of one pipeline, always a child of `spill`, whatever the name."""
    return spill / f"{quote(pipeline, safe='')}.spill"


class Holder:
    """Takes items in order; gives them back, in order, once a complete position has come.

    `directory` is this pipeline's own; what a crash left of its files is removed at the start, as it is
    read again from the source. Nothing else there is touched.
    """

    def __init__(self, directory: Path, memory: int) -> None:
        self._directory = directory
        self._memory = memory
        self._items: deque[tuple[Item, Path | None]] = deque()
        self._bytes = 0
        self._number = 0
        for left in directory.glob(f"*{_SUFFIX}"):
            left.unlink(missing_ok=True)

    def feed(self, item: Item) -> Iterator[Item]:
        """Take an item; yield what is whole with it."""
        self._hold(item)
        if item.position is not None and item.position.complete:
            yield from self.release()

    def release(self) -> Iterator[Item]:
        """Yield everything held."""
        while self._items:
            item, path = self._items.popleft()
            yield item if path is None else _read(item, path)
        self._bytes = 0

    def _hold(self, item: Item) -> None:
        rows = item.batch.rows
        size = rows.get_total_buffer_size() if rows is not None else 0
        if rows is None or self._bytes + size <= self._memory:
            self._bytes += size
            self._items.append((item, None))
            return
        path = self._write(rows)
        self._items.append((attrs.evolve(item, batch=attrs.evolve(item.batch, rows=None)), path))

    def _write(self, rows: pa.RecordBatch) -> Path:
        self._number += 1
        path = self._directory / f"{self._number}{_SUFFIX}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
                writer.write_batch(rows)
        except OSError as error:
            raise FatalError(
                "a source transaction cannot be spilled to disk",
                "make room, or point resources.spill elsewhere; nothing is lost",
                directory=str(self._directory),
                error=error.strerror,
            ) from error
        return path


def _read(item: Item, path: Path) -> Item:
    with pa.OSFile(str(path), "rb") as file:
        rows = pa.ipc.open_stream(file).read_next_batch()
    path.unlink()
    return attrs.evolve(item, batch=attrs.evolve(item.batch, rows=rows))
