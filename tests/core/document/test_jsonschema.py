"""The JSON Schema says what reading accepts; types have words."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from etl_core.config import Duration, SchemaPolicy, Secret, Size, setting
from etl_core.document.jsonschema import class_schema, default_of, document_schema, type_schema
from etl_core.document.words import type_text


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Inner:
    size: Size = setting(help="How much.")


KINDS = [
    (str, "text", ["a"], [5, None]),
    (Path, "path", ["a"], [5]),
    (Secret, "secret", ["${A}"], [5]),
    (int, "whole number", [5, "${A}"], ["5", 1.5]),
    (float, "number", [5, 1.5, "${A}"], ["x"]),
    (bool, "true | false", [True, "${A}"], ["x"]),
    (Size, "size", [5, "8MiB", "64 kb", "${A}"], ["x"]),
    (Duration, "duration", [5, "100ms", "1.5h"], ["8MiB"]),
    (Literal["a", "b"], "a | b", ["a"], ["c"]),
    (Colour, "red", ["red"], ["blue"]),
    (int | None, "whole number", [1, None], ["x"]),
    (Sequence[str], "list of text", [["a"], []], ["a", [5]]),
    (list, "list", [["a", 1]], ["a"]),
    (Mapping[str, int], "mapping to whole number", [{"a": 1}], [{"a": []}, []]),
    (dict, "mapping", [{"a": 1}], [5]),
    (Mapping[str, Sequence[str]] | Sequence[str], "mapping to list of text | list of text", [["a"]], ["a"]),
    (Inner, "mapping", [{"size": 1}], [{}, {"size": 1, "x": 1}]),
    (SchemaPolicy, "evolve | freeze | discard | mapping", ["freeze", {"new_column": "evolve"}], ["x"]),
    (Any, "anything", [1, "a", None], []),
]


@pytest.mark.parametrize(("kind", "words", "right", "wrong"), KINDS)
def test_types(kind: Any, words: str, right: list[Any], wrong: list[Any]) -> None:
    assert type_text(kind) == words
    schema = type_schema(kind)
    assert [value for value in right if not conforms(value, schema)] == []
    assert [value for value in wrong if conforms(value, schema)] == []


@attrs.frozen
class Config:
    path: Path = setting(Path("a/b"), help="Where.")
    names: Sequence[str] = setting(("x",), help="Which.")
    inner: Inner | None = None
    secret: Secret = setting(Secret("hunter2"), help="What.")
    made: list[str] = attrs.field(factory=list)
    needed: int = setting(help="It is needed.", kw_only=True)


def test_defaults_help_and_required_are_there_and_secrets_are_not() -> None:
    schema = class_schema(Config)
    assert schema["properties"]["path"] == {"type": "string", "description": "Where.", "default": "a/b"}
    assert schema["properties"]["names"]["default"] == ["x"]
    assert schema["required"] == ["needed"]
    assert schema["additionalProperties"] is False
    assert "hunter2" not in json.dumps(schema)
    assert default_of(attrs.fields(Config).made) is None


def test_a_document_must_use_what_is_installed_with_its_settings() -> None:
    offers: dict[str, list[tuple[str, type[Any] | None, str]]] = {
        "extract": [("src", Config, "A source.")],
        "load": [("upsert", None, "")],
        "destination": [("dst", Inner, "")],
        "transform": [("mask", None, "")],
        "observability": [],
        "state": [("sqlite", None, "")],
    }
    schema = document_schema(offers)
    good: dict[str, Any] = {
        "version": 1,
        "pipeline": "shop",
        "extract": {"use": "src", "needed": 1},
        "transform": [{"use": "mask", "streams": ["a"]}],
        "load": {"use": "upsert", "batch": {"max_rows": 1}, "schema": "evolve"},
        "destination": {"use": "dst", "size": "5MiB", "schema": {"a": "b"}},
    }
    assert conforms(good, schema)
    for change in (
        {"extract": {"use": "src"}},
        {"extract": {"use": "other", "needed": 1}},
        {"load": {"use": "upsert", "btach": {}}},
        {"transform": {"use": "mask"}},
        {"version": 2},
        {"extra": 1},
    ):
        assert not conforms({**good, **change}, schema), change


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def conforms(value: Any, schema: Mapping[str, Any]) -> bool:
    """Validate by the keywords that our schemas use."""
    return all(_CHECKS[key](value, part, schema) for key, part in schema.items() if key in _CHECKS)


def _type(value: Any, name: str, _: Any) -> bool:
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in {"integer", "number"})


def _properties(value: Any, parts: Mapping[str, Any], _: Any) -> bool:
    return all(conforms(item, parts[key]) for key, item in value.items() if key in parts)


def _additional(value: Any, part: Any, schema: Mapping[str, Any]) -> bool:
    extra = {key: item for key, item in value.items() if key not in schema.get("properties", {})}
    return not extra if part is False else all(conforms(item, part) for item in extra.values())


_CHECKS: dict[str, Any] = {
    "type": _type,
    "enum": lambda value, options, _: value in options,
    "const": lambda value, one, _: value == one,
    "pattern": lambda value, pattern, _: re.search(pattern, value) is not None,
    "anyOf": lambda value, options, _: any(conforms(value, option) for option in options),
    "oneOf": lambda value, options, _: sum(conforms(value, option) for option in options) == 1,
    "items": lambda value, part, _: (
        not isinstance(value, list) or all(conforms(item, part) for item in value)
    ),
    "required": lambda value, keys, _: isinstance(value, dict) and all(key in value for key in keys),
    "properties": lambda value, parts, _: isinstance(value, dict) and _properties(value, parts, _),
    "additionalProperties": lambda value, part, schema: (
        isinstance(value, dict) and _additional(value, part, schema)
    ),
}
