"""Which tables a pipeline takes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from attrs import frozen

from etl_core import ConfigError, Problem, Stream

__all__ = ["Selection"]


@frozen
class Selection:
    """The patterns of `tables`; called with a stream, says whether it is taken."""

    patterns: tuple[str, ...]

    def __call__(self, stream: Stream) -> bool:
        text = str(stream)
        return any(_takes(pattern, text) for pattern in self.patterns)

    def problems(self, found: Iterable[Stream], where: str) -> list[Problem]:
        """Return a problem for each pattern that takes nothing, with the nearest names.

        A pattern with a wildcard may be there for tables to come, as long as anything is taken at all.
        """
        names = [str(stream) for stream in found]
        taken = {p: any(_takes(p, name) for name in names) for p in self.patterns}
        missing = [p for p in self.patterns if not taken[p] and (_is_exact(p) or not any(taken.values()))]
        return [
            Problem("extract.tables", f"{pattern} matches no table {where}", _suggestion(pattern, names))
            for pattern in missing
        ]

    def require(self, found: Iterable[Stream], where: str) -> None:
        """Raise ConfigError for `problems`."""
        if problems := self.problems(found, where):
            raise ConfigError("tables were not found", problems=problems)


def _takes(pattern: str, name: str) -> bool:
    """Say whether a pattern takes a table; a name may have wildcards in it and then stands for itself too."""
    return pattern == name or fnmatchcase(name, pattern)


def _is_exact(pattern: str) -> bool:
    return not any(wildcard in pattern for wildcard in "*?[")


def _suggestion(pattern: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern, names, 3, 0.5)
    return f"did you mean {', '.join(near)}?" if near else "write namespace.name, like public.orders"
