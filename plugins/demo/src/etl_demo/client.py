"""The copy's rows as Python values; the only module that imports duckdb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from etl_core import FatalError, RetryableError, Stream

__all__ = ["Copy", "opened"]

#: Rows taken out at a time.
_CHUNK = 10_000


class Copy:
    """The tables of a DuckDB file, to be read."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._connection.execute("SET TimeZone = 'UTC'")

    def columns(self, stream: Stream) -> tuple[str, ...]:
        """Return the names of a table's columns without those of etl-core; none if there is no table."""
        found = self._connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE schema_name = ? AND table_name = ? "
            "AND database_name = current_database() AND column_name NOT LIKE '\\_etl\\_%' ESCAPE '\\' "
            "ORDER BY column_index",
            [stream.namespace, stream.name],
        )
        return tuple(name for (name,) in found.fetchall())

    def rows(self, stream: Stream, expressions: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
        """Read columns; `expressions` has, by column, what is selected, with {} for the quoted name."""
        selected = ", ".join(form.format(_quoted(name)) for name, form in expressions.items())
        table = f"{_quoted(stream.namespace)}.{_quoted(stream.name)}"
        found = self._connection.execute(f"SELECT {selected} FROM {table}")
        while rows := found.fetchmany(_CHUNK):
            yield from rows


@contextmanager
def opened(path: Path) -> Iterator[Copy]:
    """Open the file, to be read only.

    Raises FatalError where there is none, RetryableError while a pipeline has it open.
    """
    if not path.exists():
        raise FatalError("there is no copy to compare", "run the pipeline first", path=path)
    try:
        connection = duckdb.connect(path, read_only=True)
    except duckdb.IOException as error:
        raise RetryableError(
            "the copy cannot be opened", "stop the pipeline that has it open", path=path
        ) from error
    with connection:
        yield Copy(connection)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
