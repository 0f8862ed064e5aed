"""What this package registers; loading it imports neither duckdb nor pyarrow."""

from __future__ import annotations

from collections.abc import Sequence

from etl_core import Registration, hookimpl
from etl_duckdb.config import DuckDBConfig


@hookimpl
def etl_register_destination() -> Sequence[Registration]:
    """Return the destination `duckdb`."""
    return [
        Registration(
            "duckdb",
            DuckDBConfig,
            "etl_duckdb.destination:DuckDBDestination",
            "Tables in a DuckDB file, exactly once: rows and position commit together.",
            api=1,
        )
    ]
