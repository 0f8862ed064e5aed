"""The source: PostgreSQL through a publication and a logical replication slot."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from typing import Any

import attrs
import pyarrow as pa

from etl_core import (
    Batch,
    Cancelled,
    ConfigError,
    Context,
    EtlError,
    Kind,
    Lag,
    Source,
    Stream,
    StreamInfo,
)
from etl_postgres_cdc import checks
from etl_postgres_cdc.catalog import candidates
from etl_postgres_cdc.config import PostgresCdc
from etl_postgres_cdc.decoding import say_once
from etl_postgres_cdc.estimates import estimates
from etl_postgres_cdc.lag import Horizon, Lagging, look
from etl_postgres_cdc.position import Progress, format_lsn, parse_lsn
from etl_postgres_cdc.sampling import sample
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.snapshot import take
from etl_postgres_cdc.startup import begin, refresh, resume
from etl_postgres_cdc.streaming import Streaming
from etl_postgres_cdc.teardown import teardown
from etl_postgres_cdc.wal import target

__all__ = ["PostgresSource"]

Batches = Iterator[Batch | None]


class PostgresSource(Source):
    """Copies tables, then follows their changes; each read has connections of its own."""

    def __init__(self, config: PostgresCdc) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._streaming: Streaming | None = None
        self._ended: Session | None = None
        self._horizon = Horizon()
        self._lagging = Lagging(config, self._horizon)
        self._progress: Progress | None = None

    def check(self, ctx: Context) -> None:
        """Raise ConfigError with every problem at once, each with the SQL that fixes it."""
        with closing(Session(self._config, ctx)) as session:
            checks.check(session)

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        """List the tables as they are published, or would be, with their columns as of now."""
        with closing(Session(self._config, ctx)) as session:
            tables = session.discover()
            if not tables:
                everything = candidates(session.catalog, lambda _: True)
                session.selection.require([table.stream for table in everything], "of the database")
            rows = estimates(session.catalog, tables)
            layouts = [(table, session.layout(table.columns, table.key)) for table in tables]
            return [
                StreamInfo(table.stream, x.schema, x.key_names, stable_seq=True, estimate=rows.get(table.oid))
                for table, x in layouts
            ]

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Batches:
        """Copy what has no snapshot yet, then follow changes. See `Source.read`."""
        self._end()
        try:
            session = Session(self._config, ctx)
            with closing(ExitStack()) as ends:
                ends.callback(session.close)
                yield from self._read(session, resume, parse_lsn(until["lsn"]) if until else None)
                ends.pop_all()
                self._ended = session
        except Cancelled:
            return

    def _read(self, session: Session, value: Any, until: int | None) -> Batches:
        first = value is None
        say_once(session.ctx)
        if session.streams:
            self._horizon.note(look(session.catalog, session.slot))
        session.progress = (yield from begin(session)) if first else resume(session, value)
        self._horizon.advance(session.progress)
        self._progress = session.progress
        yield from _announce(session)
        refresh(session)
        if first and not session.progress.pending:
            yield Batch.progress(session.progress.value())
        yield from take(session)
        if session.streams:
            yield from self._stream(session, until)

    def _stream(self, session: Session, until: int | None) -> Batches:
        streaming = Streaming(session, until)
        with self._lock:
            self._streaming = streaming
        yield from streaming.run()

    def latest(self, ctx: Context) -> Any:
        """Return the WAL's end as of now; None where only a snapshot is taken."""
        if self._config.snapshot == "only":
            return None
        with closing(Session(self._config, ctx)) as session:
            return {"lsn": format_lsn(target(session.catalog))}

    def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
        """Return up to `n` rows of a table."""
        with closing(Session(self._config, ctx)) as session:
            return sample(session, stream, n)

    def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
        """Return the position with these tables waiting for a snapshot."""
        progress = Progress.parse(value)
        for stream in streams:
            if stream not in progress.tables:
                raise ConfigError("the table is not one that this pipeline reads", stream=str(stream))
            progress.set(stream, attrs.evolve(progress.tables[stream], snapshot=None))
        return progress.value()

    def ack(self, value: Any) -> None:
        """Let the server forget all up to `value`."""
        lsn = parse_lsn(value["lsn"])
        with self._lock:
            if self._streaming:
                self._streaming.ack(lsn)

    def lag(self, ctx: Context, value: Any) -> Lag | None:
        """Return how far the WAL went on and what the slot keeps of it; None where nothing is followed."""
        if self._config.snapshot == "only":
            return None
        lag = self._lagging.measure(ctx, value)
        if self._progress:
            self._horizon.advance(self._progress)
        return lag

    def teardown(self, ctx: Context) -> Sequence[str]:
        """Drop the slot and the publication, where they are ours."""
        self._end()
        with closing(Session(self._config, ctx)) as session:
            return teardown(session)

    def close(self) -> None:
        """Confirm what became durable after a finite read had ended, then end all connections."""
        self._lagging.close()
        with suppress(EtlError, Cancelled):
            if self._ended and self._streaming:
                self._streaming.settle()
        self._end()

    def _end(self) -> None:
        with self._lock:
            self._streaming = None
        ended, self._ended = self._ended, None
        if ended:
            ended.close()


def _announce(session: Session) -> Batches:
    """Say which columns tables have at the position, where the catalog has moved on since."""
    now = {table.stream: session.layout(table.columns, table.key) for table in session.tables()}
    for stream, table in session.progress.tables.items():
        if table.snapshot is None or not table.columns:
            continue
        layout = session.layout(table.columns, table.key)
        if stream not in now or not layout.full.equals(now[stream].full, check_metadata=True):
            yield Batch(Kind.SCHEMA, stream, schema=layout.schema, key=layout.key_names)
