"""DuckDB connections that are never left with an unfinished result."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

import duckdb


class Cursor:
    """One connection to the store, for one thread at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.execute("SET TimeZone = 'UTC'")

    def execute(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Carry out one statement, and give all rows of its answer."""
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
        return rows

    def one(self, sql: str) -> tuple[Any, ...] | None:
        """Give the first row of an answer."""
        rows = self.execute(sql)
        return rows[0] if rows else None

    def sql(self, sql: str) -> Any:
        """Give a query as a relation, with its names and types."""
        return self._connection.sql(sql)

    def register(self, name: str, table: Any) -> None:
        """Let a query name an Arrow table."""
        self._connection.register(name, table)

    def unregister(self, name: str) -> None:
        """Forget it, for which a failed transaction has no room: what made it fail is what is to be told."""
        with suppress(duckdb.TransactionException):
            self._connection.unregister(name)

    def drop(self, table: str) -> None:
        """Drop a table that may be there; a failed transaction takes along what it made."""
        with suppress(duckdb.TransactionException):
            self.execute(f"DROP TABLE IF EXISTS {table}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
