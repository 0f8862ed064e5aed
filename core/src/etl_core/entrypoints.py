"""The entry points of what is installed, read so that one broken package hides no other.

Only `importlib.metadata`, and only the packages whose entry points name the group: looking stays quick.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import PurePath
from typing import Any

from attrs import evolve, frozen

__all__ = ["Installed", "canonical", "found_in", "points_of"]


@frozen
class Installed:
    """One entry point of a distribution; without a `point`, why the distribution's cannot be read.

    `incomplete` tells that its metadata lacks a name or version, `requires` what it needs, `copies` where the
    same distribution is installed again, which is not used. `twin` is what another entry point of the same
    name, which came first, leads to.
    """

    distribution: str
    version: str
    summary: str
    directory: str
    incomplete: bool = False
    requires: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    point: EntryPoint | None = None
    twin: str | None = None
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
        if first and _is_build(about, first[0]):
            continue
        if first:
            first[:] = [evolve(one, copies=(*one.copies, about.directory)) for one in first]
        else:
            first += [evolve(about, **each) for each in points]
    return sorted((one for each in used.values() for one in each), key=_place)


def points_of(distribution: str, group: str) -> list[EntryPoint]:
    """Return the entry points of a group that one distribution has."""
    wanted = canonical(distribution)
    return [each.point for each in found_in(group) if each.point and canonical(each.distribution) == wanted]


def _is_build(copy: Installed, used: Installed) -> bool:
    """Tell whether a copy is what building leaves beside the code of an editable installation."""
    return copy.directory.endswith(".egg-info") and copy.version == used.version


def _place(installed: Installed) -> tuple[str, str]:
    return installed.distribution, installed.point.name if installed.point else ""


def _points(distribution: Distribution, group: str) -> list[dict[str, Any]]:
    """Return the entry points of a group, or why there are none to be had."""
    try:
        text = distribution.read_text("entry_points.txt") or ""
        if not re.search(rf"^\s*\[\s*{re.escape(group)}\s*\]", text, re.MULTILINE):
            return []
        points = [point for point in distribution.entry_points if point.group == group]
    except Exception as error:  # noqa: BLE001 - what is wrong with one package is its own
        return [{"error": f"its entry points cannot be read: {type(error).__name__}"}]
    return [{"point": point, "twin": _twin(point, points[:place])} for place, point in enumerate(points)]


def _twin(point: EntryPoint, before: Sequence[EntryPoint]) -> str | None:
    return next((other.value for other in before if other.name == point.name), None)


def _about(distribution: Distribution) -> Installed:
    """Return the name, version and summary; from the directory's name where the metadata lacks them."""
    try:
        metadata: Any = distribution.metadata
        name, version, summary = (metadata.get(key) for key in ("Name", "Version", "Summary"))
        requires = tuple(metadata.get_all("Requires-Dist") or ())
    except Exception:  # noqa: BLE001 - as above
        name = version = summary = None
        requires = ()
    directory = str(getattr(distribution, "_path", ""))
    stem_name, _, stem_version = PurePath(directory).stem.partition("-")
    return Installed(
        distribution=name or canonical(stem_name) or "unknown",
        version=version or stem_version or "unknown",
        summary=summary or "",
        directory=directory,
        incomplete=not (name and version),
        requires=requires,
    )
