"""One part of a table as batches: a binary copy where there is a compiled decoder, else a copy in text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa
from attrs import frozen

from etl_core import Cancelled, Context, pack_seq
from etl_pglib.names import quote_ident
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.copytext import split
from etl_postgres_cdc.decoding import MAX_BYTES, MAX_ROWS, copier, is_compiled, new_rows
from etl_postgres_cdc.events import Event, Rows
from etl_postgres_cdc.forms import select
from etl_postgres_cdc.layout import Layout

__all__ = ["Part", "read"]


@frozen
class Part:
    """One part of a table: which rows, from where on in SQL, and the places of its rows in the stream.

    The first row has `ordinal`, the others follow.
    """

    rows: str
    lsn: int
    ordinal: int


def read(
    ctx: Context, connection: Catalog, layout: Layout, part: Part, skip: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part in order, but for the first `skip`."""
    make = _binary if is_compiled() else _text
    yield from make(ctx, connection, layout, part, skip)


def _binary(
    ctx: Context, connection: Catalog, layout: Layout, part: Part, skip: int
) -> Iterator[pa.RecordBatch]:
    columns = ", ".join(select(name, kind) for name, kind in zip(layout.names, layout.types, strict=True))
    rows = new_rows(layout)
    decoder = copier(rows, ctx.epoch, part.lsn, part.ordinal, skip)
    channel = connection.copy_into(f"COPY (SELECT {columns} {part.rows}) TO STDOUT (FORMAT binary)")
    event = int(Event.IDLE)
    while event != Event.ENDED:
        if ctx.cancel.is_set():
            raise Cancelled
        event, _, _, _ = channel.next(decoder, ctx.poll_interval)
        if len(rows) and event in (Event.FULL, Event.ENDED):
            yield _finished(ctx, rows)


def _text(
    ctx: Context, connection: Catalog, layout: Layout, part: Part, skip: int
) -> Iterator[pa.RecordBatch]:
    columns = ", ".join(quote_ident(name) for name in layout.names)
    rows, width = new_rows(layout), len(layout.names)
    sql = f"COPY (SELECT {columns} {part.rows}) TO STDOUT"
    with closing(connection.copy(sql, "copying a table")) as lines:
        for number, data in enumerate(lines):
            if number < skip:
                continue
            seq = pack_seq(ctx.epoch, part.lsn, part.ordinal + number)
            rows.read(seq, split(data, width), len(data))  # type: ignore[attr-defined]
            if len(rows) >= MAX_ROWS or rows.size >= MAX_BYTES:
                yield _finished(ctx, rows)
    if len(rows):
        yield _finished(ctx, rows)


def _finished(ctx: Context, rows: Rows) -> pa.RecordBatch:
    with ctx.measure("encode"):
        return rows.finish()
