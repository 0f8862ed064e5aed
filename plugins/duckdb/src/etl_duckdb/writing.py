"""Rows added to a table as they are."""

from __future__ import annotations

from collections.abc import Container

import pyarrow as pa

from etl_duckdb.client import INCOMING, Database
from etl_duckdb.incoming import readable
from etl_duckdb.target import Target

__all__ = ["append", "met", "values"]


def append(db: Database, target: Target, rows: pa.Table) -> None:
    """Add rows to the table; its columns that `rows` lack become NULL."""
    given = readable(pa.table(met(target, rows)))
    expressions = ", ".join(values(target, given.column_names))
    db.run(
        f"INSERT INTO {target.name} ({target.names()}) SELECT {expressions} FROM {INCOMING}", incoming=given
    )


def met(target: Target, rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns of `rows` under their places in the table: c0, c1, ...

    So SQL never meets a name from outside. Raises as `Target.meet` does.
    """
    places = enumerate(target.meet(rows.schema))
    return {f"c{place}": rows.column(index) for place, index in places if index is not None}


def values(target: Target, given: Container[str]) -> list[str]:
    """Return an expression for each column of the table, over rows that have the columns `given`."""
    names = (f"c{place}" for place in range(len(target.columns)))
    return [target.cast(place, name if name in given else "NULL") for place, name in enumerate(names)]
