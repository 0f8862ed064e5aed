"""The entry points of what is installed, read so that one broken package hides no other.

Only `importlib.metadata`, and only the packages whose entry points name the group: looking stays quick.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import PurePath
from typing import Any

from attrs import evolve, frozen

__all__ = ["Installed", "canonical", "found_in", "points_of"]


@frozen
class Installed:
    """One entry point of a distribution; without a `point`, why the distribution's cannot be read.

    `incomplete` tells that its metadata lacks a name or version, `copies` where the same distribution is
    installed again, which is not used.
    """

    distribution: str
    version: str
    summary: str
    directory: str
    incomplete: bool = False
    copies: tuple[str, ...] = ()
    point: EntryPoint | None = None
    error: str | None = None


def canonical(name: str) -> str:
    """Return a distribution's name as packaging tools compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def found_in(group: str) -> list[Installed]:
    """Return every entry point of a group, by distribution and name."""
    used: dict[str, list[Installed]] = {}
    for distribution in distributions():
        if not (points := _points(distribution, group)):
            continue
        about = _about(distribution)
        first = used.setdefault(canonical(about.distribution), [])
        if first:
            first[:] = [evolve(one, copies=(*one.copies, about.directory)) for one in first]
        else:
            first += [evolve(about, **each) for each in points]
    return sorted((one for each in used.values() for one in each), key=_place)


def points_of(distribution: str, group: str) -> list[EntryPoint]:
    """Return the entry points of a group that one distribution has."""
    wanted = canonical(distribution)
    return [each.point for each in found_in(group) if each.point and canonical(each.distribution) == wanted]


def _place(installed: Installed) -> tuple[str, str]:
    return installed.distribution, installed.point.name if installed.point else ""


def _points(distribution: Distribution, group: str) -> list[dict[str, Any]]:
    """Return the entry points of a group, or why there are none to be had."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        if not re.search(rf"^\s*\[\s*{re.escape(group)}\s*\]", text, re.MULTILINE):
            return []
        return [{"point": point} for point in distribution.entry_points if point.group == group]
    except Exception as error:  # noqa: BLE001 - what is wrong with one package is its own
        return [{"error": f"its entry points cannot be read: {type(error).__name__}"}]


def _about(distribution: Distribution) -> Installed:
    """Return the name, version and summary; from the directory's name where the metadata lacks them."""
    try:
        metadata: Any = distribution.metadata
        name, version, summary = (metadata.get(key) for key in ("Name", "Version", "Summary"))
    except Exception:  # noqa: BLE001 - as above
        name = version = summary = None
    directory = str(getattr(distribution, "_path", ""))
    stem_name, _, stem_version = PurePath(directory).stem.partition("-")
    return Installed(
        distribution=name or canonical(stem_name) or "unknown",
        version=version or stem_version or "unknown",
        summary=summary or "",
        directory=directory,
        incomplete=not (name and version),
    )
