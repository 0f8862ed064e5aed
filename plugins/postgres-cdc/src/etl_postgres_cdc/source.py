"""The source: PostgreSQL through a publication and a logical replication slot."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import attrs

from etl_core import (
    Batch,
    Cancelled,
    ConfigError,
    Context,
    Source,
    Stream,
    StreamInfo,
)
from etl_postgres_cdc.config import PostgresCdc
from etl_postgres_cdc.position import Progress, format_lsn, parse_lsn
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.snapshot import take
from etl_postgres_cdc.startup import begin, refresh, resume
from etl_postgres_cdc.streaming import Streaming
from etl_postgres_cdc.wal import target

__all__ = ["PostgresSource"]


class PostgresSource(Source):
    """See the package's README for what it promises."""

    def __init__(self, config: PostgresCdc) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._streaming: Streaming | None = None

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        """List the tables as they are published, or would be, with their columns as of now."""
        with closing(Session(self._config, ctx)) as session:
            tables = session.discover()
            session.selection.require([table.stream for table in tables], "of the database")
            layouts = [(table.stream, session.layout(table.columns, table.key)) for table in tables]
            return [StreamInfo(stream, x.schema, x.key_names, stable_seq=True) for stream, x in layouts]

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        """Copy what has no snapshot yet, then follow changes. See `Source.read`."""
        try:
            with closing(Session(self._config, ctx)) as session:
                yield from self._read(session, resume, parse_lsn(until["lsn"]) if until else None)
        except Cancelled:
            return

    def _read(self, session: Session, value: Any, until: int | None) -> Iterator[Batch | None]:
        first = value is None
        session.progress = (yield from begin(session)) if first else resume(session, value)
        refresh(session)
        if first and not session.progress.pending:
            yield Batch.progress(session.progress.value())
        yield from take(session)
        if self._config.snapshot == "only":
            return
        streaming = Streaming(session, until)
        with self._lock:
            self._streaming = streaming
        try:
            yield from streaming.run()
        finally:
            with self._lock:
                self._streaming = None

    def latest(self, ctx: Context) -> Any:
        """Return the WAL's end as of now; None where only a snapshot is taken."""
        if self._config.snapshot == "only":
            return None
        with closing(Session(self._config, ctx)) as session:
            return {"lsn": format_lsn(target(session.catalog))}

    def ack(self, value: Any) -> None:
        """Let the server know, from another thread, that it can forget all up to `value`."""
        lsn = parse_lsn(value["lsn"])
        with self._lock:
            if self._streaming:
                self._streaming.ack(lsn)

    def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
        """Return the position with these tables waiting for a snapshot."""
        progress = Progress.parse(value)
        for stream in streams:
            if stream not in progress.tables:
                raise ConfigError("the table is not one that this pipeline reads", stream=str(stream))
            progress.set(stream, attrs.evolve(progress.tables[stream], snapshot=None))
        return progress.value()
