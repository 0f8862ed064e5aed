"""Names that go away: each warns for at least one whole minor release before it is removed.

`NAMES` is the table of all; a public module asks it in its `__getattr__`. What a plugin uses of it while it
is looked at, `etl-core list-plugins` shows; what it uses later shows in the author's tests.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from attrs import frozen

__all__ = ["NAMES", "Deprecation", "EtlDeprecationWarning", "noticed", "value_of", "warn"]


@frozen
class Deprecation:
    """A name that goes away: deprecated `since` a release, gone `removed_in` another; what to use `instead`.

    `home` is where its value is until then, as ``module:name``.
    """

    name: str
    home: str
    since: str
    removed_in: str
    instead: str

    def __str__(self) -> str:
        return f"{self.name} is deprecated since {self.since} and goes with {self.removed_in}: {self.instead}"


class EtlDeprecationWarning(DeprecationWarning):
    """Something that is used goes away; `name`, `since`, `removed_in` and `instead` say what and when.

    It points at the line that uses the name. Turn it into an error in a plugin's tests.
    """

    def __init__(self, deprecation: Deprecation) -> None:
        super().__init__(str(deprecation))
        self.name = deprecation.name
        self.since = deprecation.since
        self.removed_in = deprecation.removed_in
        self.instead = deprecation.instead


#: The deprecated public names, by `Deprecation.name`: ``etl_core.Old``, ``etl_core.errors.Old``.
NAMES: Mapping[str, Deprecation] = {}

_noticed: ContextVar[list[str] | None] = ContextVar("noticed", default=None)


def value_of(module: str, name: str) -> Any:
    """Return what a deprecated name of a module still is, with a warning at whoever asks the module for it.

    Raises AttributeError when there is no such name. To be called by the module's `__getattr__`.
    """
    deprecation = NAMES.get(f"{module}.{name}")
    if deprecation is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warn(deprecation, stacklevel=4)
    home, _, attribute = deprecation.home.partition(":")
    return getattr(import_module(home), attribute)


def warn(deprecation: Deprecation, stacklevel: int = 3) -> None:
    """Warn at the caller of the function that calls this, and say so to who collects (`noticed`)."""
    seen = _noticed.get()
    if seen is not None and str(deprecation) not in seen:
        seen.append(str(deprecation))
    warnings.warn(EtlDeprecationWarning(deprecation), stacklevel=stacklevel)


@contextmanager
def noticed() -> Iterator[list[str]]:
    """Collect, in this thread, each deprecated name that is used, once; warnings are issued all the same."""
    seen: list[str] = []
    token = _noticed.set(seen)
    try:
        yield seen
    finally:
        _noticed.reset(token)
