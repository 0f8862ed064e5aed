"""Queries and DML."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.errors import invalid_identifier
from etl_snowflake.emulator.names import duck, logical
from etl_snowflake.emulator.nanos import refine_like
from etl_snowflake.emulator.results import DELETE, INSERT, SELECT, UPDATE, Result, changed
from etl_snowflake.emulator.sql.context import Context
from etl_snowflake.emulator.sql.merge import merge
from etl_snowflake.emulator.sql.translate import Translated, translate
from etl_snowflake.emulator.sql.trees import name_of, names_of
from etl_snowflake.emulator.types import SnowType, kept


def run_tree(context: Context, tree: exp.Expr, *, describe: bool = False) -> Result | None:
    """Carry out a query or DML; None for a tree that is neither."""
    match tree:
        case exp.Query():
            return _select(context, tree, describe=describe)
        case exp.Insert():
            return _insert(context, tree)
        case exp.Update():
            return _update(context, tree)
        case exp.Delete():
            return _delete(context, tree)
        case exp.Merge():
            return merge(context, tree)
    return None


def _select(context: Context, tree: exp.Expr, *, describe: bool) -> Result:
    translated = translate(context, tree)
    for table in translated.tables:
        context.require("SELECT", "TABLE", *table.path)
    if translated.tables:
        context.require_warehouse()
    sql = translated.sql()
    if describe:
        sql = f"SELECT * FROM ({sql}) LIMIT 0"
    return context.account.transactions.read(context.session, lambda: _fetch(context, sql, translated))


def _fetch(context: Context, sql: str, translated: Translated) -> Result:
    relation = _flat(context, sql)
    kinds = [kept(str(kind)) for kind in relation.types]
    names = [logical(name) for name in relation.columns]
    arrow = relation.to_arrow_table()
    columns = [(name, _declared(name, kind, translated)) for name, kind in zip(names, kinds, strict=True)]
    context.account.journal.count(rows_read=arrow.num_rows)
    return Result(columns, arrow=arrow, kind=SELECT)


def _flat(context: Context, sql: str) -> Any:
    """Give a query whose lists and structs are JSON, as everything nested is kept here."""
    relation = context.cursor.sql(sql)
    nested = [
        name for name, kind in zip(relation.columns, relation.types, strict=True) if kept(str(kind)).semi
    ]
    lists = [duck(name) for name in nested if str(relation.types[relation.columns.index(name)]) != "JSON"]
    if not lists:
        return relation
    made = ", ".join(f"to_json({name}) AS {name}" for name in lists)
    return context.cursor.sql(f"SELECT * REPLACE ({made}) FROM ({sql})")


def _declared(name: str, kind: SnowType, translated: Translated) -> SnowType:
    """Give a plain column of a single table the type that it was declared with."""
    if len(translated.tables) != 1:
        return kind
    column = translated.tables[0].column(name)
    same = column is not None and _same(column.type, kind)
    return column.type if column is not None and same else kind


def _same(declared: SnowType, computed: SnowType) -> bool:
    return kept(declared.duck().replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")) == computed


def _insert(context: Context, tree: exp.Insert) -> Result:
    table = _target(context, tree.this)
    context.require("INSERT", "TABLE", *table.path)
    context.require_warehouse()
    overwrite = bool(tree.args.get("overwrite"))
    tree.set("overwrite", False)
    translated = translate(context, tree)
    sql = translated.sql()

    def work() -> int:
        if overwrite:
            context.cursor.execute(f"DELETE FROM {table.sql}")
        refine_like(context.cursor, table, translated.tables)
        return _count(context, sql)

    rows = context.atomic(work, alone=overwrite)
    context.account.journal.count(rows_inserted=rows)
    return changed(INSERT, inserted=rows)


def _target(context: Context, node: exp.Expr) -> Table:
    """Look the table up that is written to, and check that the columns named are its."""
    table = node.this if isinstance(node, exp.Schema) else node
    assert isinstance(table, exp.Table)
    found = context.table(names_of(table))
    if isinstance(node, exp.Schema):
        for each in node.expressions:
            if found.column(name_of(each)) is None:
                raise invalid_identifier(name_of(each))
    return found


def _count(context: Context, sql: str) -> int:
    row: Any = context.cursor.one(sql)
    return int(row[0])


def _update(context: Context, tree: exp.Update) -> Result:
    table = _target(context, tree.this)
    context.require("UPDATE", "TABLE", *table.path)
    context.require_warehouse()
    for each in tree.expressions:
        if table.column(name_of(each.this.this)) is None:
            raise invalid_identifier(name_of(each.this.this))
        each.this.set("table", None)  # DuckDB takes no qualified names here
    sql = translate(context, tree).sql()
    rows = context.atomic(lambda: _count(context, sql), alone=True)
    return changed(UPDATE, updated=rows)


def _delete(context: Context, tree: exp.Delete) -> Result:
    table = _target(context, tree.this)
    context.require("DELETE", "TABLE", *table.path)
    context.require_warehouse()
    sql = translate(context, tree).sql()
    rows = context.atomic(lambda: _count(context, sql), alone=True)
    context.account.journal.count(rows_deleted=rows)
    return changed(DELETE, deleted=rows)
