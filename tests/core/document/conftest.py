"""A validator of JSON Schema, as far as our schemas go."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest


@pytest.fixture
def conforms() -> Callable[[Any, Mapping[str, Any]], bool]:
    """Give the function that says whether a value conforms to a schema."""
    return _conforms


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def _conforms(value: Any, schema: Mapping[str, Any]) -> bool:
    """Validate by the keywords that our schemas use."""
    return all(_CHECKS[key](value, part, schema) for key, part in schema.items() if key in _CHECKS)


def _type(value: Any, name: str, _: Any) -> bool:
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in {"integer", "number"})


def _properties(value: Any, parts: Mapping[str, Any], _: Any) -> bool:
    return all(_conforms(item, parts[key]) for key, item in value.items() if key in parts)


def _additional(value: Any, part: Any, schema: Mapping[str, Any]) -> bool:
    extra = {key: item for key, item in value.items() if key not in schema.get("properties", {})}
    return not extra if part is False else all(_conforms(item, part) for item in extra.values())


_CHECKS: dict[str, Any] = {
    "type": _type,
    "enum": lambda value, options, _: value in options,
    "const": lambda value, one, _: value == one,
    "pattern": lambda value, pattern, _: re.search(pattern, value) is not None,
    "anyOf": lambda value, options, _: any(_conforms(value, option) for option in options),
    "oneOf": lambda value, options, _: sum(_conforms(value, option) for option in options) == 1,
    "items": lambda value, part, _: (
        not isinstance(value, list) or all(_conforms(item, part) for item in value)
    ),
    "required": lambda value, keys, _: isinstance(value, dict) and all(key in value for key in keys),
    "properties": lambda value, parts, _: isinstance(value, dict) and _properties(value, parts, _),
    "additionalProperties": lambda value, part, schema: (
        isinstance(value, dict) and _additional(value, part, schema)
    ),
}
