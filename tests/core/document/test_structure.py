"""Plain values to settings: what fits, what does not, and what is said about it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.config import Duration, SchemaPolicy, Secret, Size, setting
from etl_core.document.expand import Expanded
from etl_core.document.problems import Invalid, show
from etl_core.document.structure import partly, structure
from etl_core.errors import ConfigError, PluginError, Problem

BASE = Path("/base")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.StrEnum):
    LOW = "low"


@attrs.frozen
class Inner:
    path: Path = Path("inner")
    size: Size = setting(Size(1), help="How much.", validator=attrs.validators.gt(0))


@attrs.frozen
class Everything:
    text: str = "x"
    whole: int = 1
    number: float = 1.0
    flag: bool = False
    path: Path = Path("here")
    secret: Secret | None = None
    size: Size = setting(Size(1), help="")
    duration: Duration = setting(Duration(1.0), help="")
    choice: Literal["a", "b"] = "a"
    version: Literal[1] = 1
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    maybe: int | None = None
    items: Sequence[str] = ()
    listed: list[int] = attrs.field(factory=list)
    fixed: tuple[int, ...] = ()
    names: frozenset[str] = frozenset()
    table: Mapping[str, int] = attrs.field(factory=dict)
    either: Mapping[str, Sequence[str]] | Sequence[str] = ()
    anything: Any = None
    inner: Inner = attrs.field(factory=Inner)
    optional: Inner | None = None
    policy: SchemaPolicy = attrs.field(factory=SchemaPolicy)


def made(**values: Any) -> Everything:
    return structure(values, Everything, BASE)


def wrong(cls: type[Any] = Everything, /, **values: Any) -> list[tuple[str, str, str | None]]:
    with pytest.raises(Invalid) as caught:
        structure(values, cls, BASE)
    return [(show(found.place), found.message, found.hint) for found in caught.value.found]


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("text", "a", "a"),
        ("whole", 5, 5),
        ("number", 5, 5.0),
        ("number", 1.5, 1.5),
        ("flag", True, True),
        ("path", "x/y", Path("/base/x/y")),
        ("path", "/x", Path("/x")),
        ("secret", "s", Secret("s")),
        ("size", "8MiB", 8 << 20),
        ("size", 10, 10),
        ("duration", "100ms", 0.1),
        ("duration", 2, 2.0),
        ("choice", "b", "b"),
        ("version", 1, 1),
        ("colour", "blue", Colour.BLUE),
        ("level", "low", Level.LOW),
        ("maybe", None, None),
        ("maybe", 3, 3),
        ("items", ["a"], ("a",)),
        ("listed", [1, 2], [1, 2]),
        ("fixed", [1], (1,)),
        ("names", ["a", "a"], frozenset({"a"})),
        ("table", {"a": 1}, {"a": 1}),
        ("either", ["a"], ("a",)),
        ("either", {"t": ["a"]}, {"t": ("a",)}),
        ("anything", [{"a": 1}], [{"a": 1}]),
        ("inner", {"size": "2k"}, Inner(Path("/base/inner"), Size(2048))),
        ("optional", {}, Inner(Path("/base/inner"))),
        ("policy", "freeze", SchemaPolicy.uniform("freeze")),
        ("policy", {"new_column": "discard"}, SchemaPolicy(new_column="discard")),
    ],
)
def test_what_fits(key: str, given: object, expected: object) -> None:
    value = getattr(made(**{key: given}), key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("whole", "5432", 5432),
        ("whole", " -7 ", -7),
        ("number", "1.5", 1.5),
        ("flag", "TRUE", True),
        ("size", "8MiB", 8 << 20),
        ("size", "1024", 1024),
        ("duration", "5s", 5.0),
        ("duration", "5", 5.0),
        ("choice", "b", "b"),
        ("version", "1", 1),
        ("maybe", "3", 3),
        ("text", "5", "5"),
        ("path", "x", Path("/base/x")),
        ("secret", "5", Secret("5")),
    ],
)
def test_a_variable_may_stand_for_any_scalar(key: str, text: str, expected: object) -> None:
    value = getattr(made(**{key: Expanded.of(text, "${X}")}), key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("key", "given", "message"),
    [
        ("text", 5, "expected a text, found 5"),
        ("text", None, "expected a text, found nothing"),
        ("text", ["a"], "expected a text, found a list"),
        ("whole", "5", "expected a whole number, found '5'"),
        ("whole", 5.0, "expected a whole number, found 5.0"),
        ("whole", True, "expected a whole number, found true"),
        ("number", "x", "expected a number, found 'x'"),
        ("number", True, "expected a number, found true"),
        ("flag", "yes", "expected true or false, found 'yes'"),
        ("flag", 1, "expected true or false, found 1"),
        ("path", 5, "expected a text, found 5"),
        ("size", "8 parsecs", "expected a size like 64MiB, found '8 parsecs'"),
        ("duration", "soon", "expected a duration like 100ms, 5s or 2m, found 'soon'"),
        ("choice", "c", "expected one of a, b, found 'c'"),
        ("version", 2, "expected one of 1, found 2"),
        ("version", True, "expected one of 1, found true"),
        ("colour", "green", "expected one of red, blue, found 'green'"),
        ("level", "high", "expected one of low, found 'high'"),
        ("maybe", "x", "expected a whole number, found 'x'"),
        ("items", "public.orders", "expected a list, found 'public.orders'"),
        ("table", ["a"], "expected a mapping, found a list"),
        ("either", 5, "expected a mapping or a list, found 5"),
        ("inner", 5, "expected a mapping of settings, found 5"),
        ("policy", "evolv", "expected one of evolve, freeze, discard, found 'evolv'"),
        ("text", {"a": "x" * 99}, "expected a text, found a mapping"),
        ("whole", "y" * 99, f"expected a whole number, found '{'y' * 56}..."),
    ],
)
def test_what_does_not_fit(key: str, given: object, message: str) -> None:
    assert [(place, said) for place, said, _ in wrong(**{key: given})] == [(key, message)]


@pytest.mark.parametrize("key", ["whole", "number", "flag", "size", "duration", "choice", "inner", "items"])
def test_a_value_from_a_variable_is_never_shown(key: str) -> None:
    [(place, message, hint)] = wrong(**{key: Expanded.of("hunter2", "${PASSWORD}")})
    assert place == key
    assert message.endswith("found the value of ${PASSWORD}")
    assert "hunter2" not in f"{message} {hint}"


def test_a_secret_is_never_shown_even_when_it_is_no_text() -> None:
    assert wrong(secret=12345) == [
        ("secret", "expected a text", "put it in quotes, or write ${NAME} or ${file:PATH}")
    ]


def test_everything_wrong_is_found_at_once_with_its_path() -> None:
    found = wrong(
        whole="a",
        listed=[1, "x", 2, "y"],
        table={"a": 1, "b": "x"},
        inner={"size": 0, "pth": "x"},
        either={"t": ["a", 5]},
        colur="red",
    )
    assert {(place, message) for place, message, _ in found} == {
        ("whole", "expected a whole number, found 'a'"),
        ("listed[1]", "expected a whole number, found 'x'"),
        ("listed[3]", "expected a whole number, found 'y'"),
        ("table.b", "expected a whole number, found 'x'"),
        ("inner.size", "must be > 0: 0"),
        ("inner.pth", "unknown setting"),
        ("either.t[1]", "expected a text, found 5"),
        ("colur", "unknown setting"),
    }
    assert {place: hint for place, _, hint in found}["colur"] == "did you mean colour?"


def test_an_unknown_setting_without_a_neighbour_lists_what_there_is() -> None:
    assert wrong(Inner, zzz=1) == [("zzz", "unknown setting", "the settings here are: path, size")]


def test_relative_defaults_start_at_the_documents_directory() -> None:
    made_here = made()
    assert made_here.path == Path("/base/here")
    assert made_here.inner.path == Path("/base/inner")


@attrs.frozen
class Needs:
    name: str = setting(help="What it is called.")
    _private: int = setting(1, help="By its alias.")
    count: int = attrs.field(init=False, default=3)


def test_a_required_setting_that_is_missing_is_explained() -> None:
    assert wrong(Needs) == [("name", "is missing", "What it is called.")]


def test_settings_go_by_their_alias_and_what_is_not_set_cannot_be() -> None:
    assert structure({"name": "a", "private": 2}, Needs, BASE)._private == 2
    assert wrong(Needs, name="a", count=1)[0][:2] == ("count", "unknown setting")


@attrs.frozen
class Related:
    low: int = 1
    high: int = attrs.field(default=5)
    name: str = "x"

    @high.validator
    def _ordered(self, attribute: object, value: int) -> None:
        if value < self.low:
            raise ValueError("must not be below low")

    def __attrs_post_init__(self) -> None:
        if self.name == "refuse":
            raise ConfigError("this does not go together", problems=[Problem("low", "too low", "raise it")])
        if self.name == "plain":
            raise ConfigError("no such thing", "look it up", thing="x")
        if self.name == "type":
            raise TypeError


def test_validators_that_look_at_other_settings_run_on_the_object() -> None:
    assert wrong(Related, low=5, high=1) == [("", "must not be below low", None)]
    assert structure({"low": 1, "high": 2}, Related, BASE) == Related(1, 2)


def test_what_a_class_itself_refuses_is_a_problem() -> None:
    assert wrong(Related, name="refuse") == [("low", "too low", "raise it")]
    assert wrong(Related, name="plain") == [("", "no such thing (thing=x)", "look it up")]
    assert wrong(Related, name="type") == [("", "TypeError", None)]


def test_what_a_validator_quotes_from_a_variable_is_not_shown() -> None:
    assert wrong(Inner, size=Expanded.of("0", "${SIZE}")) == [("size", "must be > ${SIZE}: ${SIZE}", None)]

    @attrs.frozen
    class Listed:
        names: Sequence[str] = attrs.field(default=(), converter=numbers)

    assert wrong(Listed, names=["1", Expanded.of("hunter2", "${PW}"), Expanded.of("", "${E}")]) == [
        ("", "invalid literal for int() with base 10: '${PW}'", None)
    ]


def test_partly_keeps_what_is_right() -> None:
    values, found = partly({"text": "a", "whole": "b"}, Everything, BASE)
    assert values["text"] == "a"
    assert "whole" not in values
    assert [show(one.place) for one in found] == ["whole"]


@pytest.mark.parametrize("kind", [complex, tuple[int, str], type("Text", (str,), {})])
def test_a_type_that_no_document_can_hold_is_the_plugins_fault(kind: Any) -> None:
    @attrs.define
    class Odd:
        value: Any

    Odd.__annotations__["value"] = kind
    with pytest.raises(PluginError, match="of a type that no document can hold"):
        structure({"value": 1}, Odd, BASE)


def numbers(values: Sequence[str]) -> Sequence[str]:
    return [str(int(one)) for one in values]


@attrs.frozen
class Iterated:
    values: Iterable[int] = ()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from([field.name for field in attrs.fields(Everything)]), plain))
def test_nothing_makes_it_fail_but_invalid(values: dict[str, Any]) -> None:
    with suppress(Invalid):
        assert isinstance(structure(values, Everything, BASE), Everything)


@given(st.lists(st.integers()))
def test_an_iterable_becomes_a_tuple(values: list[int]) -> None:
    assert structure({"values": values}, Iterated, BASE).values == tuple(values)
