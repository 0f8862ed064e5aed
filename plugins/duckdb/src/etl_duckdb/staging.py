"""Unfinished snapshots: durable in a table beside the stream's, which they become or join at their end."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from etl_core import Mode, StateError, Stream
from etl_duckdb.client import Database
from etl_duckdb.incoming import numbers
from etl_duckdb.names import CONTROL, fold, located, quote
from etl_duckdb.replacing import replace
from etl_duckdb.target import Target, look
from etl_duckdb.writing import append

__all__ = ["begin", "discard_all", "end", "find", "stage", "unfinished"]

_PREFIX = "_etl staged "
#: In a version before, the tables were among the control tables, where a stream's schema was in the name.
_FORMER = "staged "
#: In a staged table: the order in which rows came.
_ORDER = "_etl_n"


def begin(db: Database, pipeline: str, stream: Stream, target: Target) -> None:
    """Start a run, for rows as the table has them now; an unfinished one is discarded."""
    name = _quoted(db, pipeline, stream)
    db.run(f"DROP TABLE IF EXISTS {_former(db, pipeline, stream)}")
    db.run(f"CREATE OR REPLACE TABLE {name} AS SELECT *, 0::BIGINT AS {_ORDER} FROM {target.name} LIMIT 0")


def find(db: Database, pipeline: str, stream: Stream) -> Target | None:
    """Return the table of the unfinished run, or None when there is none."""
    name = _quoted(db, pipeline, stream)
    return look(db, name) or _adopted(db, _former(db, pipeline, stream), name)


def _adopted(db: Database, former: str, name: str) -> Target | None:
    """Let the run of a version before go on."""
    if look(db, former) is None:
        return None
    db.run(f"CREATE TABLE {name} AS FROM {former}")
    db.run(f"DROP TABLE {former}")
    return look(db, name)


def unfinished(db: Database, pipeline: str, stream: Stream) -> Target:
    """Return the table of the unfinished run. Raises StateError when there is none."""
    staged = find(db, pipeline, stream)
    if staged is None:
        raise StateError(
            "rows of a snapshot whose beginning the file does not have",
            "the file was replaced, or the position does not belong to it: reset the pipeline",
            stream=str(stream),
        )
    return staged


def stage(db: Database, staged: Target, rows: pa.Table) -> None:
    """Add rows to the unfinished run."""
    first = db.rows(f"SELECT count(*) FROM {staged.name}")[0][0]
    append(db, staged, rows.append_column(_ORDER, pc.add(numbers(rows.num_rows), first)))


def end(db: Database, pipeline: str, stream: Stream, mode: Mode, target: Target, key: Sequence[str]) -> None:
    """Let the rows of the run appear: added under APPEND, else as the whole table.

    An empty table is no reason to replace it under APPEND: others may have added rows to it that are
    durable, and that this transaction, which began before, does not see.
    """
    staged = unfinished(db, pipeline, stream)
    if mode is Mode.MERGE and key:
        _keep_last(db, staged, key)
    db.run(f"ALTER TABLE {staged.name} DROP COLUMN {_ORDER}")
    if mode is not Mode.APPEND:
        if replace(db, *located(stream), _name(pipeline, stream)):
            return
        db.run(f"DELETE FROM {target.name}")
    names = ", ".join(quote(name) for name in staged.columns.names if name != _ORDER)
    db.run(f"INSERT INTO {target.name} ({names}) SELECT {names} FROM {staged.name}")
    db.run(f"DROP TABLE {staged.name}")


def discard_all(db: Database, pipeline: str) -> None:
    """Discard every unfinished run of a pipeline."""
    tables = db.rows(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ?"
        " AND (starts_with(table_name, ?) OR (schema_name = ? AND starts_with(table_name, ?)))",
        [db.catalog, _prefix(pipeline), CONTROL, _prefix(pipeline, _FORMER)],
    )
    for schema, name in tables:
        db.run(f"DROP TABLE {db.named(schema, name)}")


def _prefix(pipeline: str, first: str = _PREFIX) -> str:
    """Return how the names of a pipeline's staged tables begin, and of no other's."""
    return first + json.dumps([pipeline], ensure_ascii=False).removesuffix("]") + ", "


def _name(pipeline: str, stream: Stream) -> str:
    return _prefix(pipeline) + json.dumps(fold(stream.name), ensure_ascii=False) + "]"


def _quoted(db: Database, pipeline: str, stream: Stream) -> str:
    """Return the quoted name of a staged table: in the stream's schema, for DuckDB cannot move it there."""
    return db.named(located(stream)[0], _name(pipeline, stream))


def _former(db: Database, pipeline: str, stream: Stream) -> str:
    """Return the quoted name that a version before gave the table."""
    parts = json.dumps([pipeline, *map(fold, located(stream))], ensure_ascii=False)
    return f"{db.control}.{quote(_FORMER + parts)}"


def _keep_last(db: Database, staged: Target, key: Sequence[str]) -> None:
    """Keep of several rows with one key the last; a source may repeat them."""
    columns = ", ".join(quote(name) for name in key)
    repeated = f"SELECT {columns} FROM {staged.name} GROUP BY {columns} HAVING count(*) > 1"
    if _ascending(db, staged, key) or not db.rows(f"{repeated} LIMIT 1"):
        return
    older = (
        f"SELECT {_ORDER}, row_number() OVER (PARTITION BY {columns} ORDER BY {_ORDER} DESC) AS _etl_nth"
        f" FROM {staged.name} WHERE ({columns}) IN ({repeated})"
    )
    db.run(f"DELETE FROM {staged.name} WHERE {_ORDER} IN (SELECT {_ORDER} FROM ({older}) WHERE _etl_nth > 1)")


def _ascending(db: Database, staged: Target, key: Sequence[str]) -> bool:
    """Say whether each row's key is above that of the row before, in some order: then none repeats.

    Many tables are so, and to see it takes a small part of the time that grouping them takes.
    """
    above = "false"
    for name in reversed(key):
        value, before = quote(name), f"lag({quote(name)}) OVER ()"
        above = f"({value} > {before} OR ({value} = {before} AND {above}))"
    compared = f"SELECT {above} AS _etl_above FROM {staged.name}"
    # The first row has none before it.
    return len(db.rows(f"SELECT 1 FROM ({compared}) WHERE _etl_above IS NOT TRUE LIMIT 2")) < 2
