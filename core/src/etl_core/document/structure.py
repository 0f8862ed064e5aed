"""Plain values to settings: attrs classes through cattrs, strictly, with every problem at once.

Relative paths, defaults included, become relative to the document's directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
from cattrs import Converter

from etl_core.config import SchemaPolicy
from etl_core.document.containers import enum_hook, is_enum, register_containers, reject
from etl_core.document.fields import hints_of, keys_of, said_by, unknown_keys
from etl_core.document.problems import Found, Invalid
from etl_core.document.scalars import SCALARS, Hook, expected, rooted
from etl_core.errors import ConfigError

__all__ = ["converter", "partly", "structure"]

T = TypeVar("T")


def structure(value: Any, cls: type[T], base: Path) -> T:
    """Make a `cls` of a mapping. Raises Invalid with everything that is wrong."""
    result: T = converter(base).structure(value, cls)
    return result


def partly(value: Mapping[str, Any], cls: type[Any], base: Path) -> tuple[dict[str, Any], list[Found]]:
    """Return what is right among the settings of `cls` in a mapping, and what is wrong."""
    return _fields(value, cls, converter(base), base)


@lru_cache
def converter(base: Path) -> Converter:
    """Return a converter whose relative paths start at `base`. Later hooks win."""
    made = Converter()
    made.register_structure_hook_factory(lambda kind: True, reject)
    made.register_structure_hook_func(partial(_is, Any), lambda value, _: value)
    made.register_structure_hook_factory(attrs.has, partial(_attrs_hook, made, base))
    register_containers(made)
    for scalar, hook in (SCALARS | {Path: partial(_rooted, base)}).items():
        made.register_structure_hook(scalar, partial(_scalar, scalar, hook))
    made.register_structure_hook_func(lambda kind: kind is SchemaPolicy, partial(_schema_policy, made, base))
    return made


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
            _validate(attribute, result[key], value[key])
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


def _validate(attribute: attrs.Attribute[Any], value: Any, given: Any) -> None:
    """Run a setting's validator by itself, so that one failing does not hide the next.

    One that looks at other settings fails without them; it runs again when the object is made.
    """
    if attribute.validator is None:
        return
    try:
        attribute.validator(None, attribute, value)
    except (ValueError, TypeError, ConfigError) as error:
        raise Invalid(said_by(error, given)) from None
    except AttributeError:
        return


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
            raise Invalid(said_by(error, value)) from None

    return hook


def _schema_policy(made: Converter, base: Path, value: Any, kind: Any) -> SchemaPolicy:
    """Read `evolve`, or a mapping of axes."""
    if isinstance(value, Mapping):
        policy: SchemaPolicy = _attrs_hook(made, base, kind)(value, kind)
        return policy
    return SchemaPolicy.uniform(made.structure(value, hints_of(SchemaPolicy)["new_column"]))


def _scalar(scalar: Any, hook: Hook, value: Any, kind: Any) -> Any:
    """Structure a scalar; cattrs also asks here for its subclasses, of which enums are known."""
    if kind is not scalar:
        return enum_hook(kind)(value, kind) if is_enum(kind) else reject(kind)
    return hook(value, kind)


def _rooted(base: Path, value: Any, kind: Any) -> Path:
    return rooted(value, base)


def _is(kind: Any, other: Any) -> bool:
    return kind is other
