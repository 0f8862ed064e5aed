"""Reading parts of tables ahead, on connections of their own, and handing them out in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from queue import Empty, Full, Queue
from typing import Self

import pyarrow as pa
from attrs import define

from etl_core import Context, RetryableError
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.reading import Part, read

__all__ = ["Copying"]

#: Batches of one part that wait to be taken.
_AHEAD = 2
#: Connections that may break one after the other while a part brings no batch.
_FAILURES = 3

#: Where a part's batches wait; None is its end.
Out = Queue[pa.RecordBatch | None]


@define
class _Job:
    """A part that is being read: how many of its rows were put out, and how often that failed since."""

    part: Part
    out: Out
    done: int = 0
    failures: int = 0


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
        self._jobs = map(_Job, parts, self._queues)
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
            self._read_parts()
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the rows are taken
            self._error = error

    def _read_parts(self) -> None:
        """Read parts until none is left; a connection that breaks is replaced while the snapshot lives."""
        job = self._take()
        while job is not None:
            try:
                with self._lend() as connection, self._interruptible(connection):
                    while job is not None:
                        self._read(connection, job)
                        job = self._take()
            except RetryableError:
                if job is None:
                    return  # all rows were read; it was the connection's last word
                if self._stopped or job.failures >= _FAILURES:
                    raise
                job.failures += 1

    def _read(self, connection: Catalog, job: _Job) -> None:
        """Read a part on from where it is; its rows come in the order of the heap, whoever reads them."""
        for batch in read(self._ctx, connection, self._layout, job.part, job.done):
            self._put(job.out, batch)
            job.done += batch.num_rows
            job.failures = 0
        self._put(job.out, None)

    @contextmanager
    def _interruptible(self, connection: Catalog) -> Iterator[None]:
        with self._lock:
            self._running.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(connection)

    def _take(self) -> _Job | None:
        with self._lock:
            return None if self._stopped else next(self._jobs, None)

    def _put(self, out: Out, batch: pa.RecordBatch | None) -> None:
        while not self._stopped:
            try:
                return out.put(batch, timeout=self._ctx.poll_interval)
            except Full:
                continue
        raise _Stopped
