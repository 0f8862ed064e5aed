"""The first copy of tables, under snapshots whose place in the stream is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import attrs
from attrs import frozen

from etl_core import Batch, Kind, RetryableError, SchemaError, Stream, pack_seq
from etl_pglib.names import quote_ident, quote_literal, quote_stream
from etl_postgres_cdc import slots
from etl_postgres_cdc.catalog import Table
from etl_postgres_cdc.client import Catalog, Replication
from etl_postgres_cdc.copytext import split
from etl_postgres_cdc.decoder import Layout, Rows
from etl_postgres_cdc.position import TableState
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.slots import Exported

__all__ = ["MAX_BYTES", "MAX_ROWS", "take"]

MAX_ROWS = 65536
MAX_BYTES = 8 << 20
#: Heap bytes of a range.
_RANGE = 16 << 20
_LAST = 2**64 - 1
_ROUNDS = 20

Batches = Iterator[Batch | None]


def take(session: Session) -> Batches:
    """Copy every table of the position that has no snapshot yet, and note the snapshot in the position.

    A table whose definition changed since the snapshot was exported is copied under a newer one.
    """
    for _ in range(_ROUNDS):
        pending = session.progress.pending
        if not pending:
            return
        yield from _round(session, pending)
    raise RetryableError("tables kept changing while a snapshot was taken", streams=[str(s) for s in pending])


def _round(session: Session, pending: Sequence[Stream]) -> Batches:
    with closing(Replication(session.config.dsn, session.ctx)) as exporter:
        exported = yield from slots.export(exporter, session.slot)
        with closing(Catalog(session.config.dsn, session.ctx)) as reader:
            for stream in pending:
                yield from _TableCopy(session, reader, exported, stream).run()


@frozen
class _Range:
    """A part of a table: blocks of one relation."""

    relation: Stream
    first: int
    last: int | None

    def condition(self) -> str:
        low = f"ctid >= '({self.first},0)'::pg_catalog.tid"
        return low if self.last is None else f"{low} AND ctid < '({self.last},0)'::pg_catalog.tid"


class _TableCopy:
    """The copy of one table in one transaction under an exported snapshot."""

    def __init__(self, session: Session, reader: Catalog, exported: Exported, stream: Stream) -> None:
        self._session = session
        self._reader = reader
        self._exported = exported
        self._stream = stream

    def run(self) -> Batches:
        """Copy the table, unless its definition has moved on since the snapshot."""
        reader = self._reader
        reader.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", doing="starting a snapshot")
        reader.query(
            f"SET TRANSACTION SNAPSHOT {quote_literal(self._exported.name)}", doing="joining a snapshot"
        )
        table = self._find(reader)
        if table is None:
            self._session.ctx.logger.info("{stream} is no longer published", stream=self._stream)
            self._session.progress.set(self._stream, None)
        elif self._lock(table):
            yield from self._copy(table)
        reader.query("ROLLBACK", doing="ending a snapshot")

    def _find(self, catalog: Catalog) -> Table | None:
        tables = self._session.tables(catalog)
        return next((table for table in tables if table.stream == self._stream), None)

    def _lock(self, table: Table) -> bool:
        """Keep the table as it is, and say whether it still is what the snapshot sees.

        Rows that a later ALTER TABLE or TRUNCATE rewrote are invisible to the snapshot.
        """
        relations = _relations(self._reader, table)
        try:
            for relation, _ in relations:
                self._reader.query(
                    f"LOCK TABLE ONLY {quote_stream(relation)} IN ACCESS SHARE MODE", doing="locking a table"
                )
        except SchemaError:
            return False
        now = self._find(self._session.catalog)
        return (
            now is not None
            and _definition(now) == _definition(table)
            and (_relations(self._session.catalog, table) == relations)
        )

    def _copy(self, table: Table) -> Batches:
        session, lsn = self._session, self._exported.lsn
        layout = session.layout(table.columns, table.key)
        yield Batch(
            Kind.SNAPSHOT_BEGIN,
            self._stream,
            schema=layout.schema,
            key=layout.key_names,
            seq=self._seq(0),
        )
        for number, part in enumerate(_ranges(self._reader, table), 1):
            yield from self._copy_range(layout, table, number, part)
        session.progress.set(self._stream, TableState(table.oid, table.member, lsn, table.columns, table.key))
        yield Batch(
            Kind.SNAPSHOT_END,
            self._stream,
            seq=self._seq(_LAST),
            position=session.progress.value(),
            complete=session.progress.cut is None,
        )

    def _copy_range(self, layout: Layout, table: Table, number: int, part: _Range) -> Batches:
        rows = Rows(layout)
        sql = _select(table, part)
        for row, data in enumerate(self._reader.copy(f"COPY ({sql}) TO STDOUT", "copying a table"), 1):
            rows.read(self._seq(number << 40 | row), split(data, len(layout.names)), len(data))
            if len(rows) >= MAX_ROWS or rows.size >= MAX_BYTES:
                yield self._batch(rows)
                rows = Rows(layout)
        yield self._batch(rows) if len(rows) else None

    def _batch(self, rows: Rows) -> Batch:
        with self._session.ctx.measure("encode"):
            batch = rows.finish()
        progress = self._session.progress
        return Batch.of(self._stream, batch, progress.value(), progress.cut is None)

    def _seq(self, ordinal: int) -> bytes:
        return pack_seq(self._session.ctx.epoch, self._exported.lsn - 1, ordinal)


def _definition(table: Table) -> object:
    """Return what must not have changed since the snapshot."""
    return (attrs.evolve(table, attributes=()), table.columns)


_RELATIONS = """
SELECT n.nspname, c.relname, c.relfilenode::bigint FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = %s AND c.relkind <> 'p'
   OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%s::bigint::oid) WHERE isleaf)
ORDER BY c.oid
"""


def _relations(catalog: Catalog, table: Table) -> list[tuple[Stream, int]]:
    """Return the relations that hold a table's rows: itself or its partitions, and their files."""
    rows = catalog.query(_RELATIONS, table.oid, table.oid, doing="finding a table's files")
    return [(Stream(row[0], row[1]), row[2]) for row in rows]


_BLOCKS = """
SELECT pg_catalog.pg_relation_size(%s::text::regclass) / b.size, b.size
FROM (SELECT pg_catalog.current_setting('block_size')::int AS size) b
"""


def _ranges(catalog: Catalog, table: Table) -> Iterator[_Range]:
    """Cut a table into ranges of blocks; the last has no end, though nothing visible is behind it."""
    for relation, _ in _relations(catalog, table):
        ((blocks, size),) = catalog.query(_BLOCKS, quote_stream(relation), doing="measuring a table")
        step = max(1, _RANGE // size)
        for first in range(0, max(blocks, 1), step):
            yield _Range(relation, first, first + step if first + step < blocks else None)


def _select(table: Table, part: _Range) -> str:
    columns = ", ".join(quote_ident(column.name) for column in table.columns)
    row_filter = f" AND ({table.row_filter})" if table.row_filter else ""
    return f"SELECT {columns} FROM ONLY {quote_stream(part.relation)} WHERE {part.condition()}{row_filter}"
