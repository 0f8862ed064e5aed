"""INFORMATION_SCHEMA: what the catalogue knows, as subqueries of the query that asks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from sqlglot import exp

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


def shown(context: Context, database: str, view: str, node: exp.Table) -> str:
    """Write a subquery of DuckDB's with what a view shows now, as far as the query around it may ask.

    Rows of tables are counted only where it may ask for that: each table would be read.
    """
    columns = _VIEWS.get(view)
    if columns is None:
        raise missing("Object", database, _INFORMATION, view)
    names = {each.name.upper() for each in node.root().find_all(exp.Column)}
    asked = [each for each in columns if each.name in names or node.root().find(exp.Star)]
    rows = _MAKERS[view](context, database, any(each.name == "ROW_COUNT" for each in asked))
    only = {name: _only(node, name) for name in ("TABLE_SCHEMA", "TABLE_NAME", "SCHEMA_NAME")}
    kept = [
        row for row in rows if all(found is None or row.get(name) in found for name, found in only.items())
    ]
    return _subquery(asked or list(columns)[:1], kept)


def _only(node: exp.Table, name: str) -> set[str] | None:
    """Give the values that the query wants a column to be equal to; None where it wants others, too."""
    select = node.parent_select
    where = select.args.get("where") if select and not select.args.get("joins") else None
    found = set()
    for either in _parts(where.this, exp.Or) if where else ():
        equal = [
            each for each in _parts(either, exp.And) if isinstance(each, exp.EQ) and each.this.name == name
        ]
        texts = {each.expression.name for each in equal if each.expression.is_string}
        if not texts:
            return None
        found |= texts
    return found or None


def _parts(tree: exp.Expr, kind: type[exp.Connector]) -> list[exp.Expr]:
    bare = tree.unnest()
    return list(bare.flatten()) if isinstance(bare, kind) else [bare]


def _subquery(columns: Sequence[pa.Field], rows: Sequence[dict[str, Any]]) -> str:
    kinds = {_TEXT: "VARCHAR", _WHOLE: "BIGINT", _TIME: "TIMESTAMPTZ"}
    empty = ", ".join(f"CAST(NULL AS {kinds[each.type]}) AS {duck(each.name)}" for each in columns)
    written = [f"({', '.join(_written(row.get(each.name)) for each in columns)})" for row in rows]
    values = f" UNION ALL VALUES {', '.join(written)}" if written else ""
    return f"(SELECT {empty} WHERE FALSE{values})"


def _written(value: Any) -> str:
    if value is None or isinstance(value, int):
        return "NULL" if value is None else str(value)
    return "'" + str(value).replace("'", "''") + "'"


def _visible(context: Context, database: str) -> Iterator[Table]:
    role, grants = context.session.role, context.account.grants
    for name, schema in context.account.catalog.schemas(database).items():
        if grants.has(role, "USAGE", "SCHEMA", database, name):
            for table in list(schema.tables.values()):
                if table.session in {0, context.session.number}:
                    yield table


def _tables(context: Context, database: str, counted: bool) -> Iterator[dict[str, Any]]:
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


def _columns(context: Context, database: str, counted: bool) -> Iterator[dict[str, Any]]:
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


def _schemata(context: Context, database: str, counted: bool) -> Iterator[dict[str, Any]]:
    for name in context.account.catalog.schemas(database):
        yield {"CATALOG_NAME": database, "SCHEMA_NAME": name, "SCHEMA_OWNER": context.session.role}


_VIEWS = {"TABLES": _TABLES, "COLUMNS": _COLUMNS, "SCHEMATA": _SCHEMATA}
_MAKERS = {"TABLES": _tables, "COLUMNS": _columns, "SCHEMATA": _schemata}
