"""What the account holds: databases, schemas, tables with their declared types, stages, tasks."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from etl_snowflake.emulator.errors import missing, present
from etl_snowflake.emulator.names import duck, physical
from etl_snowflake.emulator.types import SnowType


@dataclass
class Column:
    """One column of a table, as declared."""

    name: str
    type: SnowType
    nullable: bool = True
    default: str | None = None
    key: bool = False


@dataclass
class Table:
    """One table; `identity` changes when it is made anew."""

    database: str
    schema: str
    name: str
    columns: list[Column]
    identity: int
    session: int = 0
    view: bool = False
    evolves: bool = False
    comment: str = ""
    created: float = field(default_factory=time.time)
    loaded: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> tuple[str, str, str]:
        """Its qualified name."""
        return self.database, self.schema, self.name

    @property
    def place(self) -> tuple[str, str]:
        """Give where DuckDB keeps it: physical schema and table."""
        name = physical(self.name) + (f"^#{self.session}" if self.session else "")
        return schema_place(self.database, self.schema), name

    @property
    def sql(self) -> str:
        """Its name, quoted for DuckDB."""
        return duck(*self.place)

    def column(self, name: str) -> Column | None:
        """Give a column by its exact name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass
class Stage:
    """A named internal stage: files by their path in it."""

    database: str
    schema: str
    name: str
    prefix: str
    session: int = 0
    created: float = field(default_factory=time.time)


@dataclass
class Task:
    """A task: the statement that it runs is kept as it was written."""

    database: str
    schema: str
    name: str
    body: str
    schedule: str | None
    warehouse: str | None
    owner: str
    state: str = "suspended"
    created: float = field(default_factory=time.time)
    options: dict[str, str] = field(default_factory=dict)


@dataclass
class Schema:
    """The objects of one schema, by name."""

    tables: dict[str, Table] = field(default_factory=dict)
    stages: dict[str, Stage] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)


def schema_place(database: str, schema: str) -> str:
    """Give the DuckDB schema that holds a schema's tables."""
    return physical(database) + "." + physical(schema)


class Catalog:
    """Databases, and the look-ups that raise Snowflake's errors."""

    def __init__(self) -> None:
        self.databases: dict[str, dict[str, Schema]] = {}
        self.warehouses: list[str] = []
        self._numbers = count(1)

    def number(self) -> int:
        """Give a number that was never given before."""
        return next(self._numbers)

    def schemas(self, database: str) -> dict[str, Schema]:
        """Give the schemas of a database."""
        if database not in self.databases:
            raise missing("Database", database)
        return self.databases[database]

    def schema(self, database: str, name: str) -> Schema:
        """Give one schema."""
        schemas = self.schemas(database)
        if name not in schemas:
            raise missing("Schema", database, name)
        return schemas[name]

    def table(self, path: tuple[str, str, str], session: int = 0, kind: str = "Table") -> Table:
        """Give one table; a session's temporary one before a permanent one of the same name."""
        found = self.find(path, session)
        if found is None:
            raise missing(kind, *path)
        return found

    def find(self, path: tuple[str, str, str], session: int = 0) -> Table | None:
        """Give one table, or None."""
        database, schema, name = path
        tables = self.schema(database, schema).tables
        return tables.get(f"{name}#{session}") or tables.get(name)

    def add(self, table: Table) -> None:
        """Let a new table be known."""
        self.schema(table.database, table.schema).tables[key(table)] = table

    def remove(self, table: Table) -> None:
        """Forget a table."""
        del self.schema(table.database, table.schema).tables[key(table)]

    def create_schema(self, database: str, name: str) -> None:
        """Make an empty schema."""
        schemas = self.schemas(database)
        if name in schemas:
            raise present(name)
        schemas[name] = Schema()

    def tables(self) -> Iterator[Table]:
        """Give every table."""
        for schemas in self.databases.values():
            for schema in schemas.values():
                yield from list(schema.tables.values())

    def save(self) -> bytes:
        """Write down what outlives a restart: all but what belongs to sessions."""
        return pickle.dumps((self.databases, self.warehouses, self.number()))

    def load(self, saved: bytes) -> None:
        """Read what `save` wrote, in the same directory and by the same version."""
        state: tuple[Any, list[str], int] = pickle.loads(saved)  # noqa: S301 - our own file
        self.databases, self.warehouses, reached = state
        self._numbers = count(reached + 1)
        for table in list(self.tables()):
            if table.session:
                self.remove(table)


def key(table: Table) -> str:
    """Give the key under which a schema keeps a table."""
    return f"{table.name}#{table.session}" if table.session else table.name
