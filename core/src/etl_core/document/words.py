"""A setting's type in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from etl_core.config import Duration, SchemaPolicy, Secret, Size
from etl_core.document.containers import MAPPINGS, SEQUENCES, is_enum, is_union
from etl_core.document.fields import hints_of

__all__ = ["type_text"]

_WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true | false",
    Path: "path",
    Secret: "secret",
    Size: "size",
    Duration: "duration",
    Any: "anything",
}


def type_text(kind: Any) -> str:
    """Write a type as people do: ``text``, ``list of text``, ``hard | soft``."""
    origin, args = get_origin(kind) or kind, get_args(kind)
    if kind in _WORDS:
        return _WORDS[kind]
    if kind is SchemaPolicy:
        return f"{type_text(hints_of(kind)['new_column'])} | mapping"
    if origin is Literal:
        return " | ".join(str(option) for option in args)
    if is_union(kind):
        return " | ".join(type_text(option) for option in args if option is not type(None))
    if origin in SEQUENCES:
        return f"list of {type_text(args[0])}" if args else "list"
    if origin in MAPPINGS:
        return f"mapping to {type_text(args[1])}" if args else "mapping"
    if is_enum(kind):
        return " | ".join(str(member.value) for member in kind)
    return "mapping"
