"""The SELECT of a COPY: `$1:column` is a column of the Parquet file."""

from __future__ import annotations

import re

import sqlglot
from sqlglot import ErrorLevel, exp

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.errors import SnowflakeError, syntax
from etl_snowflake.emulator.loading import Value
from etl_snowflake.emulator.nanos import fine_type
from etl_snowflake.emulator.sql.context import Context
from etl_snowflake.emulator.sql.rewrite import rewrite
from etl_snowflake.emulator.sql.staging import STAGE
from etl_snowflake.emulator.types import declared


def transformed(
    context: Context,
    table: Table,
    columns: list[str] | None,
    select: str,
    kinds: dict[str, str],
    file: str,
) -> dict[str, Value]:
    """Give the source of each column, out of the SELECT's expressions in their order."""
    text = re.sub(rf"FROM\s+{STAGE}", "FROM STAGED", select, flags=re.IGNORECASE)
    tree = sqlglot.parse_one(text, read="snowflake")
    if not isinstance(tree, exp.Select) or any(
        tree.args.get(each) for each in ("where", "group", "joins", "order")
    ):
        raise syntax("a COPY's SELECT may do nothing but choose and convert columns")
    names = columns or [column.name for column in table.columns]
    if len(tree.expressions) != len(names):
        got = len(tree.expressions)
        text = f"Insert value list does not match column list expecting {len(names)} but got {got}"
        raise SnowflakeError("002020", "21S01", f"SQL compilation error: {text}")
    values = {}
    for name, expression in zip(names, tree.expressions, strict=True):
        values[name] = _value(context, expression.unalias(), kinds, file)
    return values


def _value(context: Context, tree: exp.Expr, kinds: dict[str, str], file: str) -> Value:
    holder = exp.Paren(this=tree.this.copy() if _fine(tree, kinds) else tree.copy())
    for node in list(holder.find_all(exp.JSONExtract, exp.Parameter, exp.Column)):
        _replace(node, kinds, file)
    made = rewrite(context, holder)
    return Value(made.sql(dialect="duckdb", unsupported_level=ErrorLevel.IGNORE), _kind(tree, kinds))


def _fine(tree: exp.Expr, kinds: dict[str, str]) -> bool:
    """Whether it casts nanoseconds, or a text that may have some, to a type that has them: loading does."""
    if not isinstance(tree, exp.Cast) or not isinstance(tree.this, exp.JSONExtract):
        return False
    kind = declared(tree.to)
    fine = fine_type(kind) if kind else None
    return fine is not None and kinds.get(_key(tree.this) or "") in {fine, "VARCHAR"}


def _kind(tree: exp.Expr, kinds: dict[str, str]) -> str:
    """Say what the expression gives, as far as loading has to know."""
    if isinstance(tree, exp.JSONExtract):
        return kinds.get(_key(tree) or "", "VARCHAR")
    if _fine(tree, kinds):
        return _kind(tree.this, kinds)
    return "JSON" if isinstance(tree, exp.ParseJSON) else "ANY"


def _key(node: exp.JSONExtract) -> str | None:
    keys = [part for part in node.expression.expressions if isinstance(part, exp.JSONPathKey)]
    return str(keys[0].this) if keys else None


def _replace(node: exp.Expr, kinds: dict[str, str], file: str) -> None:
    match node:
        case exp.JSONExtract() if isinstance(node.this, exp.Parameter):
            key = _key(node)
            found: exp.Expr = exp.column(key, quoted=True) if key in kinds else exp.Null()
            rest = [part for part in node.expression.expressions if isinstance(part, exp.JSONPathKey)][1:]
            for part in rest:
                found = exp.Anonymous(
                    this="SF_GET",
                    expressions=[
                        exp.Anonymous(this="to_json", expressions=[found]),
                        exp.Literal.string(str(part.this)),
                    ],
                )
            node.replace(found)
        case exp.Column() if node.name.upper() == "METADATA$FILENAME":
            node.replace(exp.Literal.string(file))
        case exp.Column() if node.name.upper() == "METADATA$FILE_ROW_NUMBER":
            node.replace(exp.Anonymous(this="row_number", expressions=[]))
        case exp.Parameter() if not isinstance(node.parent, exp.JSONExtract):
            pairs = ", ".join(f"'{name}': \"{name}\"" for name in kinds)
            node.replace(sqlglot.parse_one(f"to_json({{{pairs}}})", read="duckdb"))
