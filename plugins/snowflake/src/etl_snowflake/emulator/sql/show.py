"""SHOW: what there is, as the role may see it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

from etl_snowflake.emulator.catalog import Schema
from etl_snowflake.emulator.results import Result, listing, texts
from etl_snowflake.emulator.sql.context import NAME, Context, statement, unquote

_LIKE = r"(?: LIKE (?P<like>'(?:[^']|'')*'))?"
_IN = (
    rf"(?: IN (?:(?P<account>ACCOUNT)|(?P<kind>DATABASE|SCHEMA|TABLE)(?: (?P<where>{NAME}))?|"
    rf"(?P<plain>{NAME})))?"
)
_TABLE_COLUMNS = (
    "created_on name database_name schema_name kind comment cluster_by rows bytes owner retention_time "
    "enable_schema_evolution"
)
_TASK_COLUMNS = (
    "created_on name id database_name schema_name owner comment warehouse schedule predecessors state "
    "definition"
)
_REST = r"(?: STARTS WITH '[^']*')?(?: LIMIT \d+)?"


def _moment(seconds: float) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC).timestamp():.9f}"


def _liked(found: re.Match[str], name: str) -> bool:
    """Whether a name is like the pattern; case does not matter here, as in Snowflake."""
    if not found["like"]:
        return True
    pattern = re.escape(unquote(found["like"])).replace("%", ".*").replace("_", ".")
    return re.fullmatch(pattern.replace(r"\.", r"."), name, re.IGNORECASE | re.DOTALL) is not None


def _schemas(context: Context, found: re.Match[str]) -> Iterator[tuple[str, str, Schema]]:
    """Give the schemas that the statement asks about."""
    catalog, grants, role = context.account.catalog, context.account.grants, context.session.role
    wanted: tuple[str | None, str | None]
    if found["account"]:
        wanted = (None, None)
    elif (found["kind"] or "").upper() == "DATABASE":
        wanted = (
            context.path(f"{found['where']}.X.X")[0] if found["where"] else context.session.database,
            None,
        )
    elif found["where"] or found["plain"]:
        wanted = context.schema_path(found["where"] or found["plain"])
        grants.visible(role, *wanted)
        catalog.schema(*wanted)
    else:
        wanted = (context.session.database, context.session.schema)
    for database, schemas in list(catalog.databases.items()):
        for name, schema in list(schemas.items()):
            seen = grants.has(role, "USAGE", "SCHEMA", database, name)
            if seen and wanted[0] in {None, database} and wanted[1] in {None, name}:
                yield database, name, schema


@statement(rf"SHOW (?:TERSE )?TABLES{_LIKE}{_IN}{_REST}")
def _tables(context: Context, found: re.Match[str]) -> Result:
    rows: list[tuple[Any, ...]] = []
    for database, name, schema in _schemas(context, found):
        for table in list(schema.tables.values()):
            if (
                not _liked(found, table.name)
                or table.view
                or table.session not in {0, context.session.number}
            ):
                continue
            count = context.cursor.one(f"SELECT count(*) FROM {table.sql}")
            kind = "TEMPORARY" if table.session else "TABLE"
            rows.append((
                _moment(table.created), table.name, database, name, kind, table.comment, "",
                count[0] if count else 0, 0, context.session.role, "1",
                "Y" if table.evolves else "N",
            ))  # fmt: skip
    return listing(texts(*_TABLE_COLUMNS.split()), rows)


@statement(rf"SHOW COLUMNS{_LIKE}{_IN}{_REST}")
def _columns(context: Context, found: re.Match[str]) -> Result:
    table = context.table(found["where"] or found["plain"])
    rows = [
        (
            table.name,
            table.schema,
            each.name,
            each.type.sql(),
            "true" if each.nullable else "false",
            each.default or "",
            "COLUMN",
            "",
            "",
            table.database,
        )
        for each in table.columns
        if _liked(found, each.name)
    ]
    names = "table_name schema_name column_name data_type null? default kind expression comment database_name"
    return listing(texts(*names.split()), rows)


@statement(rf"SHOW (?:TERSE )?SCHEMAS{_LIKE}{_IN}{_REST}")
def _show_schemas(context: Context, found: re.Match[str]) -> Result:
    where = found["where"] or found["plain"]
    database = context.path(f"{where}.X.X")[0] if where else context.session.database
    rows = [
        (_moment(0), name, "N", "Y" if name == context.session.schema else "N", each, context.session.role)
        for each, schemas in context.account.catalog.databases.items()
        for name in schemas
        if database in {None, each} and _liked(found, name)
    ]
    names = ("created_on", "name", "is_default", "is_current", "database_name", "owner")
    return listing(texts(*names), rows)


@statement(rf"SHOW (?:TERSE )?DATABASES{_LIKE}{_REST}")
def _databases(context: Context, found: re.Match[str]) -> Result:
    seen = context.account.grants.has
    rows = [
        (_moment(0), name, "N", "Y" if name == context.session.database else "N")
        for name in context.account.catalog.databases
        if _liked(found, name) and seen(context.session.role, "USAGE", "DATABASE", name)
    ]
    return listing(texts("created_on", "name", "is_default", "is_current"), rows)


@statement(rf"SHOW WAREHOUSES{_LIKE}{_REST}")
def _warehouses(context: Context, found: re.Match[str]) -> Result:
    seen = context.account.grants.has
    rows = [
        (name, "STARTED", "STANDARD", "X-Small", "Y" if name == context.session.warehouse else "N")
        for name in context.account.catalog.warehouses
        if _liked(found, name) and seen(context.session.role, "USAGE", "WAREHOUSE", name)
    ]
    return listing(texts("name", "state", "type", "size", "is_current"), rows)


@statement(rf"SHOW STAGES{_LIKE}{_IN}{_REST}")
def _stages(context: Context, found: re.Match[str]) -> Result:
    rows = [
        (
            _moment(stage.created),
            stage.name,
            database,
            name,
            "",
            "INTERNAL TEMPORARY" if stage.session else "INTERNAL",
        )
        for database, name, schema in _schemas(context, found)
        for stage in list(schema.stages.values())
        if _liked(found, stage.name)
    ]
    return listing(texts("created_on", "name", "database_name", "schema_name", "url", "type"), rows)


@statement(rf"SHOW (?:TERSE )?TASKS{_LIKE}{_IN}{_REST}")
def _tasks(context: Context, found: re.Match[str]) -> Result:
    rows = [
        (
            _moment(task.created), task.name, f"{task.database}.{task.schema}.{task.name}", database, name,
            task.owner, "", task.warehouse, task.schedule, "[]", task.state, task.body,
        )
        for database, name, schema in _schemas(context, found)
        for task in list(schema.tasks.values())
        if _liked(found, task.name)
    ]  # fmt: skip
    return listing(texts(*_TASK_COLUMNS.split()), rows)


@statement(
    rf"SHOW GRANTS(?: TO ROLE (?P<role>{NAME})| TO USER (?P<user>{NAME})|"
    rf" ON (?P<kind>\w+)(?: (?P<name>{NAME}))?)?"
)
def _grants(context: Context, found: re.Match[str]) -> Result:
    if found["user"]:
        name = found["user"].upper().strip('"')
        user = context.account.door.users.get(name)
        rows = [(_moment(0), role, "USER", name, "") for role in (user.roles if user else [])]
        return listing(texts("created_on", "role", "granted_to", "grantee_name", "granted_by"), rows)
    role = (found["role"] or context.session.role).upper().strip('"')
    wanted = None
    if found["kind"] and found["name"]:
        kind = found["kind"].upper()
        wanted = (kind, _dotted(context, kind, found["name"]))
    listed = [
        (_moment(0), privilege, kind, name, "ROLE", role, "false", "ACCOUNTADMIN")
        for privilege, kind, name in context.account.grants.of_role(context.account.catalog, role)
        if wanted is None or wanted == (kind, name)
    ]
    names = "created_on privilege granted_on name granted_to grantee_name grant_option granted_by"
    return listing(texts(*names.split()), listed)


def _dotted(context: Context, kind: str, name: str) -> str:
    if kind in {"WAREHOUSE", "DATABASE"}:
        return context.path(f"{name}.X.X")[0]
    return ".".join(context.schema_path(name) if kind == "SCHEMA" else context.path(name))


@statement(rf"SHOW PARAMETERS{_LIKE}(?: IN .*)?")
def _parameters(context: Context, found: re.Match[str]) -> Result:
    rows = [
        (name, str(value), "", "SESSION")
        for name, value in context.session.parameters.items()
        if _liked(found, name)
    ]
    return listing(texts("key", "value", "default", "level"), rows)
