"""From Snowflake's syntax tree to one that DuckDB's dialect can write: names, tables, types, functions."""

from __future__ import annotations

from typing import Any

from sqlglot import ErrorLevel, exp

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.errors import syntax
from etl_snowflake.emulator.names import physical
from etl_snowflake.emulator.sql.context import Context
from etl_snowflake.emulator.sql.rewrite import bind, rewrite
from etl_snowflake.emulator.sql.schema_views import shown, wanted
from etl_snowflake.emulator.sql.trees import name_of


class Translated:
    """A tree for DuckDB, and the tables that it reads."""

    def __init__(self, tree: exp.Expr, tables: list[Table]) -> None:
        self.tree = tree
        self.tables = tables

    def sql(self) -> str:
        """Write it for DuckDB."""
        return self.tree.sql(dialect="duckdb", comments=False, unsupported_level=ErrorLevel.IGNORE)


def translate(context: Context, tree: exp.Expr) -> Translated:
    """Translate a query or DML; raises Snowflake's errors for tables that are missing."""
    name_outputs(tree)
    bind(context, tree)
    found = _Names(context, tree)
    tree = rewrite(context, tree)
    return Translated(tree, found.tables)


class _Names:
    """Resolves the tables of a tree, and spells all its identifiers for DuckDB, in place."""

    def __init__(self, context: Context, tree: exp.Expr) -> None:
        self.context = context
        self.tables: list[Table] = []
        self._local = {name_of(each.args["alias"].this) for each in tree.find_all(exp.CTE)}
        places = [(node, self._place(node)) for node in list(tree.find_all(exp.Table))]
        _values(tree)
        for node in tree.find_all(exp.Identifier):
            node.set("this", physical(name_of(node)))
            node.set("quoted", True)
        for table, place in places:
            if place is not None:
                _move(table, place)
        for column in tree.find_all(exp.Column):
            column.set("db", None)
            column.set("catalog", None)

    def _place(self, node: exp.Table) -> tuple[str, str] | str | None:
        """Give where a table is, or the subquery that stands for it."""
        if not isinstance(node.this, exp.Identifier):
            if isinstance(node.this, exp.Var):
                raise syntax("staged files can be read by COPY only")
            return None
        parts = [name_of(part) for part in node.parts if isinstance(part, exp.Identifier)]
        if len(parts) == 1 and parts[0] in self._local:
            return None
        view = wanted(self.context, parts)
        if view is not None:
            return shown(self.context, *view, node)
        table = self.context.table(parts, kind="Object")
        self.tables.append(table)
        return table.place


def _move(node: exp.Table, place: tuple[str, str] | str) -> None:
    shown = node.alias or node.name
    if isinstance(place, str):
        node.set("this", exp.Var(this=place))
        node.set("db", None)
    else:
        node.set("this", exp.to_identifier(place[1], quoted=True))
        node.set("db", exp.to_identifier(place[0], quoted=True))
    node.set("catalog", None)
    if not node.alias and not isinstance(node.parent, exp.Insert | exp.Schema):
        node.set("alias", exp.TableAlias(this=exp.to_identifier(shown, quoted=True)))


def _values(tree: exp.Expr) -> None:
    """Name the columns of VALUES as Snowflake does."""
    for values in tree.find_all(exp.Values):
        alias = values.args.get("alias")
        if isinstance(values.parent, exp.Insert) or (alias and alias.columns):
            continue
        width = len(values.expressions[0].expressions) if values.expressions else 0
        columns = [exp.to_identifier(f"COLUMN{each + 1}") for each in range(width)]
        this = alias.this if alias else exp.to_identifier("VALUES")
        values.set("alias", exp.TableAlias(this=this, columns=columns))


def name_outputs(tree: exp.Expr) -> None:
    """Name the columns of a query that have no name by their own text, as Snowflake does."""
    query = tree
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Select):
        return
    changed: list[Any] = []
    for each in query.expressions:
        named = isinstance(each, exp.Column | exp.Alias | exp.Star)
        text = each.sql(dialect="snowflake").upper()
        changed.append(each if named else exp.alias_(each, text, quoted=True))
    query.set("expressions", changed)
