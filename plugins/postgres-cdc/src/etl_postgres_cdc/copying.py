"""Reading parts of tables ahead, on connections of their own, and handing them out in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from queue import Empty, Full, Queue
from typing import Self

import pyarrow as pa
from attrs import frozen

from etl_core import Context
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.copytext import split
from etl_postgres_cdc.decoder import Layout, Rows

__all__ = ["MAX_BYTES", "MAX_ROWS", "Copying", "Part"]

MAX_ROWS = 65536
MAX_BYTES = 8 << 20
#: Batches of one part that wait to be taken.
_AHEAD = 2


@frozen
class Part:
    """One part of a table: the query that reads it, and the sequence of its row of that number."""

    sql: str
    seq: Callable[[int], bytes]


#: Where a part's batches wait; None is its end.
Out = Queue[pa.RecordBatch | None]


class _Stopped(Exception):
    """Nobody takes the rows any more."""


class Copying:
    """Reads parts on several threads, each with a connection of its own, and keeps their order.

    At most one part per thread is being read, and few of its batches wait. Use as a context: leaving it
    interrupts what runs and joins the threads.
    """

    def __init__(
        self,
        ctx: Context,
        lend: Callable[[], AbstractContextManager[Catalog]],
        layout: Layout,
        parts: Sequence[Part],
        readers: int,
    ) -> None:
        self._ctx = ctx
        self._lend = lend
        self._layout = layout
        self._queues: list[Out] = [Queue(_AHEAD) for _ in parts]
        self._parts = iter(zip(parts, self._queues, strict=True))
        self._lock = threading.Lock()
        self._stopped = False
        self._error: BaseException | None = None
        self._running: set[Catalog] = set()
        self._threads = [ctx.spawn(self._work, name="copy") for _ in range(min(readers, len(parts)))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopped = True
        with self._lock:
            for connection in self._running if kind else ():
                connection.interrupt()
        for thread in self._threads:
            thread.join()

    def batches(self) -> Iterator[pa.RecordBatch | None]:
        """Yield the rows of all parts in their order; None when there is nothing for a poll interval."""
        for waiting in self._queues:
            while True:
                try:
                    batch = waiting.get(timeout=self._ctx.poll_interval)
                except Empty:
                    if self._error:
                        raise self._error from None
                    yield None
                else:
                    if batch is None:
                        break
                    yield batch

    def _work(self) -> None:
        try:
            with self._lend() as connection, self._interruptible(connection):
                while part := self._take():
                    self._read(connection, *part)
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the rows are taken
            self._error = error

    @contextmanager
    def _interruptible(self, connection: Catalog) -> Iterator[None]:
        with self._lock:
            self._running.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(connection)

    def _take(self) -> tuple[Part, Out] | None:
        with self._lock:
            return None if self._stopped else next(self._parts, None)

    def _read(self, connection: Catalog, part: Part, out: Out) -> None:
        rows, columns = Rows(self._layout), len(self._layout.names)
        with closing(connection.copy(part.sql, "copying a table")) as lines:
            for number, data in enumerate(lines, 1):
                rows.read(part.seq(number), split(data, columns), len(data))
                if len(rows) >= MAX_ROWS or rows.size >= MAX_BYTES:
                    self._put(out, self._finish(rows))
                    rows = Rows(self._layout)
        if len(rows):
            self._put(out, self._finish(rows))
        self._put(out, None)

    def _finish(self, rows: Rows) -> pa.RecordBatch:
        with self._ctx.measure("encode"):
            return rows.finish()

    def _put(self, out: Out, batch: pa.RecordBatch | None) -> None:
        while not self._stopped:
            try:
                return out.put(batch, timeout=self._ctx.poll_interval)
            except Full:
                continue
        raise _Stopped
