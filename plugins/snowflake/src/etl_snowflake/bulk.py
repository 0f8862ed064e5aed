"""Bulk loads: exact Parquet, PUT to a stage of ours, COPY from that very path."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
from attrs import frozen

from etl_snowflake.client import Session

__all__ = ["Bulk", "Staged"]


@frozen
class Staged:
    """A file in the stage: its path there, and what it holds."""

    path: str
    rows: int
    bytes: int
    schema: pa.Schema
    """The columns, as they were before they were written."""


class Bulk:
    """Loads tables through a stage. Used by one thread."""

    def __init__(self, session: Session, stage: str) -> None:
        """`stage` is its quoted name."""
        raise NotImplementedError

    def upload(self, rows: pa.Table, directory: str, name: str) -> Staged:
        """Write Parquet and PUT it under `directory/name-<unique>.parquet`. Not within a transaction of rows."""
        raise NotImplementedError

    def copy(self, table: str, staged: Sequence[Staged]) -> int:
        """COPY files into `table` (quoted), columns by name; within the caller's transaction.

        Raises SchemaError when a row does not fit, StateError when not exactly the rows sent were loaded.
        """
        raise NotImplementedError

    def remove(self, staged: Sequence[Staged]) -> None:
        """Remove files; never fails: what stays behind is never loaded again."""
        raise NotImplementedError

    def load(
        self,
        table: str,
        rows: pa.Table,
        *,
        directory: str,
        name: str,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
        landed: Callable[[], bool] = lambda: False,
    ) -> int:
        """Upload, and in one transaction: `before` (the fence), COPY, `after` (the mark). Return the rows.

        When the answer to COMMIT is lost, `landed` says whether it was done; without it, RetryableError.
        """
        raise NotImplementedError
