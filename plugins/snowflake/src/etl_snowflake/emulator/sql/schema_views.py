"""INFORMATION_SCHEMA: what the catalogue knows, as tables of the session that asks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.errors import missing, no_schema
from etl_snowflake.emulator.names import duck
from etl_snowflake.emulator.sql.context import Context

_INFORMATION = "INFORMATION_SCHEMA"
_WORDS = {"FIXED": "NUMBER", "REAL": "FLOAT"}
_TEXT, _WHOLE, _TIME = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
_TABLES = pa.schema(
    [
        ("TABLE_CATALOG", _TEXT),
        ("TABLE_SCHEMA", _TEXT),
        ("TABLE_NAME", _TEXT),
        ("TABLE_OWNER", _TEXT),
        ("TABLE_TYPE", _TEXT),
        ("IS_TRANSIENT", _TEXT),
        ("ROW_COUNT", _WHOLE),
        ("BYTES", _WHOLE),
        ("CREATED", _TIME),
        ("COMMENT", _TEXT),
    ]
)
_COLUMNS = pa.schema(
    [
        ("TABLE_CATALOG", _TEXT),
        ("TABLE_SCHEMA", _TEXT),
        ("TABLE_NAME", _TEXT),
        ("COLUMN_NAME", _TEXT),
        ("ORDINAL_POSITION", _WHOLE),
        ("COLUMN_DEFAULT", _TEXT),
        ("IS_NULLABLE", _TEXT),
        ("DATA_TYPE", _TEXT),
        ("CHARACTER_MAXIMUM_LENGTH", _WHOLE),
        ("CHARACTER_OCTET_LENGTH", _WHOLE),
        ("NUMERIC_PRECISION", _WHOLE),
        ("NUMERIC_PRECISION_RADIX", _WHOLE),
        ("NUMERIC_SCALE", _WHOLE),
        ("DATETIME_PRECISION", _WHOLE),
        ("COMMENT", _TEXT),
    ]
)
_SCHEMATA = pa.schema(
    [
        ("CATALOG_NAME", _TEXT),
        ("SCHEMA_NAME", _TEXT),
        ("SCHEMA_OWNER", _TEXT),
        ("CREATED", _TIME),
    ]
)


def wanted(context: Context, parts: list[str]) -> tuple[str, str] | None:
    """Give database and view where a name is one of INFORMATION_SCHEMA's."""
    if len(parts) < 2 or parts[-2] != _INFORMATION:
        return None
    database = parts[0] if len(parts) == 3 else context.session.database
    if database is None:
        raise no_schema()
    context.account.grants.visible(context.session.role, database)
    context.account.catalog.schemas(database)
    return database, parts[-1]


def place_of(context: Context, database: str, view: str, *, counted: bool = True) -> tuple[str, str]:
    """Fill a temporary table with what the view shows now, and say where it is.

    Without `counted` rows are not counted: each table would be read.
    """
    makers = {
        "TABLES": (_TABLES, partial(_tables, counted=counted)),
        "COLUMNS": (_COLUMNS, _columns),
        "SCHEMATA": (_SCHEMATA, _schemata),
    }
    if view not in makers:
        raise missing("Object", database, _INFORMATION, view)
    schema, rows = makers[view]
    made = pa.Table.from_pylist(list(rows(context, database)), schema=schema)
    name = f"{database}.{_INFORMATION}.{view}"
    cursor = context.cursor
    cursor.register("emulator_view", made)
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {duck(name)} AS SELECT * FROM emulator_view")
    cursor.unregister("emulator_view")
    return "temp", name


def _visible(context: Context, database: str) -> Iterator[Table]:
    role, grants = context.session.role, context.account.grants
    for name, schema in context.account.catalog.schemas(database).items():
        if grants.has(role, "USAGE", "SCHEMA", database, name):
            for table in list(schema.tables.values()):
                if table.session in {0, context.session.number}:
                    yield table


def _tables(context: Context, database: str, *, counted: bool) -> Iterator[dict[str, Any]]:
    for table in _visible(context, database):
        kind = "VIEW" if table.view else ("TEMPORARY TABLE" if table.session else "BASE TABLE")
        rows = context.cursor.one(f"SELECT count(*) FROM {table.sql}") if counted else None
        yield {
            **_path(table),
            "TABLE_OWNER": context.session.role,
            "TABLE_TYPE": kind,
            "IS_TRANSIENT": "NO",
            "ROW_COUNT": rows[0] if rows else None,
            "BYTES": 0,
            "CREATED": dt.datetime.fromtimestamp(table.created, dt.UTC),
            "COMMENT": table.comment,
        }


def _path(table: Table) -> dict[str, str]:
    return {"TABLE_CATALOG": table.database, "TABLE_SCHEMA": table.schema, "TABLE_NAME": table.name}


def _columns(context: Context, database: str) -> Iterator[dict[str, Any]]:
    for table in _visible(context, database):
        for position, column in enumerate(table.columns, 1):
            kind = column.type
            number, text = kind.kind == "FIXED", kind.kind in {"TEXT", "BINARY"}
            yield {
                **_path(table),
                "COLUMN_NAME": column.name,
                "ORDINAL_POSITION": position,
                "COLUMN_DEFAULT": column.default,
                "IS_NULLABLE": "YES" if column.nullable else "NO",
                "DATA_TYPE": _WORDS.get(kind.kind, kind.kind),
                "CHARACTER_MAXIMUM_LENGTH": kind.length if text else None,
                "CHARACTER_OCTET_LENGTH": kind.length * 4 if kind.kind == "TEXT" else None,
                "NUMERIC_PRECISION": kind.precision if number else None,
                "NUMERIC_PRECISION_RADIX": 10 if number else None,
                "NUMERIC_SCALE": kind.scale if number else None,
                "DATETIME_PRECISION": kind.scale if kind.kind.startswith("TIME") else None,
                "COMMENT": None,
            }


def _schemata(context: Context, database: str) -> Iterator[dict[str, Any]]:
    for name in context.account.catalog.schemas(database):
        yield {"CATALOG_NAME": database, "SCHEMA_NAME": name, "SCHEMA_OWNER": context.session.role}
