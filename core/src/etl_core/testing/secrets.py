"""Looking for secrets where they must not be."""

from __future__ import annotations

import io
import re
import sys
import traceback
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import attrs

from etl_core.config import Secret

__all__ = ["Watch", "secrets_of", "spoiled"]

#: Shorter values would be found everywhere.
_SHORTEST = 5
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


class Watch:
    """Keeps what a connector shows: its repr, log lines, prints and errors."""

    def __init__(self, logs: list[str]) -> None:
        self._logs = logs
        self._seen: list[tuple[str, str]] = []
        self._printed = io.StringIO()
        self._streams = (sys.stdout, sys.stderr)

    def __enter__(self) -> Self:
        self._streams = (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = self._printed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout, sys.stderr = self._streams

    def look(self, shown: object) -> None:
        """Take in how an object prints."""
        self._seen += [(f"repr of {type(shown).__name__}", repr(shown)), ("str", str(shown))]

    def error(self, error: BaseException) -> None:
        """Take in all that an error shows, with those behind it."""
        self._seen.append((f"error {type(error).__name__}", "".join(traceback.format_exception(error))))
        facts = [error.args, vars(error)]
        self._seen.append((f"facts of {type(error).__name__}", repr(facts)))

    def place_of(self, secret: str) -> str | None:
        """Say where a text was seen; None when it was not."""
        shown = [*self._seen, ("output", self._printed.getvalue()), *(("log", line) for line in self._logs)]
        return next((where for where, text in shown if secret in text), None)
