"""dlt: sql_database with one of its backends, into Parquet files or DuckDB."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import version
from typing import Any


def work(options: dict[str, Any], timer: Any) -> dict[str, Any]:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    dlt, sql = import_module("dlt"), import_module("dlt.sources.sql_database")
    output, destinations = options["output"], dlt.destinations
    duckdb = options["kind"] == "duckdb"
    target = destinations.duckdb if duckdb else destinations.filesystem
    where = f"{output}/peer.duckdb" if duckdb else f"file://{output}"
    # What it works with lies beside what it delivers, not in it.
    pipeline = dlt.pipeline(
        "bench", pipelines_dir=f"{output}-dlt", dataset_name="landed", destination=target(where)
    )
    names = [table.split(".")[1] for table in options["tables"]]
    # SQLAlchemy's default driver changed: without its name, connections fail where only psycopg2 is there.
    credentials = options["dsn"].replace("postgresql://", "postgresql+psycopg2://")
    source = sql.sql_database(
        credentials, schema="public", table_names=names, backend=options["backend"], chunk_size=65_536
    )
    timer.start()
    pipeline.run(source, loader_file_format="parquet", write_disposition="replace")
    return {"version": version("dlt")}
