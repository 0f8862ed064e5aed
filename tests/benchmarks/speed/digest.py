"""What Arrow tables, Parquet files and DuckDB databases hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from benchmarks.speed.contents import Column, Contents, in_duckdb

from etl_core import OP, SEQ

__all__ = ["of_arrow", "of_duckdb", "of_json", "of_parquet", "ordered"]

_ROWS = 100_000


def of_arrow(tables: Iterable[pa.Table], columns: Sequence[Column]) -> Contents:
    """Return what a history holds, rows by operation; those of a snapshot count like those of a table."""
    query = in_duckdb(columns, "rows", f"CASE {OP} WHEN 'r' THEN '' ELSE {OP} END")
    names = [OP, *(column.name for column in columns)]

    def found() -> Iterator[Any]:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for table in _gathered(table.select(names) for table in tables):
                connection.register("rows", table)
                yield from connection.execute(query).fetchall()

    return Contents.of(found())


def _gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Put small tables together: a query costs more than its rows."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= _ROWS:
            yield pa.concat_tables(waiting)
            waiting.clear()
    if waiting:
        yield pa.concat_tables(waiting)


def of_parquet(directory: Path, columns: Sequence[Column]) -> Contents:
    """Return what the Parquet files below a directory hold."""
    with duckdb.connect() as connection:
        return _of(connection, [f"read_parquet('{directory}/**/*.parquet')"], columns)


def of_duckdb(path: Path, tables: Iterable[str], columns: Sequence[Column]) -> Contents:
    """Return what tables of a DuckDB file hold together."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return _of(connection, tables, columns)


def of_json(path: Path, columns: Sequence[Column]) -> Contents:
    """Return what a history in a file of JSON objects holds."""
    texts = ("uuid", "jsonb")
    types = {column.name: "varchar" if column.kind in texts else column.type for column in columns}
    listed = ", ".join(f"{name}: '{kind}'" for name, kind in {OP: "varchar", **types}.items())
    relation = f"read_json('{path}', format = 'newline_delimited', columns = {{{listed}}})"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return Contents.of(connection.execute(in_duckdb(columns, relation, OP)).fetchall())


def _of(
    connection: duckdb.DuckDBPyConnection, relations: Iterable[str], columns: Sequence[Column]
) -> Contents:
    connection.execute("SET TimeZone = 'UTC'")
    queries = [in_duckdb(columns, relation) for relation in relations]
    return Contents.of(row for query in queries for row in connection.execute(query).fetchall())


def ordered(tables: Iterable[pa.Table]) -> bool:
    """Say whether `_etl_seq` rises from row to row, as it has to in one stream."""
    last = b""
    for table in tables:
        seqs = table.column(SEQ).cast(pa.binary()).combine_chunks()
        if not len(seqs):
            continue
        if seqs[0].as_py() <= last or not pc.all(pc.less(seqs[:-1], seqs[1:])).as_py():
            return False
        last = seqs[-1].as_py()
    return True
