"""Hooks for types that hold others: lists, mappings, unions, choices."""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin

from cattrs import Converter

from etl_core.document.problems import Invalid
from etl_core.document.scalars import Hook, expected
from etl_core.errors import PluginError

__all__ = [
    "MAPPINGS",
    "SEQUENCES",
    "enum_hook",
    "is_enum",
    "is_union",
    "register_containers",
    "reject",
]

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


def register_containers(made: Converter) -> None:
    """Teach a converter every type that holds others, and choices."""
    made.register_structure_hook_factory(is_enum, enum_hook)
    made.register_structure_hook_factory(_is_literal, _literal_hook)
    made.register_structure_hook_factory(
        lambda kind: _origin(kind) in SEQUENCES, partial(_sequence_hook, made)
    )
    made.register_structure_hook_factory(lambda kind: _origin(kind) in MAPPINGS, partial(_mapping_hook, made))
    made.register_structure_hook_factory(is_union, partial(_union_hook, made))


def _sequence_hook(made: Converter, kind: Any) -> Hook:
    build, items = SEQUENCES[_origin(kind)], get_args(kind) or (Any,)
    if len(items) > 1 and items[1] is not Ellipsis:
        return reject(kind)

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


def _literal_hook(kind: Any) -> Hook:
    return partial(_choice, {str(option): option for option in get_args(kind)})


def enum_hook(kind: Any) -> Hook:
    """Return the hook for an enum: a member's value."""
    return partial(_choice, {str(member.value): member for member in kind})


def _choice(options: Mapping[str, Any], value: Any, _: Any) -> Any:
    if isinstance(value, bool) or str(value) not in options:
        close = get_close_matches(str(value), options, 1)
        raise expected(f"one of {', '.join(options)}", value, f"did you mean {close[0]}?" if close else None)
    return options[str(value)]


def reject(kind: Any) -> Hook:
    """Refuse a type that no document can hold."""
    raise PluginError(
        "a setting is of a type that no document can hold",
        "this is a fault of the plugin's config class",
        type=kind,
    )


def _origin(kind: Any) -> Any:
    return get_origin(kind) or kind


def _is_sequence(kind: Any) -> bool:
    return _origin(kind) in SEQUENCES


def _is_mapping(kind: Any) -> bool:
    return _origin(kind) in MAPPINGS


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def is_union(kind: Any) -> bool:
    """Say whether a type is a union."""
    return get_origin(kind) in (Union, types.UnionType)


def is_enum(kind: Any) -> bool:
    """Say whether a type is an enum."""
    return isinstance(kind, type) and issubclass(kind, enum.Enum)
