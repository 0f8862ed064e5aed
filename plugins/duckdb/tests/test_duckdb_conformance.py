"""The destination keeps what every destination promises."""

from __future__ import annotations

from etl_duckdb.conformance import DuckDB as TestDuckDB

__all__ = ["TestDuckDB"]
