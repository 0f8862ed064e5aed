"""Collecting what is wrong in a document, each with its path and line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import Factory, define, frozen

from etl_core.errors import ConfigError, Problem

__all__ = ["Found", "Invalid", "Place", "Problems", "show"]

#: A place in a document: keys and indices from its top.
Place = tuple[str | int, ...]


@frozen
class Found:
    """Something wrong at a place."""

    place: Place
    message: str
    hint: str | None = None

    def under(self, *parents: str | int) -> Found:
        return Found((*parents, *self.place), self.message, self.hint)


class Invalid(Exception):
    """A value does not fit its type; carries everything found, with places relative to the value."""

    def __init__(self, found: Iterable[Found]) -> None:
        super().__init__()
        self.found = tuple(found)

    @classmethod
    def here(cls, message: str, hint: str | None = None) -> Invalid:
        return cls([Found((), message, hint)])


def show(place: Place) -> str:
    """Write a place as people do: ``transform[0].streams``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


@define
class Problems:
    """What is wrong so far in one document; knows in which line each place is.

    About a `settled` place nothing more is said.
    """

    file: str | None = None
    lines: Mapping[Place, int] = Factory(dict)
    found: list[tuple[int, Problem]] = Factory(list)
    settled: set[Place] = Factory(set)

    def add(self, found: Found) -> None:
        if found.place in self.settled:
            return
        line = self._line(found.place)
        at = f"{self.file}:{line}" if self.file and line else self.file
        self.found.append((line, Problem(show(found.place), found.message, found.hint, at)))

    def extend(self, found: Iterable[Found]) -> None:
        for one in found:
            self.add(one)

    def raise_if_any(self) -> None:
        """Raise ConfigError with all of them, in the order of the document."""
        if self.found:
            problems = [problem for _, problem in sorted(self.found, key=lambda item: item[0])]
            raise ConfigError("the document cannot be used", document=self.file, problems=problems)

    def _line(self, place: Place) -> int:
        """Return the line of the innermost part of `place` that the text has; 0 when there is none."""
        parts = (place[:end] for end in range(len(place), -1, -1))
        return next((self.lines[part] for part in parts if part in self.lines), 0)
