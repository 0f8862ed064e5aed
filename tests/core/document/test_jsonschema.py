"""The JSON Schema says what reading accepts; types have words."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from etl_core.config import Duration, SchemaPolicy, Secret, Size, setting
from etl_core.document.jsonschema import class_schema, default_of, document_schema, type_schema
from etl_core.document.model import SHAPES
from etl_core.document.words import type_text
from etl_core.document.yamltext import parse
from etl_core.plugins import installed
from etl_core.resolve import load_document

Conforms = Callable[[Any, Mapping[str, Any]], bool]


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
def test_types(kind: Any, words: str, right: list[Any], wrong: list[Any], conforms: Conforms) -> None:
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


def test_a_document_must_use_what_is_installed_with_its_settings(conforms: Conforms) -> None:
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


EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_of_the_documentation_conform_and_load(path: Path, conforms: Conforms) -> None:
    plugins = installed()
    offers = {
        section: [(one.name, one.config, one.summary) for one, _ in plugins.connectors(section)]
        for section in SHAPES
    }
    text = path.read_text(encoding="utf-8")
    assert conforms(parse(text).value, document_schema(offers))
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "postgresql://localhost/shop")
    assert load_document(path, environ=environ).pipeline


def test_there_are_examples() -> None:
    assert EXAMPLES
