"""Dying within a call: the places are the calls that it makes in turn, and they can be counted."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from attrs import define, field

__all__ = ["Calls", "die_at"]

#: Modules whose functions change nothing outside of the process.
_HARMLESS = set(sys.stdlib_module_names) - {"_io", "io", "_socket", "_sqlite3", "_ssl", "mmap", "posix", "nt"}
_OURS = {*sys.stdlib_module_names, "etl_core"}
_ASKING = {"fspath", "getpid", "lstat", "stat"}


@define
class Calls:
    """Counts the calls of functions that may do something outside of the process.

    `last` are the places where each function is called for the last time, in order: name and number.
    """

    reached: Callable[[str], None] = lambda place: None
    _counts: Counter[str] = field(factory=Counter)
    _order: list[str] = field(factory=list)

    def within(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call, and count meanwhile what this thread calls."""
        before = sys.getprofile()
        sys.setprofile(self._profile)
        try:
            return call(*arguments)
        finally:
            sys.setprofile(before)

    @property
    def last(self) -> list[str]:
        final = {name: number for number, name in enumerate(self._order)}
        return [f"{name}:{self._counts[name]}" for name in sorted(final, key=final.__getitem__)]

    def _profile(self, frame: FrameType, event: str, function: Any) -> None:
        name = self._name(frame, event, function)
        if name is None:
            return
        self._counts[name] += 1
        self._order.append(name)
        self.reached(f"{name}:{self._counts[name]}")

    @staticmethod
    def _name(frame: FrameType, event: str, function: Any) -> str | None:
        if event == "c_call":
            return _name_of(function)
        return _written(frame) if event == "call" else None


def die_at(place: str) -> Calls:
    """Return what sends SIGKILL to this process at a place, before the function there is called."""

    def reached(found: str) -> None:
        if found == place:
            os.kill(os.getpid(), signal.SIGKILL)

    return Calls(reached)


def _written(frame: FrameType) -> str | None:
    """Return a name for a function written in Python, as not every compiled one can be seen."""
    module = frame.f_globals.get("__name__", "")
    return None if module.partition(".")[0] in _OURS else f"{module}.{frame.f_code.co_qualname}"


def _name_of(function: Any) -> str | None:
    """Return a name for a function; None for one that is harmless."""
    owner = getattr(function, "__self__", None)
    owner = owner if isinstance(owner, type | ModuleType) else type(owner)
    module = (owner.__name__ if isinstance(owner, ModuleType) else owner.__module__).partition(".")[0]
    name = function.__name__
    return None if module in _HARMLESS or name in _ASKING else f"{module}.{owner.__name__}.{name}"
