"""Unfinished snapshots: durable in a table of our own schema, in the stream's table only at their end."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from etl_core import Mode, StateError, Stream
from etl_duckdb.client import Database
from etl_duckdb.names import CONTROL, fold, located, quote
from etl_duckdb.target import Target, exists, read
from etl_duckdb.writing import append

__all__ = ["begin", "discard_all", "end", "find", "stage"]

_PREFIX = "staged "
#: In a staged table: the order in which rows came.
_ORDER = "_etl_n"


def begin(db: Database, pipeline: str, stream: Stream, target: Target) -> None:
    """Start a run, for rows as the table has them now; an unfinished one is discarded."""
    name = _quoted(db, _name(pipeline, stream))
    db.run(f"CREATE OR REPLACE TABLE {name} AS SELECT *, 0::BIGINT AS {_ORDER} FROM {target.name} LIMIT 0")


def find(db: Database, pipeline: str, stream: Stream) -> Target | None:
    """Return the table of the unfinished run, or None when there is none."""
    name = _name(pipeline, stream)
    return read(db, _quoted(db, name)) if exists(db, CONTROL, name) else None


def stage(db: Database, pipeline: str, stream: Stream, rows: pa.Table) -> None:
    """Add rows to the unfinished run."""
    staged = _unfinished(db, pipeline, stream)
    first = db.rows(f"SELECT count(*) FROM {staged.name}")[0][0]
    numbers = pa.array(range(first, first + rows.num_rows), pa.int64())
    append(db, staged, rows.append_column(_ORDER, numbers))


def end(db: Database, pipeline: str, stream: Stream, mode: Mode, target: Target, key: Sequence[str]) -> None:
    """Let the rows of the run appear: added under APPEND, else as the whole table."""
    staged = _unfinished(db, pipeline, stream)
    if mode is Mode.MERGE and key:
        _keep_last(db, staged, key)
    if mode is not Mode.APPEND:
        db.run(f"DELETE FROM {target.name}")
    names = ", ".join(quote(name) for name in staged.columns.names if name != _ORDER)
    db.run(f"INSERT INTO {target.name} ({names}) SELECT {names} FROM {staged.name}")
    db.run(f"DROP TABLE {staged.name}")


def discard_all(db: Database, pipeline: str) -> None:
    """Discard every unfinished run of a pipeline."""
    tables = db.rows(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?",
        [db.catalog, CONTROL],
    )
    for (name,) in tables:
        if name.startswith(_PREFIX) and json.loads(name.removeprefix(_PREFIX))[0] == pipeline:
            db.run(f"DROP TABLE {_quoted(db, name)}")


def _name(pipeline: str, stream: Stream) -> str:
    return _PREFIX + json.dumps([pipeline, *map(fold, located(stream))], ensure_ascii=False)


def _quoted(db: Database, name: str) -> str:
    return f"{db.control}.{quote(name)}"


def _unfinished(db: Database, pipeline: str, stream: Stream) -> Target:
    staged = find(db, pipeline, stream)
    if staged is None:
        raise StateError(
            "rows of a snapshot whose beginning the file does not have",
            "the file was replaced, or the position does not belong to it: reset the pipeline",
            stream=str(stream),
        )
    return staged


def _keep_last(db: Database, staged: Target, key: Sequence[str]) -> None:
    """Keep of several rows with one key the last; a source may repeat them."""
    columns = ", ".join(quote(name) for name in key)
    repeated = f"SELECT {columns} FROM {staged.name} GROUP BY {columns} HAVING count(*) > 1"
    older = (
        f"SELECT {_ORDER}, row_number() OVER (PARTITION BY {columns} ORDER BY {_ORDER} DESC) AS _etl_nth"
        f" FROM {staged.name} WHERE ({columns}) IN ({repeated})"
    )
    db.run(f"DELETE FROM {staged.name} WHERE {_ORDER} IN (SELECT {_ORDER} FROM ({older}) WHERE _etl_nth > 1)")
