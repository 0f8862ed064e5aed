"""Plain values to settings: attrs classes through cattrs, strictly, with every problem at once.

Relative paths, defaults included, become relative to the document's directory.
"""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
from cattrs import Converter

from etl_core.config import SchemaPolicy
from etl_core.document.problems import Found, Invalid
from etl_core.document.scalars import SCALARS, Hook, expected, rooted
from etl_core.errors import ConfigError

__all__ = [
    "MAPPINGS",
    "SEQUENCES",
    "converter",
    "hints_of",
    "is_union",
    "keys_of",
    "partly",
    "structure",
    "unknown_keys",
]

T = TypeVar("T")

#: What a list in a document becomes, by the type asked for.
SEQUENCES: Mapping[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    Sequence: tuple,
    Iterable: tuple,
    AbstractSet: frozenset,
}
MAPPINGS = (dict, Mapping)


def structure(value: Any, cls: type[T], base: Path) -> T:
    """Make a `cls` of a mapping. Raises Invalid with everything that is wrong."""
    result: T = converter(base).structure(value, cls)
    return result


def partly(value: Mapping[str, Any], cls: type[Any], base: Path) -> tuple[dict[str, Any], list[Found]]:
    """Return what is right among the settings of `cls` in a mapping, and what is wrong."""
    return _fields(value, cls, converter(base), base)


def keys_of(cls: type[Any]) -> dict[str, attrs.Attribute[Any]]:
    """Return the settings of a config class by the name they have in a document."""
    return {str(attribute.alias): attribute for attribute in attrs.fields(cls) if attribute.init}


def hints_of(cls: type[Any]) -> Mapping[str, Any]:
    """Return the types of a config class's settings by attribute name."""
    return get_type_hints(cls)


@lru_cache
def converter(base: Path) -> Converter:
    """Return a converter whose relative paths start at `base`. Later hooks win."""
    made = Converter()
    made.register_structure_hook_factory(lambda kind: True, _reject)
    made.register_structure_hook_func(partial(_is, Any), lambda value, _: value)
    made.register_structure_hook_factory(attrs.has, partial(_attrs_hook, made, base))
    made.register_structure_hook_factory(_is_enum, _enum_hook)
    made.register_structure_hook_factory(_is_literal, _literal_hook)
    made.register_structure_hook_factory(
        lambda kind: _origin(kind) in SEQUENCES, partial(_sequence_hook, made)
    )
    made.register_structure_hook_factory(lambda kind: _origin(kind) in MAPPINGS, partial(_mapping_hook, made))
    made.register_structure_hook_factory(is_union, partial(_union_hook, made))
    for scalar, hook in (SCALARS | {Path: partial(_rooted, base)}).items():
        made.register_structure_hook(scalar, partial(_scalar, scalar, hook))
    made.register_structure_hook_func(lambda kind: kind is SchemaPolicy, partial(_schema_policy, made, base))
    return made


def unknown_keys(found: Iterable[str], known: Iterable[str]) -> list[Found]:
    """Return a problem for each key that is not known, with the nearest that is."""
    names = sorted(known)
    problems = []
    for key in found:
        if key in names:
            continue
        close = get_close_matches(key, names, 1)
        hint = (
            f"did you mean {close[0]}?" if close else f"the settings here are: {', '.join(names) or 'none'}"
        )
        problems.append(Found((key,), "unknown setting", hint))
    return problems


def _fields(
    value: Mapping[str, Any], cls: type[Any], made: Converter, base: Path
) -> tuple[dict[str, Any], list[Found]]:
    problems = unknown_keys(value, keys_of(cls))
    result: dict[str, Any] = {}
    for key, attribute in keys_of(cls).items():
        kind: Any = hints_of(cls).get(attribute.name, Any)
        if key not in value:
            if attribute.default is attrs.NOTHING:
                problems.append(Found((key,), "is missing", attribute.metadata.get("help")))
            elif (default := _rebased(attribute.default, kind, made, base)) is not None:
                result[key] = default
            continue
        try:
            result[key] = made.structure(value[key], kind)
            _validate(attribute, result[key])
        except Invalid as error:
            problems += [found.under(key) for found in error.found]
    return result, problems


def _rebased(default: Any, kind: Any, made: Converter, base: Path) -> Any:
    """Return a default that holds a relative path as it is for this document, else None."""
    if isinstance(default, Path):
        return base / default
    if isinstance(kind, type) and attrs.has(kind) and getattr(default, "factory", None) is kind:
        return made.structure({}, cast("Any", kind))
    return None


def _validate(attribute: attrs.Attribute[Any], value: Any) -> None:
    """Run a setting's validator by itself, so that one failing does not hide the next.

    One that looks at other settings fails without them; it runs again when the object is made.
    """
    if attribute.validator is None:
        return
    try:
        attribute.validator(None, attribute, value)
    except (ValueError, TypeError, ConfigError) as error:
        raise Invalid(_said(error)) from None
    except AttributeError:
        return


def _said(error: Exception) -> list[Found]:
    """Return what a validator or constructor said, as problems."""
    if isinstance(error, ConfigError):
        nested = [
            Found((problem.path,) if problem.path else (), problem.message, problem.hint)
            for problem in error.problems
        ]
        return nested or [Found((), str(error), error.hint)]
    text = str(error.args[0]) if error.args else type(error).__name__
    return [Found((), re.sub(r"^'\w+' ", "", text))]


def _attrs_hook(made: Converter, base: Path, cls: type[Any]) -> Hook:
    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise expected("a mapping of settings", value)
        values, problems = _fields(value, cls, made, base)
        if problems:
            raise Invalid(problems)
        try:
            return cls(**values)
        except (ValueError, TypeError, ConfigError) as error:
            raise Invalid(_said(error)) from None

    return hook


def _schema_policy(made: Converter, base: Path, value: Any, kind: Any) -> SchemaPolicy:
    """Read `evolve`, or a mapping of axes."""
    if isinstance(value, Mapping):
        policy: SchemaPolicy = _attrs_hook(made, base, kind)(value, kind)
        return policy
    return SchemaPolicy.uniform(made.structure(value, hints_of(SchemaPolicy)["new_column"]))


def _sequence_hook(made: Converter, kind: Any) -> Hook:
    build, items = SEQUENCES[_origin(kind)], get_args(kind) or (Any,)
    if len(items) > 1 and items[1] is not Ellipsis:
        raise _unsupported(kind)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise expected("a list", value)
        return build(_each(((index, item) for index, item in enumerate(value)), made, items[0]).values())

    return hook


def _mapping_hook(made: Converter, kind: Any) -> Hook:
    item = (get_args(kind) or (str, Any))[1]

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise expected("a mapping", value)
        return _each(value.items(), made, item)

    return hook


def _each(items: Iterable[tuple[Any, Any]], made: Converter, kind: Any) -> dict[Any, Any]:
    result, problems = {}, []
    for key, value in items:
        try:
            result[key] = made.structure(value, kind)
        except Invalid as error:
            problems += [found.under(key) for found in error.found]
    if problems:
        raise Invalid(problems)
    return result


def _union_hook(made: Converter, kind: Any) -> Hook:
    options = get_args(kind)
    some = [option for option in options if option is not type(None)]

    def hook(value: Any, _: Any) -> Any:
        if value is None and len(some) < len(options):
            return None
        if len(some) == 1:
            return made.structure(value, some[0])
        errors = []
        for option in some:
            try:
                return made.structure(value, option)
            except Invalid as error:
                errors.append(error)
        deepest = max(errors, key=lambda error: max(len(found.place) for found in error.found))
        if any(found.place for found in deepest.found):
            raise deepest
        raise expected(" or ".join(_wanted(errors)), value)

    return hook


def _wanted(errors: Iterable[Invalid]) -> list[str]:
    """Return what each option of a union expected."""
    messages = [found.message for error in errors for found in error.found]
    return [message.removeprefix("expected ").partition(", found")[0] for message in messages]


def _scalar(scalar: Any, hook: Hook, value: Any, kind: Any) -> Any:
    """Structure a scalar; cattrs also asks here for its subclasses, of which enums are known."""
    if kind is not scalar:
        return _enum_hook(kind)(value, kind) if _is_enum(kind) else _reject(kind)
    return hook(value, kind)


def _rooted(base: Path, value: Any, kind: Any) -> Path:
    return rooted(value, base)


def _literal_hook(kind: Any) -> Hook:
    return partial(_choice, {str(option): option for option in get_args(kind)})


def _enum_hook(kind: Any) -> Hook:
    return partial(_choice, {str(member.value): member for member in kind})


def _choice(options: Mapping[str, Any], value: Any, _: Any) -> Any:
    if isinstance(value, bool) or str(value) not in options:
        close = get_close_matches(str(value), options, 1)
        raise expected(f"one of {', '.join(options)}", value, f"did you mean {close[0]}?" if close else None)
    return options[str(value)]


def _unsupported(kind: Any) -> TypeError:
    return TypeError(f"a setting cannot be of type {kind}")


def _reject(kind: Any) -> Hook:
    raise _unsupported(kind)


def _is(kind: Any, other: Any) -> bool:
    return kind is other


def _origin(kind: Any) -> Any:
    return get_origin(kind) or kind


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def is_union(kind: Any) -> bool:
    """Say whether a type is a union."""
    return get_origin(kind) in (Union, types.UnionType)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)
