"""A context without an engine, and what reads a source with it and remembers what came."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from etl_core import OP, SEQ, Batch, Cancel, Kind, Metrics, Secret, Stream
from etl_postgres_cdc.config import PostgresCdc
from etl_postgres_cdc.source import PostgresSource

DEADLINE = 30.0


class FakeContext:
    """What a source is handed; joins the threads it was asked for."""

    def __init__(self, pipeline: str, epoch: int = 1, poll_interval: float = 0.05) -> None:
        self.pipeline = pipeline
        self.epoch = epoch
        self.stopped = threading.Event()
        self.cancel: Cancel = self.stopped
        self.logger = logger
        self.metrics: Metrics = self
        self.poll_interval = poll_interval
        self.spill = Path(tempfile.gettempdir())
        self.gauges: dict[str, float] = {}
        self.phases: dict[str, float] = {}
        self.threads: list[threading.Thread] = []
        self.callbacks: list[Callable[[], None]] = []

    def count(self, name: str, value: float = 1, **labels: str) -> None: ...

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.gauges[name] = value

    def spawn(self, target: Callable[..., None], *args: Any, name: str = "") -> threading.Thread:
        thread = threading.Thread(target=target, args=args, name=name)
        self.threads.append(thread)
        thread.start()
        return thread

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback) if callback in self.callbacks else None

    def stop(self) -> None:
        self.stopped.set()
        for callback in list(self.callbacks):
            callback()

    def payload(self, *args: Any) -> None: ...

    def reject(self, *args: Any) -> None: ...

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - started


class Harness:
    """One pipeline's source: reads on, keeps batches, applies them to tables in memory."""

    def __init__(self, dsn: str, tables: list[str], *, pipeline: str | None = None, **settings: Any) -> None:
        self.config = PostgresCdc(dsn=Secret(dsn), tables=tables, **settings)
        self.pipeline = pipeline or dsn.rsplit("/", 1)[1]
        self.source = PostgresSource(self.config)
        self.ctx = self.context()
        self.batches: list[Batch] = []
        self.position: Any = None
        self._iterator: Iterator[Batch | None] | None = None

    def context(self, epoch: int = 1) -> Any:
        return FakeContext(self.pipeline, epoch)

    def start(self, resume: Any = None, until: Any = None, epoch: int = 1) -> Harness:
        """Begin a read, after ending the one before."""
        self.stop()
        self.ctx = self.context(epoch)
        resume = json.loads(json.dumps(resume))
        self._iterator = self.source.read(self.ctx, resume, until)
        return self

    def stop(self) -> None:
        if self._iterator is not None:
            self._iterator.close()  # type: ignore[attr-defined]
            self._iterator = None

    def close(self) -> None:
        self.stop()
        self.source.close()
        for thread in self.ctx.threads:
            thread.join(5)
            assert not thread.is_alive()

    def next(self) -> Batch | None:
        """Take one thing from the source."""
        assert self._iterator is not None
        batch = next(self._iterator)
        if batch is not None:
            self.batches.append(batch)
            if batch.position is not None:
                self.position = batch.position
        return batch

    def until(self, condition: Callable[[], object]) -> None:
        """Read on until the condition holds."""
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, "the source did not deliver in time"
            self.next()

    def batch(self, kind: Kind, after: int = 0) -> Batch:
        """Read on until a batch of this kind came, `after` so many batches; return it."""
        found: list[Batch] = []

        def there() -> bool:
            found[:] = [batch for batch in self.batches[after:] if batch.kind is kind]
            return bool(found)

        self.until(there)
        return found[0]

    def rows(self, count: int, table: str | None = None) -> list[dict[str, Any]]:
        """Read on until so many rows came, and whatever position covers them; return them."""
        self.until(lambda: len(rows_of(self.batches, table)) >= count and self._covered())
        found = rows_of(self.batches, table)
        assert len(found) == count, found
        return found

    def _covered(self) -> bool:
        return bool(self.batches) and self.batches[-1].position is not None

    def once(self, resume: Any = None, epoch: int = 1, close: bool = True) -> list[Batch]:
        """Read to the source's end as of now and return what came."""
        self.start(resume, self.source.latest(self.context()), epoch)
        before = len(self.batches)
        end = time.monotonic() + DEADLINE
        while True:
            assert time.monotonic() < end, "the read did not end"
            try:
                self.next()
            except StopIteration:
                self._iterator = None
                if close:
                    self.source.close()
                return self.batches[before:]

    def ack(self) -> None:
        self.source.ack(self.position)


def rows_of(batches: Iterable[Batch], table: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of batches as dictionaries."""
    rows: list[dict[str, Any]] = []
    for batch in batches:
        if batch.kind is Kind.ROWS and (table is None or str(batch.stream) == table):
            assert batch.rows is not None
            rows += batch.rows.to_pylist()
    return rows


def plain(rows: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return rows as tuples of their operation and data."""
    return [
        (row[OP], *(value for name, value in row.items() if not name.startswith("_etl_"))) for row in rows
    ]


def seqs(batches: Iterable[Batch]) -> list[tuple[Stream | None, bytes]]:
    """Return the sequences of all that has one, in order of delivery, each with its stream."""
    found: list[tuple[Stream | None, bytes]] = []
    for batch in batches:
        if batch.kind is Kind.ROWS and batch.rows is not None:
            found += [(batch.stream, seq) for seq in batch.rows.column(SEQ).to_pylist()]
        elif batch.seq is not None:
            found.append((batch.stream, batch.seq))
    return found
