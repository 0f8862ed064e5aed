"""The connection to the database file; the only module that imports duckdb."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from etl_core import (
    AuthError,
    ConfigError,
    EtlError,
    FatalError,
    RetryableError,
    SchemaError,
    StateError,
)
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.names import CONTROL, literal, quote

__all__ = ["INCOMING", "Database", "inspect"]

T = TypeVar("T")

#: The name by which a statement reads the rows handed over with it, whose columns have names of ours.
#: DuckDB finds the variable of `rows` when no table has the name; in `temp`, only ours could.
INCOMING = "temp.main._etl_incoming"

#: How statements begin that leave tables as they are, but for their rows.
_ROWS_ONLY = ("SELECT", "INSERT", "UPDATE", "DELETE")
#: A pipeline never waits for, nor runs, something from the network.
_OFFLINE: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
#: How far the write-ahead log may grow before DuckDB writes it into the file, at most.
_LOG = 64 << 20
_HOLDER = re.compile(r"held in (.*?)\. See", re.DOTALL)
_SCHEMA_ERRORS = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.DependencyException,
    duckdb.NotImplementedException,
    duckdb.ParserException,
)
_VALUE_ERRORS = (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException)


class Database:
    """One connection, with at most one transaction open. Errors are those of `etl_core.errors`."""

    def __init__(self, config: DuckDBConfig, *, read_only: bool = False) -> None:
        """Open the file. Creates it when it is absent and not `read_only`."""
        self._path = config.path
        inspect(config.path)
        with self._errors():
            self._connection = _connect(config.path, read_only)
            for setting, value in _settings(config):
                self._connection.execute(f"SET {setting} = {value}")
            self._connection.execute("SELECT current_database()")
            self.catalog = str(self._connection.fetchall()[0][0])
        # With the catalog, because a file may be named like a schema.
        self.control = f"{quote(self.catalog)}.{CONTROL}"
        self.in_transaction = False
        self._known: dict[Hashable, Any] = {}

    def named(self, schema: str, table: str) -> str:
        """Return the quoted name of a table in the file."""
        return f"{quote(self.catalog)}.{quote(schema)}.{quote(table)}"

    def run(self, sql: str, parameters: Sequence[Any] = (), *, incoming: pa.Table | None = None) -> int:
        """Execute one statement; return how many rows it changed (0 for what changes none)."""
        rows = self.rows(sql, parameters, incoming=incoming)
        return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else 0

    def rows(
        self, sql: str, parameters: Sequence[Any] = (), *, incoming: pa.Table | None = None
    ) -> list[tuple[Any, ...]]:
        """Execute one statement of ours; return its few rows.

        It reads `incoming` as INCOMING, in place. A registered view would keep the buffers until the
        transaction ends; this keeps them no longer than the statement.
        """
        _etl_incoming = incoming  # read by its name
        if not sql.startswith(_ROWS_ONLY):
            self.forget()
        with self._errors():
            return self._connection.execute(sql, list(parameters)).fetchall()

    def schema(self, table: str) -> pa.Schema | None:
        """Return the Arrow schema as which the columns of `table` read back; None when there is none."""
        with self._errors():
            try:
                found = self._connection.sql(f"SELECT rowid, * FROM {table} LIMIT 0")
            except (duckdb.CatalogException, duckdb.BinderException):  # a view has no rowid
                return None
            return found.to_arrow_table().schema.remove(0)

    def table(self, query: str) -> pa.Table:
        """Return all rows of a query of ours, in Arrow."""
        with self._errors():
            return self._connection.sql(query).to_arrow_table()

    def recall(self, what: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns or, in one transaction, returned before.

        A transaction sees the file as it was at its beginning, but for what it does itself.
        """
        if not self.in_transaction:
            return read()
        if what not in self._known:
            self._known[what] = read()
        found: T = self._known[what]
        return found

    def forget(self) -> None:
        """Forget what `recall` knows: this transaction changed it, or another one begins."""
        self._known.clear()

    def begin(self) -> None:
        """Open the transaction, unless it is."""
        if not self.in_transaction:
            self.run("BEGIN TRANSACTION")
            self.in_transaction = True

    def commit(self) -> None:
        """Make the open transaction durable. After a failure it may or may not be: read, do not guess."""
        self.in_transaction = False
        self.run("COMMIT")

    def rollback(self) -> None:
        """Drop the open transaction; never fails."""
        self.in_transaction = False
        self.forget()
        with suppress(duckdb.Error):  # nothing is open any more, or the database has to be opened again
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; what is not committed is gone."""
        with suppress(duckdb.Error):  # a last checkpoint that fails is made up for at the next open
            self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise _translate(error, self._path) from _shown(error)


def inspect(path: Path) -> None:
    """Verify that the file can be written, or created where it is absent.

    Never opens it: closing a file drops every lock this process has on it, DuckDB's included.
    """
    where, directory = str(path), path.absolute().parent
    try:
        if path.is_dir():
            raise ConfigError("the path of the database is a directory", "name a file in it", path=where)
        if not directory.is_dir():
            raise ConfigError("the directory of the database file does not exist", "create it", path=where)
        allowed = _writable(directory) and (_writable(path) or not path.exists())
    except PermissionError:
        allowed = False
    if not allowed:
        raise AuthError(*_DENIED, path=where)


_DENIED = ("the database file may not be written", "check the owner and mode of file and directory")


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(path, read_only, _OFFLINE)
    except duckdb.ConnectionException:
        # Open for writing in this very process: one instance serves all its connections.
        return duckdb.connect(path, False, _OFFLINE)


def _settings(config: DuckDBConfig) -> Iterator[tuple[str, str]]:
    yield "memory_limit", literal(f"{config.memory_limit >> 20}MiB")
    # A checkpoint may rewrite most of a table that is updated all over: fewer are cheaper. What waits in
    # the log waits in memory too, and is read again after a crash.
    yield "wal_autocheckpoint", literal(f"{min(config.memory_limit >> 1, _LOG) >> 20}MiB")
    yield "threads", str(config.threads)
    yield "TimeZone", "'UTC'"
    yield "arrow_lossless_conversion", "true"
    yield "python_enable_replacements", "true"


def _shown(error: Exception) -> Exception | None:
    """Return the cause to keep; None where its text may hold a row's value."""
    return None if isinstance(error, _VALUE_ERRORS) else error


def _translate(error: duckdb.Error, path: Path) -> EtlError:
    """Map what DuckDB said to what happens next."""
    facts: dict[str, Any] = {"path": str(path)}
    text = str(error).lower()
    if "could not set lock" in text:
        holder = _HOLDER.search(str(error))
        return RetryableError(
            "the database file is open in another process",
            "close the program that has it open; DuckDB lets one process write a file at a time",
            holder=holder[1] if holder else None,
            **facts,
        )
    for words, kind, message, hint in _MEANINGS:
        if any(word in text for word in words):
            return kind(message, hint, **facts)
    return _translate_kind(error, facts)


#: Words of DuckDB's messages, and what they mean.
_MEANINGS: Sequence[tuple[Sequence[str], type[EtlError], str, str]] = (
    (
        ("not a valid duckdb", "extension"),
        ConfigError,
        "the file is not a DuckDB database",
        "name another file, or move this one away",
    ),
    (
        ("version number",),
        ConfigError,
        "the file was written by another version of DuckDB",
        "upgrade duckdb, or name another file",
    ),
    (
        ("different configuration",),
        ConfigError,
        "the database file is open in this process with other settings",
        "close that connection, or open it without settings",
    ),
    (
        ("no space left", "file too large", "disk quota", "max_temp_directory_size"),
        RetryableError,
        "the disk is full",
        "make room; what is not durable is read again",
    ),
    (
        ("permission denied", "read-only", "operation not permitted"),
        AuthError,
        *_DENIED,
    ),
    (
        ("corrupt", "could not read enough bytes", "checksum", "deserialize", "replaying wal"),
        StateError,
        "the database file is damaged",
        "restore it from a backup, or move it away and reset the pipeline",
    ),
)


def _translate_kind(error: duckdb.Error, facts: dict[str, Any]) -> EtlError:
    if isinstance(error, duckdb.OutOfMemoryException):
        return FatalError("DuckDB's memory limit is too low", "raise destination.memory_limit", **facts)
    if isinstance(error, duckdb.IntegrityError):
        return SchemaError(
            "a constraint on the table refuses the rows",
            "drop constraints that the source does not have",
            **facts,
        )
    if isinstance(error, _SCHEMA_ERRORS):
        return SchemaError(
            "DuckDB refused a statement on the table",
            "compare the table with the source's; drop indexes and constraints on it",
            reason=str(error),
            **facts,
        )
    if isinstance(error, duckdb.FatalException | duckdb.OperationalError):
        return RetryableError("DuckDB could not finish a transaction", reason=str(error), **facts)
    return FatalError(
        "DuckDB refused a value",
        "its reason is not shown because it may hold the value",
        kind=type(error).__name__,
        **facts,
    )
