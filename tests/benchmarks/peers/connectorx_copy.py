"""connectorx: the whole table as Arrow in memory, then a Parquet file."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any


def work(options: dict[str, Any], timer: Any) -> dict[str, Any]:
    connectorx, pq = import_module("connectorx"), import_module("pyarrow.parquet")
    timer.start()
    for table in options["tables"]:
        rows = connectorx.read_sql(options["dsn"], f"SELECT * FROM {table}", return_type="arrow")
        pq.write_table(rows, f"{options['output']}/{table}.parquet")
    return {"version": version("connectorx")}
