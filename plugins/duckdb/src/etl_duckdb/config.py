"""The settings of the destination `duckdb`."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen, validators

from etl_core import Size, setting

__all__ = ["DuckDBConfig"]


@frozen
class DuckDBConfig:
    """Which file, and what DuckDB may use while it writes there."""

    path: Path = setting(help="The database file; created when it is absent. Its directory must exist.")
    memory_limit: Size = setting(
        Size(128 << 20),
        help="What DuckDB may hold in memory; beyond it DuckDB spills beside the file.",
        validator=validators.ge(64 << 20),
    )
    threads: int = setting(2, help="Threads DuckDB may use.", validator=validators.gt(0))
