"""What the tests of the DuckDB destination share: a destination on a file, and rows in its terms."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from etl_core import (
    Mode,
    Position,
    Rejected,
    Step,
    Stream,
    TableSchema,
    Write,
    key_of,
    reserved_schema,
    with_key,
)
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.destination import DuckDBDestination

ORDERS = Stream("shop", "orders")

if os.name != "posix":
    collect_ignore = ["test_duckdb_posix.py"]


class RunContext:
    """As much of a Context as the destination uses."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.epoch = 1


class Duck:
    """A destination on a file, driven as an engine would, and another reader of that file."""

    def __init__(self, path: Path, pipeline: str = "shop", **settings: Any) -> None:
        self.path = path
        self.pipeline = pipeline
        self.destination = DuckDBDestination(DuckDBConfig(path, **settings))
        self.n = 0
        self.schemas: dict[Stream, pa.Schema] = {}

    @property
    def context(self) -> Any:
        return RunContext(self.pipeline)

    def open(self, fence: str = "fence") -> Duck:
        self.destination.open(self.context, fence)
        return self

    def ensure(
        self,
        schema: pa.Schema,
        key: Sequence[str] = (),
        changes: Sequence[Any] = (),
        *,
        stream: Stream = ORDERS,
        control: pa.Schema | None = None,
        seq: bytes | None = None,
    ) -> None:
        self.schemas[stream] = with_key(schema, key)
        self.destination.ensure(TableSchema(stream, schema, key, control, seq), changes)

    def rows(self, rows: Sequence[dict[str, Any]], stream: Stream = ORDERS) -> pa.Table:
        """Build rows with reserved columns; `_etl_op` defaults to an insert."""
        schema = self.schemas[stream]
        wanted = [*schema, *reserved_schema(schema, key_of(schema))]
        names = {field.name for field in wanted}
        extra = {name for row in rows for name in row if name not in names}
        given = [{"_etl_op": "i", **row} for row in rows]
        arrays = [pa.array([row.get(field.name) for row in given], field.type) for field in wanted]
        arrays += [pa.array([row.get(name) for row in given]) for name in sorted(extra)]
        return pa.Table.from_arrays(arrays, names=[*(field.name for field in wanted), *sorted(extra)])

    def merge(self, *rows: dict[str, Any], stream: Stream = ORDERS) -> Sequence[Rejected]:
        return self.write(Mode.MERGE, self.rows(rows, stream), stream=stream)

    def append(self, *rows: dict[str, Any], stream: Stream = ORDERS) -> Sequence[Rejected]:
        names = self.schemas[stream].names
        return self.write(Mode.APPEND, self.rows(rows, stream).select(names), stream=stream)

    def write(
        self, mode: Mode, rows: pa.Table | None = None, step: Step | None = None, stream: Stream = ORDERS
    ) -> Sequence[Rejected]:
        return self.destination.write(Write(stream, mode, rows, step)) or ()

    def flush(self, value: Any = None) -> Position:
        self.n += 1
        position = Position(1, self.n, value)
        self.destination.flush(position)
        return position

    def pending(self, sql: str = "FROM shop.orders ORDER BY ALL") -> list[tuple[Any, ...]]:
        """Query inside the open transaction: what will be durable."""
        return self.destination._db().rows(sql)

    def query(self, sql: str = "FROM shop.orders ORDER BY ALL") -> list[tuple[Any, ...]]:
        """Query what is durable, from a connection of its own."""
        offline: dict[str, Any] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        with duckdb.connect(self.path, False, offline) as reader:
            return reader.execute(sql).fetchall()

    def close(self) -> None:
        self.destination.close()


@contextmanager
def ducks(directory: Path) -> Iterator[Callable[..., Duck]]:
    """Make destinations on files in a directory; closed at the end."""
    made: list[Duck] = []

    def make(name: str = "test.duckdb", pipeline: str = "shop", **settings: Any) -> Duck:
        made.append(Duck(directory / name, pipeline, **settings))
        return made[-1]

    yield make
    for duck in made:
        duck.close()


@pytest.fixture(scope="session")
def make_ducks() -> Any:
    return ducks


@pytest.fixture
def make_duck(tmp_path: Path) -> Iterator[Callable[..., Duck]]:
    with ducks(tmp_path) as make:
        yield make


@pytest.fixture
def duck(make_duck: Callable[..., Duck]) -> Duck:
    """Return an open destination."""
    return make_duck().open()
