"""ingestr: its program, into Parquet; its start-up counts. Into DuckDB it would download a driver first."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version
from typing import Any


def work(options: dict[str, Any], timer: Any) -> dict[str, Any]:
    program = shutil.which("ingestr")
    assert program
    duckdb = options["kind"] == "duckdb"
    timer.start()
    for table in options["tables"]:
        name = table.split(".")[1]
        target = (
            ["duckdb:///" + f"{options['output']}/peer.duckdb", "--dest-table", f"landed.{name}"]
            if duckdb
            else [f"parquet://{options['output']}/{name}.parquet", "--dest-table", name]
        )
        command = [program, "ingest", "--source-uri", options["dsn"], "--source-table", table]
        subprocess.run([*command, "--dest-uri", *target, "--yes"], check=True, stdout=subprocess.DEVNULL)
    return {"version": version("ingestr")}
