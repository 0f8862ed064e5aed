"""The first copy of tables, under snapshots whose place in the stream is known."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial

import attrs

from etl_core import AuthError, Batch, FatalError, Kind, RetryableError, Stream, pack_seq
from etl_pglib.names import quote_literal, quote_stream
from etl_postgres_cdc import slots
from etl_postgres_cdc.catalog import Table
from etl_postgres_cdc.client import Catalog, Replication
from etl_postgres_cdc.copying import Copying
from etl_postgres_cdc.estimates import estimate
from etl_postgres_cdc.position import TableState
from etl_postgres_cdc.ranges import queries, relations
from etl_postgres_cdc.reading import Part
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.slots import Exported
from etl_postgres_cdc.wal import position

__all__ = ["take"]

_LAST = 2**64 - 1
_LOCKS = "10s"
# Rows come in the order of the heap: another plan, perhaps after an ANALYZE, would have another order, and
# a part is read on after its first rows when its connection broke.
_SETTINGS = """
SELECT pg_catalog.set_config(name, value, true) FROM (VALUES
  ('lock_timeout', %s), ('enable_indexscan', 'off'), ('enable_indexonlyscan', 'off'),
  ('enable_bitmapscan', 'off'), ('max_parallel_workers_per_gather', '0'), ('synchronize_seqscans', 'off')
) AS settings (name, value)
"""
_ROUNDS = 20
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

Batches = Iterator[Batch | None]


def take(session: Session) -> Batches:
    """Copy every table of the position that has no snapshot yet, and note the snapshot in the position.

    A table whose definition changed since the snapshot was exported is copied under a newer one.
    """
    for _ in range(_ROUNDS):
        if not session.progress.pending:
            return
        yield from _round(session, session.progress.pending)
    if session.progress.pending:
        raise RetryableError(
            "tables kept changing while a snapshot was taken",
            streams=[str(stream) for stream in session.progress.pending],
        )


def _round(session: Session, pending: Sequence[Stream]) -> Batches:
    if session.streams:
        with closing(Replication(session.config.dsn, session.ctx)) as exporter:
            exported = yield from slots.export(exporter, session.slot)
            yield from _copies(session, exported, pending)
    else:
        with closing(Catalog(session.config.dsn, session.ctx)) as holder:
            yield from _copies(session, _export(holder), pending)


def _export(holder: Catalog) -> Exported:
    """Export a snapshot without a slot. No stream follows, so its LSN has only to order it."""
    holder.query(_BEGIN, doing="exporting a snapshot")
    lsn = position(holder)
    ((name,),) = holder.query("SELECT pg_catalog.pg_export_snapshot()", doing="exporting a snapshot")
    return Exported(lsn, name)


def _copies(session: Session, exported: Exported, pending: Sequence[Stream]) -> Batches:
    progress = session.progress
    with closing(_Pool(session, exported)) as pool:
        for stream in pending:
            with pool.lend() as reader:
                copy = _TableCopy(session, pool, reader, exported.lsn, stream)
                copied = yield from copy.run()
            if copied:  # and the table is free for DDL again, however long the batch takes
                progress.set(stream, copied)
                end, seq, whole = Kind.SNAPSHOT_END, copy.seq(_LAST), progress.cut is None
                yield Batch(end, stream, seq=seq, position=progress.value(), complete=whole)


class _Pool:
    """Connections for the copies of one exported snapshot; each is lent for one table's transaction."""

    def __init__(self, session: Session, exported: Exported) -> None:
        self._session = session
        self._exported = exported
        self._idle: list[Catalog] = []

    @contextmanager
    def lend(self, lock_timeout: str = "0") -> Iterator[Catalog]:
        """Lend a connection that is in a transaction under the snapshot; from any thread.

        What copies beside the connection that has the locks waits for locks only so long: DDL that waits
        for ours would be waited for by theirs, in a circle that the server cannot see.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = Catalog(self._session.config.dsn, self._session.ctx)
        try:
            connection.query(_BEGIN, doing="joining a snapshot")
            self._join(connection)
            connection.query(_SETTINGS, lock_timeout, doing="joining a snapshot")
            yield connection
            connection.query("ROLLBACK", doing="leaving a snapshot")
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _join(self, connection: Catalog) -> None:
        name = quote_literal(self._exported.name)
        try:
            connection.query(f"SET TRANSACTION SNAPSHOT {name}", doing="joining a snapshot")
        except FatalError as error:
            server = error.facts.get("server")
            raise RetryableError("the exported snapshot is gone", server=server) from None

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


class _TableCopy:
    """The copy of one table; `reader` keeps it as it is meanwhile."""

    def __init__(self, session: Session, pool: _Pool, reader: Catalog, lsn: int, stream: Stream) -> None:
        self._session = session
        self._pool = pool
        self._reader = reader
        self._lsn = lsn
        self._stream = stream

    def run(self) -> Generator[Batch | None, None, TableState | None]:
        """Copy the table and return what is known of it then; None if it has moved on since the snapshot."""
        table = self._find(self._reader)
        if table is None:
            self._session.ctx.logger.info("{stream} is no longer published", stream=self._stream)
            self._session.progress.set(self._stream, None)
        elif self._lock(table):
            yield from self._copy(table)
            return TableState(table.oid, table.member, self._lsn, table.columns, table.key)
        return None

    def seq(self, ordinal: int) -> bytes:
        return pack_seq(self._session.ctx.epoch, self._lsn - 1, ordinal)

    def _find(self, catalog: Catalog) -> Table | None:
        return self._session.table(self._stream, catalog)

    def _lock(self, table: Table) -> bool:
        """Keep the table as it is, and say whether it still is what the snapshot sees.

        Rows that a later ALTER TABLE or TRUNCATE rewrote are invisible to the snapshot.
        """
        seen = relations(self._reader, table)
        try:
            for relation, _ in seen:
                lock = f"LOCK TABLE ONLY {quote_stream(relation)} IN ACCESS SHARE MODE"
                self._reader.query(lock, doing="locking a table")
        except AuthError:
            raise
        except FatalError:
            return False  # it is gone, or has another name
        now = self._find(self._session.catalog)
        same = now is not None and _definition(now) == _definition(table)
        return same and relations(self._session.catalog, table) == seen

    def _copy(self, table: Table) -> Batches:
        session = self._session
        layout = session.layout(table.columns, table.key)
        yield Batch(
            Kind.SNAPSHOT_BEGIN,
            self._stream,
            schema=layout.schema,
            key=layout.key_names,
            seq=self.seq(0),
            estimate=estimate(self._reader, table),
        )
        parts = [
            Part(rows, self._lsn - 1, number << 40 | 1)
            for number, rows in enumerate(queries(self._reader, table), 1)
        ]
        progress, readers = session.progress, session.config.snapshot_readers
        with Copying(session.ctx, partial(self._pool.lend, _LOCKS), layout, parts, readers) as copying:
            for rows in copying.batches():
                whole = progress.cut is None
                yield None if rows is None else Batch.of(self._stream, rows, progress.value(), whole)


def _definition(table: Table) -> object:
    """Return what must not have changed since the snapshot."""
    return attrs.evolve(table, attributes=()), table.columns
