"""A few rows of a table, without side effects."""

from __future__ import annotations

from contextlib import closing

import pyarrow as pa

from etl_core import ConfigError, Stream, data_columns, pack_seq
from etl_pglib.names import quote_ident, quote_stream
from etl_postgres_cdc.copytext import split
from etl_postgres_cdc.rows import Rows
from etl_postgres_cdc.session import Session

__all__ = ["sample"]


def sample(session: Session, stream: Stream, n: int) -> pa.Table:
    """Return up to `n` rows of a table, with its columns. Raises ConfigError when it is not one to read."""
    table = next((table for table in session.discover() if table.stream == stream), None)
    if table is None:
        raise ConfigError("the table is not one that this pipeline reads", stream=str(stream))
    columns = ", ".join(quote_ident(column.name) for column in table.columns)
    row_filter = f" WHERE {table.row_filter}" if table.row_filter else ""
    sql = f"COPY (SELECT {columns} FROM {quote_stream(stream)}{row_filter} LIMIT {int(n)}) TO STDOUT"
    rows = Rows(session.layout(table.columns, table.key))
    with closing(session.catalog.copy(sql, "sampling a table")) as lines:
        for line in lines:
            rows.read(pack_seq(0, 0, 0), split(line, len(table.columns)), len(line))
    schema = data_columns(rows.layout.schema)
    return pa.Table.from_batches([rows.finish()]).select(schema.names)
