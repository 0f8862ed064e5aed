"""The secrets among the settings of a connector, and such as open nothing."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, get_args
from urllib.parse import unquote

import attrs

from etl_core.config import Secret
from etl_core.document.fields import hints_of

__all__ = ["plain_secrets", "secrets_of", "spoiled"]

#: Shorter values would be found everywhere.
_SHORTEST = 5
#: How the name of a setting ends that nobody else may read.
_NAMED = re.compile(
    r"(password|passwd|passphrase|secret|token|api_?key|access_key|private_key)\Z", re.IGNORECASE
)
_URL = re.compile(r"(?P<before>\w[\w+.-]*://[^:/@\s]*:)(?P<secret>[^@\s]+)(?P<after>@.*)\Z", re.DOTALL)
_WORD = re.compile(r"(?P<before>.*\bpassword\s*=\s*)(?P<secret>[^\s']+)(?P<after>.*)\Z", re.DOTALL)


def secrets_of(config: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[str]]:
    """Return by path of settings the texts that must not be seen: a secret, and a password within it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for attribute in attrs.fields(type(config)) if attrs.has(type(config)) else ():
        value, place = getattr(config, attribute.name), (*path, str(attribute.alias))
        if isinstance(value, Secret):
            found[place] = [text for text in _texts(value.reveal()) if len(text) >= _SHORTEST]
        elif attrs.has(type(value)):
            found |= secrets_of(value, place)
    return {place: texts for place, texts in found.items() if texts}


def plain_secrets(config: type[Any], path: str = "") -> Iterator[str]:
    """Yield the paths of settings that have the name of a secret and are texts for everybody to see."""
    hints = hints_of(config)
    for attribute in attrs.fields(config):
        kinds = {hints[attribute.name], *get_args(hints[attribute.name])}
        if str in kinds and _NAMED.search(attribute.alias):
            yield path + attribute.alias
        for kind in kinds:
            if attrs.has(kind):
                yield from plain_secrets(kind, f"{path}{attribute.alias}.")


def _texts(secret: str) -> list[str]:
    inner = _URL.match(secret) or _WORD.match(secret)
    return [secret, inner["secret"], unquote(inner["secret"])] if inner else [secret]


def spoiled(settings: Mapping[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """Return the settings with a secret (where it holds a password, that) replaced, and the replacement."""
    mark = f"spoiled-{uuid.uuid4().hex}"
    changed = dict(settings)
    if len(path) > 1:
        changed[path[0]], marks = spoiled(settings[path[0]], path[1:])
        return changed, marks
    inner = _URL.match(str(settings[path[0]])) or _WORD.match(str(settings[path[0]]))
    changed[path[0]] = f"{inner['before']}{mark}{inner['after']}" if inner else mark
    return changed, [mark]
