"""YAML text: values, lines, and what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.document.problems import show
from etl_core.document.yamltext import parse


def said(text: str) -> list[tuple[str, str]]:
    return [(show(found.place), found.message) for found in parse(text).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("0x1F", 31),
        ("012", 12),
        ("-5", -5),
        ("1.5e3", 1500.0),
        (".5", 0.5),
        ("127.0.0.1", "127.0.0.1"),
        ("1_000", "1_000"),
        ("5s", "5s"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'5'", "5"),
        ("public.*", "public.*"),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: object) -> None:
    parsed = parse(f"key: {text}")
    assert (parsed.value, parsed.problems) == ({"key": value}, [])
    assert type(parsed.value["key"]) is type(value)


def test_each_place_has_its_line() -> None:
    parsed = parse("a: 1\nb:\n  - x\n  - c: 2\n")
    assert parsed.value == {"a": 1, "b": ["x", {"c": 2}]}
    assert parsed.lines == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4}


def test_a_key_there_twice_is_a_problem_wherever_it_is() -> None:
    assert said("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        ("a", "the key is there twice"),
        ("b.c", "the key is there twice"),
    ]
    assert parse("a: 1\n\na: 2").problems[0].hint == "the first is in line 1"


def test_anchors_and_merges_work_and_own_keys_win() -> None:
    parsed = parse("a: &x {m: 1, n: 2}\nb:\n  <<: *x\n  n: 3\nc: *x\n")
    assert parsed.problems == []
    assert parsed.value == {"a": {"m": 1, "n": 2}, "b": {"m": 1, "n": 3}, "c": {"m": 1, "n": 2}}


def test_an_alias_of_itself_is_a_problem() -> None:
    assert said("a: &x [1, *x]") == [("a[1]", "an alias contains itself")]


def test_a_key_that_is_no_text_is_a_problem() -> None:
    assert said("? [a]\n: 1\n") == [("", "a key is not a text")]


@pytest.mark.parametrize(
    "text",
    ["a: [1", "a: b: c", "\tx", "a: !!python/object:os.system x", "--- 1\n--- 2\n", "a: !!int x", "a: \x01"],
)
def test_what_is_not_yaml_is_one_problem_with_its_line(text: str) -> None:
    parsed = parse(text)
    assert [found.message.startswith("not YAML") for found in parsed.problems] == [True]
    assert parsed.lines[()] >= 1


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    parse(text)


letters = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=10)
scalars = (
    st.none() | st.booleans() | st.integers() | letters | st.floats(allow_nan=False, allow_infinity=False)
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(letters, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=50)
@given(st.dictionaries(letters, documents, max_size=4))
def test_json_is_read_as_json(document: dict[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False)
    assert parse(text).value == json.loads(text)
