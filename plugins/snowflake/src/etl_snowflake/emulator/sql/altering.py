"""ALTER TABLE: add, rename, widen and drop columns, rename and swap tables."""

from __future__ import annotations

from sqlglot import exp

from etl_snowflake.emulator.catalog import Column, Table
from etl_snowflake.emulator.errors import SnowflakeError, present, syntax, too_long
from etl_snowflake.emulator.names import LONGEST, duck, physical, shown
from etl_snowflake.emulator.results import Result, done
from etl_snowflake.emulator.sql.context import Context
from etl_snowflake.emulator.sql.tables import column_of, read_column
from etl_snowflake.emulator.sql.trees import name_of, names_of
from etl_snowflake.emulator.types import SnowType, declared


def alter_table(context: Context, tree: exp.Alter) -> Result:
    """ALTER TABLE [IF EXISTS] name action, ..."""
    name = names_of(tree.this)
    if tree.args.get("exists") and context.account.catalog.find(context.path(name)) is None:
        return done()
    table = context.table(name)
    context.require("OWNERSHIP", "TABLE", *table.path)

    def work() -> None:
        for action in tree.args["actions"]:
            _act(context, table, action)

    context.define(work)
    return done()


def _act(context: Context, table: Table, action: exp.Expr) -> None:
    match action:
        case exp.ColumnDef():
            _add(context, table, action)
        case exp.AlterColumn():
            _alter(context, table, action)
        case exp.RenameColumn():
            _rename_column(context, table, action)
        case exp.Drop():
            _drop(context, table, action)
        case exp.AlterRename():
            _rename(context, table, action)
        case exp.SwapTable():
            _swap(context, table, action)
        case exp.AlterSet():
            table.evolves = "TRUE" in action.sql("snowflake").upper()
        case _:
            raise syntax(f"unexpected '{type(action).__name__.upper()}'.")


def _run(context: Context, table: Table, action: str) -> None:
    context.cursor.execute(f"ALTER TABLE {table.sql} {action}")


def _add(context: Context, table: Table, node: exp.ColumnDef) -> None:
    column = read_column(node)
    if table.column(column.name) is not None:
        if node.args.get("exists"):
            return
        text = f"SQL compilation error:\ncolumn '{shown(column.name)}' already exists"
        raise SnowflakeError("001430", "42601", text)
    if not column.nullable and column.default is None and _filled(context, table):
        text = f"Non-nullable column '{shown(column.name)}' cannot be added to non-empty table"
        raise SnowflakeError("002044", "42601", f"SQL compilation error:\n{text}")
    default = f" DEFAULT {column.default}" if column.default is not None else ""
    _run(context, table, f"ADD COLUMN {duck(physical(column.name))} {column.type.duck()}{default}")
    if not column.nullable:
        _run(context, table, f"ALTER COLUMN {duck(physical(column.name))} SET NOT NULL")
    table.columns = [*table.columns, column]


def _filled(context: Context, table: Table) -> bool:
    return context.cursor.one(f"SELECT 1 FROM {table.sql} LIMIT 1") is not None


def _alter(context: Context, table: Table, node: exp.AlterColumn) -> None:
    column = column_of(table, name_of(node.this.this if isinstance(node.this, exp.Column) else node.this))
    spelled = duck(physical(column.name))
    if node.args.get("dtype") is not None:
        _widen(context, table, column, declared(node.args["dtype"]))
    elif node.args.get("allow_null") is not None:
        column.nullable = bool(node.args["allow_null"])
        _run(context, table, f"ALTER COLUMN {spelled} {'DROP' if column.nullable else 'SET'} NOT NULL")
    elif node.args.get("drop"):
        column.default = None
        _run(context, table, f"ALTER COLUMN {spelled} DROP DEFAULT")
    else:
        raise syntax("unexpected 'ALTER COLUMN'.")


def _widen(context: Context, table: Table, column: Column, kind: SnowType | None) -> None:
    if kind is None or not _wider(column.type, kind):
        old, new = column.type.sql(), kind.sql() if kind else "?"
        text = f"cannot change column {shown(column.name)} from type {old} to {new}"
        raise SnowflakeError("002108", "22000", f"SQL compilation error: {text}")
    _run(context, table, f"ALTER COLUMN {duck(physical(column.name))} SET DATA TYPE {kind.duck()}")
    column.type = kind


def _wider(old: SnowType, new: SnowType) -> bool:
    """Snowflake lets numbers have more digits at the same scale, and texts be longer; nothing else."""
    if old.kind != new.kind:
        return False
    if old.kind == "FIXED":
        return new.scale == old.scale and new.precision >= old.precision
    return old == new or (old.kind in {"TEXT", "BINARY"} and new.length >= old.length)


def _rename_column(context: Context, table: Table, node: exp.RenameColumn) -> None:
    column = column_of(table, name_of(node.this.this))
    new = name_of(node.args["to"].this)
    if len(new) > LONGEST:
        raise too_long(len(new))
    if table.column(new) is not None:
        raise present(new)
    _run(context, table, f"RENAME COLUMN {duck(physical(column.name))} TO {duck(physical(new))}")
    column.name = new


def _drop(context: Context, table: Table, node: exp.Drop) -> None:
    for target in node.args["tables"]:
        name = name_of(target.this)
        if table.column(name) is None and node.args.get("exists"):
            continue
        column = column_of(table, name)
        _run(context, table, f"DROP COLUMN {duck(physical(column.name))}")
        table.columns = [each for each in table.columns if each is not column]


def _rename(context: Context, table: Table, node: exp.AlterRename) -> None:
    path = context.path(names_of(node.this))
    catalog = context.account.catalog
    if catalog.find(path) is not None:
        raise present(*path)
    _move(context, table, path)


def _move(context: Context, table: Table, path: tuple[str, str, str]) -> None:
    """Rename; DuckDB knows no move between schemas, so that the rows are copied there."""
    catalog, old = context.account.catalog, table.sql
    catalog.remove(table)
    same = table.path[:2] == path[:2]
    table.database, table.schema, table.name = path
    if same:
        context.cursor.execute(f"ALTER TABLE {old} RENAME TO {duck(table.place[1])}")
    else:
        context.cursor.execute(f"CREATE TABLE {table.sql} AS SELECT * FROM {old}")
        context.cursor.execute(f"DROP TABLE {old}")
    catalog.add(table)


def _swap(context: Context, table: Table, node: exp.SwapTable) -> None:
    other = context.table(names_of(node.this))
    mine, theirs = table.path, other.path
    _move(context, table, (mine[0], mine[1], f"{mine[2]}^swap"))
    _move(context, other, mine)
    _move(context, table, theirs)
