"""What this package registers; loading it imports neither psycopg, duckdb nor pyarrow."""

from __future__ import annotations

from collections.abc import Sequence

from etl_core import Registration, hookimpl

__all__ = ["etl_register_commands"]


@hookimpl
def etl_register_commands() -> Sequence[Registration]:
    """Offer `etl-core demo`."""
    return [
        Registration(
            "demo",
            None,
            "etl_demo.command:demo",
            "Copy a small shop from a private PostgreSQL to DuckDB, through a crash, and compare.",
            api=1,
        )
    ]
