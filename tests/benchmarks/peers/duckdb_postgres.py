"""DuckDB's own postgres extension, loaded from its wheel: `create table as`, or a Parquet file."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import files
from typing import Any

EXTENSION = "duckdb-extension-postgres-scanner"


def extension() -> str:
    """Return the path of the extension in its wheel."""
    found = [file for file in files(EXTENSION) or () if str(file).endswith(".duckdb_extension")]
    return str(found[0].locate())


def work(options: dict[str, Any], timer: Any) -> dict[str, Any]:
    duckdb = import_module("duckdb")
    path = f"{options['output']}/peer.duckdb" if options["kind"] == "duckdb" else ":memory:"
    connection = duckdb.connect(path, config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{extension()}'")
    connection.execute(f"ATTACH '{options['dsn']}' AS pg (TYPE postgres, READ_ONLY)")
    timer.start()
    for table in options["tables"]:
        namespace, name = table.split(".")
        if options["kind"] == "duckdb":
            connection.execute(f"CREATE TABLE main.{name} AS FROM pg.{namespace}.{name}")
        else:
            target = f"{options['output']}/{name}.parquet"
            connection.execute(f"COPY (FROM pg.{namespace}.{name}) TO '{target}' (FORMAT parquet)")
    return {"version": duckdb.__version__}
