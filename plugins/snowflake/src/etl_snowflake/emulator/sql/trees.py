"""Small questions to sqlglot's trees."""

from __future__ import annotations

from sqlglot import exp

from etl_snowflake.emulator.names import fold


def name_of(node: exp.Expr) -> str:
    """Give the name that an identifier stands for."""
    return fold(node.name, quoted=bool(node.args.get("quoted")))


def names_of(node: exp.Expr) -> list[str]:
    """Give the parts of a table's name."""
    assert isinstance(node, exp.Table)
    return [name_of(part) for part in node.parts]
