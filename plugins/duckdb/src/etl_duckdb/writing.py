"""Rows added to a table as they are."""

from __future__ import annotations

import pyarrow as pa

from etl_duckdb.client import INCOMING, Database
from etl_duckdb.incoming import readable
from etl_duckdb.target import Target

__all__ = ["append", "values"]


def append(db: Database, target: Target, rows: pa.Table) -> None:
    """Add rows to the table; its columns that `rows` lack become NULL."""
    expressions = ", ".join(values(target, rows.schema))
    with db.incoming(readable(rows)):
        db.run(f"INSERT INTO {target.name} ({target.names()}) SELECT {expressions} FROM {INCOMING}")


def values(target: Target, rows: pa.Schema) -> list[str]:
    """Return an expression over INCOMING for each column of the table. Raises as `Target.meet` does."""
    return [
        target.cast(place, "NULL" if index is None else f"r{index}")
        for place, index in enumerate(target.meet(rows))
    ]
