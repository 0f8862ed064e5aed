"""The settings of a config class, and what to say about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_type_hints

import attrs

from etl_core.document.expand import Expanded
from etl_core.document.problems import Found
from etl_core.errors import ConfigError

__all__ = ["hints_of", "keys_of", "said_by", "unknown_keys"]


def keys_of(cls: type[Any]) -> dict[str, attrs.Attribute[Any]]:
    """Return the settings of a config class by the name they have in a document."""
    return {str(attribute.alias): attribute for attribute in attrs.fields(cls) if attribute.init}


def hints_of(cls: type[Any]) -> Mapping[str, Any]:
    """Return the types of a config class's settings by attribute name."""
    return get_type_hints(cls)


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


def said_by(error: Exception, value: Any) -> list[Found]:
    """Return what a validator or constructor said about `value`, as problems.

    Where it quotes what came from a variable, the variable is named instead.
    """
    if isinstance(error, ConfigError) and error.problems:
        return [Found((one.path,) if one.path else (), one.message, one.hint) for one in error.problems]
    text = str(error) if isinstance(error, ConfigError) else _message(error)
    for expanded in _expanded(value):
        text = text.replace(expanded.strip(), expanded.source) if expanded.strip() else text
    return [Found((), text, getattr(error, "hint", None))]


def _message(error: Exception) -> str:
    """Return the text alone: attrs puts the setting's name before it, and more values behind it."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return re.sub(r"^'\w+' ", "", text)


def _expanded(value: Any) -> Iterator[Expanded]:
    if isinstance(value, Expanded):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _expanded(item)
