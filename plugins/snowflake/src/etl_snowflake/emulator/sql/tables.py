"""DDL of tables: what sqlglot reads out of CREATE and ALTER, done to DuckDB and to the catalogue."""

from __future__ import annotations

import re

from sqlglot import exp

from etl_snowflake.emulator.catalog import Column, Table
from etl_snowflake.emulator.errors import SnowflakeError, invalid_identifier, present, syntax, too_long
from etl_snowflake.emulator.names import LONGEST, duck, logical, physical, shown
from etl_snowflake.emulator.nanos import refine_like
from etl_snowflake.emulator.results import Result, done, listing, texts
from etl_snowflake.emulator.sql.context import NAME, Context, statement
from etl_snowflake.emulator.sql.translate import translate
from etl_snowflake.emulator.sql.trees import name_of, names_of
from etl_snowflake.emulator.types import declared, kept

_DESCRIBED = (
    "name",
    "type",
    "kind",
    "null?",
    "default",
    "primary key",
    "unique key",
    "check",
    "expression",
    "comment",
    "policy name",
)


def create_table(context: Context, tree: exp.Create) -> Result:
    """CREATE [OR REPLACE] [TEMPORARY] TABLE [IF NOT EXISTS] ... [AS | LIKE | CLONE]."""
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    path = context.path(names_of(node))
    temporary = any(isinstance(each, exp.TemporaryProperty) for each in _properties(tree))
    if not temporary:
        context.require("CREATE TABLE", "SCHEMA", *path[:2])
    context.account.catalog.schema(*path[:2])

    def work() -> Result:
        return _create(context, tree, path, context.session.number if temporary else 0)

    return context.define(work)


def _create(context: Context, tree: exp.Create, path: tuple[str, str, str], session: int) -> Result:
    catalog = context.account.catalog
    old = catalog.find(path, context.session.number)
    if old is not None and old.session == session:
        if tree.args.get("exists"):
            return done(f"{shown(path[2])} already exists, statement succeeded.")
        if not tree.args.get("replace"):
            raise present(*path)
    table = Table(
        *path, [], catalog.number(), session, evolves="ENABLE_SCHEMA_EVOLUTION" in context.text.upper()
    )
    source = _source(context, tree, table)
    if old is not None and old.session == session:
        drop(context, old)
    context.cursor.execute(f"CREATE {'VIEW' if table.view else 'TABLE'} {table.sql} {source}")
    if tree.args.get("clone"):
        other = context.table(names_of(tree.args["clone"].this))
        refine_like(context.cursor, table, [other])
        context.cursor.execute(f"INSERT INTO {table.sql} SELECT * FROM {other.sql}")
    catalog.add(table)
    word = "View" if table.view else "Table"
    return done(f"{word} {shown(path[2])} successfully created.")


def _source(context: Context, tree: exp.Create, table: Table) -> str:
    """Fill in the columns and give what follows the name in DuckDB's statement."""
    like = next((each for each in _properties(tree) if isinstance(each, exp.LikeProperty)), None)
    copied = like.this if like else (tree.args["clone"].this if tree.args.get("clone") else None)
    if copied is not None:
        table.columns = list(context.table(names_of(copied)).columns)
        return definition(table.columns)
    if tree.expression is not None:
        translated = translate(context, tree.expression)
        sql = translated.sql()
        relation = context.cursor.sql(f"SELECT * FROM ({sql}) LIMIT 0")
        pairs = zip(relation.columns, relation.types, strict=True)
        table.columns = [Column(logical(name), kept(str(kind))) for name, kind in pairs]
        table.view = tree.kind == "VIEW"
        return f"AS {sql}"
    table.columns = _columns(tree)
    return definition(table.columns)


def definition(columns: list[Column]) -> str:
    """Write the columns of a CREATE TABLE for DuckDB."""
    return "(" + ", ".join(_column_sql(each) for each in columns) + ")"


def _column_sql(column: Column) -> str:
    default = f" DEFAULT {column.default}" if column.default is not None else ""
    return (
        f"{duck(physical(column.name))} {column.type.duck()}{'' if column.nullable else ' NOT NULL'}{default}"
    )


def _columns(tree: exp.Create) -> list[Column]:
    if not isinstance(tree.this, exp.Schema):
        raise syntax("syntax error: a table needs columns")
    columns = [read_column(each) for each in tree.this.expressions if isinstance(each, exp.ColumnDef)]
    keys = {
        name_of(part) for each in tree.this.find_all(exp.PrimaryKey) for part in each.find_all(exp.Identifier)
    }
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise SnowflakeError("002025", "42S21", "SQL compilation error:\nduplicate column name")
    for column in columns:
        if column.name in keys:
            column.key, column.nullable = True, False
    return columns


def read_column(node: exp.ColumnDef) -> Column:
    """Read one column's declaration."""
    name = name_of(node.this)
    if len(name) > LONGEST:
        raise too_long(len(name))
    kind = declared(node.kind) if node.kind is not None else None
    if kind is None:
        raise syntax(f"Unsupported data type '{node.kind}'.")
    column = Column(name, kind)
    for constraint in node.constraints:
        match constraint.kind:
            case exp.NotNullColumnConstraint():
                column.nullable = bool(constraint.kind.args.get("allow_null"))
            case exp.PrimaryKeyColumnConstraint():
                column.key, column.nullable = True, False
            case exp.DefaultColumnConstraint():
                column.default = constraint.kind.this.sql(dialect="duckdb")
    return column


def _properties(tree: exp.Create) -> list[exp.Expr]:
    found = tree.args.get("properties")
    return list(found.expressions) if found else []


def drop(context: Context, table: Table) -> None:
    """Drop a table from DuckDB and the catalogue."""
    context.cursor.execute(f"DROP {'VIEW' if table.view else 'TABLE'} {table.sql}")
    context.account.catalog.remove(table)


@statement(rf"DROP (?:TABLE|VIEW)(?P<exists> IF EXISTS)? (?P<name>{NAME})(?: CASCADE| RESTRICT)?")
def _drop(context: Context, found: re.Match[str]) -> Result:
    path = context.path(found["name"])
    context.account.grants.visible(context.session.role, *path[:2])
    table = context.account.catalog.find(path, context.session.number)
    if table is None and found["exists"]:
        return done(f"Drop statement executed successfully ({shown(path[2])} already dropped).")
    table = context.table(found["name"])
    context.require("OWNERSHIP", "TABLE", *path)
    context.define(lambda: drop(context, table))
    return done(f"{shown(path[2])} successfully dropped.")


@statement(rf"TRUNCATE(?: TABLE)?(?P<exists> IF EXISTS)? (?P<name>{NAME})")
def _truncate(context: Context, found: re.Match[str]) -> Result:
    path = context.path(found["name"])
    if found["exists"] and context.account.catalog.find(path, context.session.number) is None:
        return done()
    table = context.table(found["name"])
    context.require("TRUNCATE", "TABLE", *path)

    def work() -> None:
        context.cursor.execute(f"DELETE FROM {table.sql}")
        table.loaded.clear()  # Snowflake forgets what was loaded, too

    context.define(work)
    return done()


@statement(rf"(?:DESCRIBE|DESC) (?:TABLE |VIEW )?(?P<name>{NAME})")
def _describe(context: Context, found: re.Match[str]) -> Result:
    table = context.table(found["name"])
    rows = [
        (
            each.name,
            each.type.sql(),
            "COLUMN",
            _flag(each.nullable),
            each.default,
            _flag(each.key),
            "N",
            *[None] * 4,
        )
        for each in table.columns
    ]
    return listing(texts(*_DESCRIBED), rows)


def _flag(value: bool) -> str:
    return "Y" if value else "N"


def column_of(table: Table, name: str) -> Column:
    """Look a column up."""
    column = table.column(name)
    if column is None:
        raise invalid_identifier(shown(name))
    return column


def comment(context: Context, tree: exp.Comment) -> Result:
    """COMMENT ON TABLE ... IS: kept for INFORMATION_SCHEMA."""
    if tree.args["kind"] != "TABLE":
        raise syntax("comments are kept for tables only")
    table = context.table(names_of(tree.this))
    table.comment = tree.expression.name
    context.define(lambda: None)
    return done()
