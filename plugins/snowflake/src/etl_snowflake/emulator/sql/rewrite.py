"""Types and functions that the DuckDB dialect would write in a way that does not fit how values are kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from sqlglot import exp

from etl_snowflake.emulator.errors import syntax
from etl_snowflake.emulator.sql.context import Context
from etl_snowflake.emulator.types import declared

_AS = {"VARIANT": "SF_TO_VARIANT", "ARRAY": "SF_TO_ARRAY", "OBJECT": "SF_TO_OBJECT", "TEXT": "SF_TO_VARCHAR"}
_STAMPS = {
    "TO_TIMESTAMP": "TIMESTAMP",
    "TO_TIMESTAMP_NTZ": "TIMESTAMP",
    "TO_TIMESTAMP_TZ": "TIMESTAMPTZ",
    "TO_TIMESTAMP_LTZ": "TIMESTAMPTZ",
}


def rewrite(context: Context, tree: exp.Expr) -> exp.Expr:
    """Replace what has to be replaced, from the leaves up."""

    def step(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Anonymous):
            return _anonymous(context, node)
        change = _BY_CLASS.get(type(node))
        return change(context, node) if change else node

    return _upwards(tree, step)


def bind(context: Context, tree: exp.Expr) -> None:
    """Put what is bound in the place of each `?`, in their order, and of each `:number`."""
    numbers = count(1)
    for node in list(tree.find_all(exp.Placeholder, bfs=False)):
        node.replace(_bound(context, node.name if node.name.isdigit() else str(next(numbers))))


def _upwards(tree: exp.Expr, step: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    root = tree
    for node in reversed(list(tree.bfs())):
        new = step(node)
        if new is node:
            continue
        if node is root:
            root = new
        else:
            node.replace(new)
    return root


def call(name: str, *arguments: Any) -> exp.Anonymous:
    """Write a call of a macro."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def cast(value: Any, duck: str, *, gently: bool = False) -> exp.Expr:
    """Write a cast to one of DuckDB's types."""
    kind = exp.DataType.build(duck, dialect="duckdb")
    return exp.TryCast(this=value, to=kind) if gently else exp.Cast(this=value, to=kind)


def _bound(context: Context, name: str) -> exp.Expr:
    binding = context.bindings.get(name)
    if binding is None:
        raise syntax(f"Bind variable {name} not set.")
    value = binding.get("value")
    if value is None:
        return exp.Null()
    literal = exp.Literal.string(str(value))
    kinds = {"FIXED": "DECIMAL(38,0)", "REAL": "DOUBLE", "BOOLEAN": "BOOLEAN"}
    kind = kinds.get(str(binding.get("type")))
    if kind == "DECIMAL(38,0)" and "." in str(value):
        return exp.Literal.number(str(value))
    if binding.get("type") == "BINARY":
        return call("unhex", literal)
    return cast(literal, kind) if kind else literal


def _cast(context: Context, node: exp.Cast) -> exp.Expr:
    kind = declared(node.to)
    if kind is None:
        return node  # written by an earlier step, or DuckDB's own
    gently = isinstance(node, exp.TryCast)
    value = node.this
    if kind.kind in _AS and not gently:
        return call(_AS[kind.kind], value)
    if kind.semi:
        return cast(value, "JSON", gently=gently)
    if kind.kind == "BINARY" and not gently:
        return call("unhex", value) if _text(value) else cast(value, "BLOB")
    return cast(value, kind.duck(), gently=gently)


def _text(value: exp.Expr) -> bool:
    return isinstance(value, exp.Literal) and value.is_string


def _parse_json(context: Context, node: exp.ParseJSON) -> exp.Expr:
    return cast(node.this, "JSON", gently=bool(node.args.get("safe")))


def _get(context: Context, node: Any) -> exp.Expr:
    key = node.expressions[0] if isinstance(node, exp.Bracket) else node.expression
    if isinstance(key, exp.Literal):
        pointer = "/" + key.name.replace("~", "~0").replace("/", "~1")
        path = pointer if key.is_string else f"$[{key.name}]"
        return call("json_extract", node.this, exp.Literal.string(path))
    return call("SF_GET", node.this, key)


def _struct(context: Context, node: exp.Struct) -> exp.Expr:
    """OBJECT_CONSTRUCT leaves out pairs whose value is NULL."""
    pairs = []
    for each in node.expressions:
        name, value = each.this, each.expression
        key = exp.Literal.string(name.name) if isinstance(name, exp.Identifier) else name
        pairs.append(call("SF_PAIR", key, value))
    joined = call("array_to_string", call("list_value", *pairs), exp.Literal.string(","))
    return cast(call("concat", exp.Literal.string("{"), joined, exp.Literal.string("}")), "JSON")


def _binary(context: Context, node: exp.ToBinary) -> exp.Expr:
    form = node.args.get("format") or exp.Literal.string("HEX")
    made: exp.Expr = call("SF_TO_BINARY", node.this, form)
    return call("TRY", made) if node.args.get("safe") else made


def _array_agg(context: Context, node: exp.ArrayAgg) -> exp.Expr:
    if isinstance(node.parent, exp.Anonymous) and node.parent.name == "to_json":
        return node
    return call("to_json", node.copy())


def _anonymous(context: Context, node: exp.Anonymous) -> exp.Expr:
    name = node.name.upper()
    first = node.expressions[0] if node.expressions else None
    stamp = _STAMPS.get(name.removeprefix("TRY_"))
    if stamp and first is not None:
        return cast(first, stamp, gently=name.startswith("TRY_"))
    if name == "TO_OBJECT":
        return call("SF_TO_OBJECT", first)
    if name == "LAST_QUERY_ID":
        return exp.Literal.string(str(context.session.variables.get("LAST_QUERY_ID", "")))
    return node


def _current(value: Callable[[Context], str | None]) -> Callable[[Context, Any], exp.Expr]:
    def give(context: Context, node: Any) -> exp.Expr:
        found = value(context)
        return exp.Null() if found is None else exp.Literal.string(found)

    return give


_BY_CLASS: dict[type, Callable[[Context, Any], exp.Expr]] = {
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.ParseJSON: _parse_json,
    exp.ToVariant: lambda context, node: call("SF_TO_VARIANT", node.this),
    exp.ToArray: lambda context, node: call("SF_TO_ARRAY", node.this),
    exp.ToChar: lambda context, node: call("SF_TO_VARCHAR", node.this),
    exp.Typeof: lambda context, node: call("SF_TYPEOF", node.this),
    exp.JSONFormat: lambda context, node: cast(call("to_json", node.this), "VARCHAR"),
    exp.ArrayContains: lambda context, node: call("SF_ARRAY_CONTAINS", node.expression, node.this),
    exp.ArraySize: lambda context, node: call("ARRAY_SIZE", node.this),
    exp.ArrayConcat: lambda context, node: call("SF_ARRAY_CAT", node.this, *node.expressions),
    exp.ArrayAppend: lambda context, node: call("SF_ARRAY_APPEND", node.this, node.expression),
    exp.Array: lambda context, node: call("json_array", *node.expressions),
    exp.ArrayAgg: _array_agg,
    exp.Struct: _struct,
    exp.Bracket: _get,
    exp.GetExtract: _get,
    exp.ToBinary: _binary,
    exp.CurrentRole: _current(lambda context: context.session.role),
    exp.CurrentWarehouse: _current(lambda context: context.session.warehouse),
    exp.CurrentUser: _current(lambda context: context.session.user.name),
    exp.CurrentAccount: _current(lambda context: context.account.name),
    exp.CurrentDatabase: _current(lambda context: context.session.database),
    exp.CurrentSchema: _current(lambda context: context.session.schema),
    exp.CurrentSession: _current(lambda context: str(context.session.number)),
    exp.CurrentRegion: _current(lambda context: "LOCAL_EMULATOR"),
    exp.CurrentVersion: _current(lambda context: "9.99.0"),
}
