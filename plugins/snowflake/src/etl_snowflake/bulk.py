"""Bulk loads: exact Parquet, PUT to a stage of ours, COPY from those very files.

A file's name is unique, so that a load that is tried again never meets the record of the one before, and
COPY names its files: what else is in the stage is never loaded.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from attrs import frozen

from etl_core import EtlError, RetryableError, StateError
from etl_snowflake.client import Session
from etl_snowflake.names import literal, quote
from etl_snowflake.parquet import write
from etl_snowflake.types import from_parquet

__all__ = ["Bulk", "Staged"]

_FORMAT = "(TYPE = PARQUET BINARY_AS_TEXT = FALSE USE_LOGICAL_TYPE = TRUE)"
#: COPY takes so many named files at once.
_FILES = 1000
#: Rows are cut into files of about so many Arrow bytes, so that a warehouse loads them side by side.
_FILE_BYTES = 128 << 20


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

    def __init__(self, session: Session, stage: str, spill: Path | None = None) -> None:
        """`stage` is its full quoted name; files are written below `spill` until they are uploaded."""
        self._session = session
        self._stage = stage
        self._spill = spill

    def upload(self, rows: pa.Table, directory: str, name: str) -> Staged:
        """Write Parquet and PUT it as `directory/name-<unique>.parquet`. Outside a transaction."""
        path = f"{directory}/{name}-{uuid.uuid4().hex}.parquet"
        if self._spill is not None:
            self._spill.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._spill, prefix="snowflake-") as place:
            file = Path(place) / path.rpartition("/")[2]
            size = write(rows, file)
            self._session.put(file, f"@{self._stage}/{directory}")
        return Staged(path, rows.num_rows, size, rows.schema)

    def copy(self, table: str, staged: Sequence[Staged]) -> int:
        """COPY files of one schema into `table` (quoted), columns by name; in the caller's transaction.

        Raises SchemaError when a row does not fit, StateError when not exactly the rows sent were loaded.
        """
        loaded = 0
        for start in range(0, len(staged), _FILES):
            part = staged[start : start + _FILES]
            loaded += self._copy(table, part)
        return loaded

    def _copy(self, table: str, staged: Sequence[Staged]) -> int:
        schema = staged[0].schema
        columns = ", ".join(quote(name) for name in schema.names)
        values = ", ".join(from_parquet(field.name, field.type) for field in schema)
        files = ", ".join(literal(each.path) for each in staged)
        rows = self._session.execute(
            f"COPY INTO {table} ({columns}) FROM (SELECT {values} FROM {literal(f'@{self._stage}')})"
            f" FILES = ({files}) FILE_FORMAT = {_FORMAT} ON_ERROR = ABORT_STATEMENT"
        )
        return _counted(rows, staged)

    def remove(self, staged: Sequence[Staged]) -> None:
        """Remove files; never fails: what stays behind is never loaded again."""
        for each in staged:
            with suppress(EtlError):
                self._session.execute(f"REMOVE {literal(f'@{self._stage}/{each.path}')}")

    def clear(self, directory: str) -> None:
        """Remove what runs that were killed have left in a directory; never fails."""
        with suppress(EtlError):
            self._session.execute(f"REMOVE {literal(f'@{self._stage}/{directory}/')}")

    def load(
        self,
        table: str,
        rows: pa.Table,
        *,
        directory: str,
        name: str,
        transaction: Callable[[], AbstractContextManager[None]] | None = None,
        after: Callable[[], None] = lambda: None,
        landed: Callable[[], bool] = lambda: False,
    ) -> Sequence[Staged]:
        """Upload, and in one transaction: COPY, then `after` (the mark). Return the files.

        `transaction` begins it, and ends it as it sees fit.

        When the answer to COMMIT is lost, `landed` says whether it was done; RetryableError if it was not.
        """
        staged = [self.upload(part, directory, name) for part in _parts(rows)]
        try:
            with (transaction or self._session.transaction)():
                self.copy(table, staged)
                after()
        except RetryableError as error:
            if error.facts.get("commit") != "unknown" or not landed():
                raise
        self.remove(staged)
        return staged


def _parts(rows: pa.Table) -> Sequence[pa.Table]:
    count = max(1, -(-rows.nbytes // _FILE_BYTES))
    size = max(1, -(-rows.num_rows // count))
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def _counted(rows: Sequence[Sequence[Any]], staged: Sequence[Staged]) -> int:
    """Check what COPY says of each file: name, status, rows parsed, rows loaded."""
    sent = sum(each.rows for each in staged)
    if any(len(row) < 4 for row in rows):
        raise StateError("files that were never loaded count as loaded", files=len(staged))
    loaded = sum(int(row[3]) for row in rows)
    if loaded != sent or len(rows) != len(staged):
        raise StateError("COPY loaded other rows than were sent", sent=sent, loaded=loaded)
    return loaded
