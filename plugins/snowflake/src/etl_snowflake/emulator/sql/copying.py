"""COPY INTO a table from Parquet files of a stage: by column names, or through a SELECT."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import duckdb
import pyarrow.parquet as pq

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.errors import SnowflakeError, invalid_identifier, syntax
from etl_snowflake.emulator.files import StagedFile
from etl_snowflake.emulator.loading import Loaded, Value, load
from etl_snowflake.emulator.names import split
from etl_snowflake.emulator.results import COPY, Result
from etl_snowflake.emulator.sql.context import NAME, Context, options, statement, unquote
from etl_snowflake.emulator.sql.staging import STAGE, Reference, reference
from etl_snowflake.emulator.sql.tables import column_of
from etl_snowflake.emulator.sql.transforming import transformed
from etl_snowflake.emulator.types import NUMBER, TEXT, SnowType

_COLUMNS: list[tuple[str, SnowType]] = [
    ("file", TEXT),
    ("status", TEXT),
    ("rows_parsed", NUMBER),
    ("rows_loaded", NUMBER),
    ("error_limit", NUMBER),
    ("errors_seen", NUMBER),
    ("first_error", TEXT),
    ("first_error_line", NUMBER),
    ("first_error_character", NUMBER),
    ("first_error_column_name", TEXT),
]


@dataclass
class _Copy:
    """One COPY statement, read."""

    context: Context
    table: Table
    columns: list[str] | None
    where: Reference
    select: str | None
    settings: dict[str, str]
    format: dict[str, str] = field(default_factory=dict)

    def flag(self, name: str, default: str = "FALSE") -> bool:
        return self.settings.get(name, self.format.get(name, default)).upper() == "TRUE"

    @property
    def on_error(self) -> str:
        return self.settings.get("ON_ERROR", "ABORT_STATEMENT").upper()


@statement(
    rf"COPY INTO (?P<name>{NAME})(?:\s*\((?P<columns>[^()]*)\))? FROM "
    rf"(?:(?P<stage>{STAGE})|"
    rf"\((?P<select>\s*SELECT .*? FROM (?P<inner>{STAGE})(?:\s+(?:AS )?\w+)?\s*)\))(?P<rest>.*)"
)
def _copy(context: Context, found: re.Match[str]) -> Result:
    table = context.table(found["name"])
    context.require("INSERT", "TABLE", *table.path)
    context.require_warehouse()
    where = reference(context, found["stage"] or found["inner"], "READ")
    columns = [split(each)[-1] for each in found["columns"].split(",")] if found["columns"] else None
    for name in columns or ():
        column_of(table, name)
    copy = _Copy(context, table, columns, where, found["select"], options(found["rest"]))
    copy.format = options(copy.settings.get("FILE_FORMAT", ""))
    if copy.format.get("TYPE", "").upper() != "PARQUET":
        raise syntax("only Parquet is emulated: FILE_FORMAT = (TYPE = PARQUET)")
    return _run(copy)


def _run(copy: _Copy) -> Result:
    files = _chosen(copy)
    fresh = [
        each for each in files if copy.flag("FORCE") or copy.table.loaded.get(_key(copy, each)) != each.md5
    ]
    if not fresh:
        return Result([("status", TEXT)], [("Copy executed with 0 files processed.",)], kind=COPY)
    rows = copy.context.atomic(lambda: [_one(copy, each) for each in fresh], alone=False)
    skipped = [
        _row(copy, each, Loaded(0, 0, 0, "File was loaded before."), "LOAD_SKIPPED")
        for each in files
        if each not in fresh
    ]
    _remember(copy, fresh, rows)
    counts = copy.context.account.journal
    counts.count(copies=1, files_copied=len(fresh), rows_copied=sum(row[3] for row in rows))
    counts.count(bytes_copied=sum(each.size for each in fresh))
    if copy.flag("PURGE"):
        for each in fresh:
            copy.context.account.files.remove(copy.where.prefix, each.key)
    return Result(_COLUMNS, rows + skipped, kind=COPY)


def _key(copy: _Copy, file: StagedFile) -> str:
    return f"{copy.where.prefix}/{file.key}"


def _remember(copy: _Copy, files: list[StagedFile], rows: list[tuple[Any, ...]]) -> None:
    for file, row in zip(files, rows, strict=True):
        if row[1] != "LOAD_FAILED":
            key, loaded = _key(copy, file), copy.table.loaded
            loaded[key] = file.md5
            undo = partial(loaded.pop, key, None)
            copy.context.account.transactions.on_rollback(copy.context.session, undo)
    copy.context.account.store.save()


def _chosen(copy: _Copy) -> list[StagedFile]:
    where, files = copy.where, copy.context.account.files
    listed = copy.settings.get("FILES")
    if listed is None:
        found = list(files.below(where.prefix, where.path))
        pattern = copy.settings.get("PATTERN")
        return [each for each in found if pattern is None or re.fullmatch(pattern, each.key)]
    base = where.path if not where.path or where.path.endswith("/") else where.path + "/"
    names = [unquote(each) for each in re.findall(r"'(?:[^']|'')*'", listed)]
    chosen = []
    for name in names:
        match = files.find(where.prefix, base + name)
        if match is None:
            raise SnowflakeError("091016", "22000", f"Remote file '{base + name}' was not found.")
        chosen.append(match)
    return chosen


def _one(copy: _Copy, file: StagedFile) -> tuple[Any, ...]:
    path = copy.context.account.files.path(_key(copy, file))
    source = "read_parquet('" + str(path).replace("'", "''") + "')"
    kinds = _kinds(copy.context.cursor, source, path)
    values = (
        transformed(copy.context, copy.table, copy.columns, copy.select, kinds, file.key)
        if copy.select
        else (_matched(copy, kinds))
    )
    strict = copy.on_error in {"ABORT_STATEMENT", "SKIP_FILE"}
    loaded = load(copy.context.cursor, copy.table, source, values, all_or_nothing=strict)
    if loaded.errors and copy.on_error == "ABORT_STATEMENT":
        raise SnowflakeError(
            "100038", "22018", f"{loaded.message}\n  File '{file.key}', line {loaded.position}"
        )
    status = "LOADED" if not loaded.errors else ("LOAD_FAILED" if strict else "PARTIALLY_LOADED")
    return _row(copy, file, loaded, status)


def _row(copy: _Copy, file: StagedFile, loaded: Loaded, status: str) -> tuple[Any, ...]:
    limit = 1 if copy.on_error != "CONTINUE" else loaded.parsed
    name = f"{copy.where.name}/{file.key}"
    first = (loaded.message, loaded.position, None, loaded.column)
    return (name, status, loaded.parsed, loaded.loaded, limit, loaded.errors, *first)


def _kinds(cursor: Cursor, source: str, path: Any) -> dict[str, str]:
    """Give the columns of a Parquet file with DuckDB's types; raises where it is none."""
    try:
        pq.read_schema(path)
        relation = cursor.sql(f"SELECT * FROM {source} LIMIT 0")
    except (OSError, ValueError, duckdb.Error) as error:
        raise SnowflakeError("100142", "22000", "Error parsing the parquet file") from error
    return {name: str(kind) for name, kind in zip(relation.columns, relation.types, strict=True)}


def _matched(copy: _Copy, kinds: dict[str, str]) -> dict[str, Value]:
    """Pair the file's columns with the table's by name."""
    how = copy.settings.get("MATCH_BY_COLUMN_NAME", "NONE").upper()
    if how == "NONE":
        return _single(copy, kinds)
    fold = str.upper if how == "CASE_INSENSITIVE" else str
    by_name = {fold(name): name for name in kinds}
    text = copy.flag("BINARY_AS_TEXT", "TRUE")
    values = {}
    for column in copy.table.columns:
        name = by_name.get(fold(column.name))
        if name is not None:
            values[column.name] = plain(name, kinds[name], binary_as_text=text)
    if not values:
        raise invalid_identifier(next(iter(kinds), ""))
    return values


def plain(name: str, kind: str, *, binary_as_text: bool) -> Value:
    """Take a file's column as it is; without BINARY_AS_TEXT = FALSE, bytes are read as text."""
    spelled = '"' + name.replace('"', '""') + '"'
    if kind == "BLOB" and binary_as_text:
        return Value(f"TRY(decode({spelled}))", "VARCHAR", present=spelled)
    return Value(spelled, kind)


def _single(copy: _Copy, kinds: dict[str, str]) -> dict[str, Value]:
    columns = copy.table.columns
    if len(columns) != 1 or not columns[0].type.semi:
        raise syntax(
            "PARQUET file format can produce one and only one column of type variant, object, or array. "
            "Use CSV file format if you want to load more than one column."
        )
    fields = ", ".join(f"'{name}': \"{name}\"" for name in kinds)
    return {columns[0].name: Value(f"to_json({{{fields}}})", "JSON")}
