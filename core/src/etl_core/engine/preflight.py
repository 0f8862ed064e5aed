"""What must fit together before anything moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from etl_core.errors import ConfigError, Problem
from etl_core.model import Delivery, Mode, Stream, StreamInfo

if TYPE_CHECKING:
    from etl_core.interfaces import Destination, Loader

__all__ = ["de_duplicates", "require_compatible", "require_finite", "require_streams"]


def require_compatible(loader: Loader, destination: Destination) -> None:
    """Raise ConfigError when the destination cannot do what the loader needs."""
    missing = sorted(mode.value for mode in loader.needs - destination.modes)
    if missing:
        raise ConfigError(
            "the destination cannot do what this load needs",
            "choose another destination, or load.use: append",
            missing=missing,
            has=sorted(mode.value for mode in destination.modes),
        )
    if Mode.REPLACE in loader.needs and not destination.stages:
        raise ConfigError("load.use: replace needs a destination that stages snapshots")


def require_streams(
    loader: Loader, destination: Destination, infos: Sequence[StreamInfo], target: Callable[[Stream], Stream]
) -> None:
    """Raise ConfigError for streams that cannot be ordered, or that would share a table or a column."""
    problems = [*_unordered(loader, destination, infos), *_collisions(destination, infos, target)]
    if problems:
        raise ConfigError("these streams cannot be loaded", problems=problems)


def de_duplicates(loader: Loader, destination: Destination) -> bool:
    """Say whether a destination tells by sequences what it has, and not by a position of its own."""
    return not destination.keeps_position and any(
        destination.delivery(mode) is Delivery.EXACTLY_ONCE for mode in loader.needs
    )


def require_finite(loader: Loader, latest: object) -> None:
    """Raise ConfigError when a loader that takes snapshots only meets a source that goes on."""
    if loader.snapshot_only and latest is not None:
        raise ConfigError(
            "this load takes snapshots only, and the source also streams changes",
            "set extract.snapshot: only, or load.use: upsert",
        )


def _unordered(loader: Loader, destination: Destination, infos: Sequence[StreamInfo]) -> list[Problem]:
    if Mode.MERGE not in loader.needs or destination.keeps_position:
        return []
    if destination.delivery(Mode.MERGE) is not Delivery.EXACTLY_ONCE:
        hint = "choose a destination that keeps the position or de-duplicates"
        return [Problem("load.use", "merging would apply changes twice here", hint)]
    return [
        Problem("extract", f"{info.stream} has no stable sequences to de-duplicate by")
        for info in infos
        if not info.stable_seq
    ]


def _collisions(
    destination: Destination, infos: Sequence[StreamInfo], target: Callable[[Stream], Stream]
) -> list[Problem]:
    fold = destination.fold
    problems: list[Problem] = []
    tables: dict[tuple[str, str], Stream] = {}
    for info in infos:
        landing = target(info.stream)
        other = tables.setdefault((fold(landing.namespace), fold(landing.name)), info.stream)
        if other != info.stream:
            hint = "give one of them another target under destination.schema"
            problems.append(Problem("extract", f"{info.stream} and {other} land in one table", hint))
        problems += _column_collisions(fold, info)
    return problems


def _column_collisions(fold: Callable[[str], str], info: StreamInfo) -> list[Problem]:
    columns: dict[str, str] = {}
    problems = []
    for name in info.schema.names:
        other = columns.setdefault(fold(name), name)
        if other != name:
            hint = "rename one of them in a transform"
            problems.append(Problem("extract", f"{info.stream}: columns {other} and {name} fold alike", hint))
    return problems
