"""The kits a connector is held to: those its package ships, else the plain one of its kind.

A package names its kits in the entry point group `etl_core_conformance`; a class is for the connector whose
section and name it has. Its clauses are the plain kit's, so it has to be a subclass of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import attrs

import etl_core.testing
from etl_core.document.fields import hints_of, keys_of
from etl_core.errors import ConfigError, PluginError
from etl_core.hookspecs import Registration
from etl_core.testing.base import Conformance
from etl_core.testing.certify.targets import Target

__all__ = ["GROUP", "KITS", "kits_of", "plain_kit", "with_settings"]

GROUP = "etl_core_conformance"
#: The plain kit of each section, by its name in `etl_core.testing`.
KITS = {
    "extract": "SourceConformance",
    "transform": "TransformConformance",
    "load": "LoaderConformance",
    "destination": "DestinationConformance",
    "observability": "ObserverConformance",
    "state": "StateStoreConformance",
    "executor": "ExecutorConformance",
    "commands": "CommandConformance",
}


def plain_kit(section: str) -> type[Conformance]:
    """Return the kit of a section that knows nothing of any connector."""
    kit: type[Conformance] = getattr(etl_core.testing, KITS[section])
    return kit


def kits_of(target: Target, points: list[EntryPoint]) -> list[type[Conformance]]:
    """Return the kits among a distribution's entry points that are for a target; none when it ships none.

    Raises PluginError for one that cannot be loaded, or is no kit.
    """
    kits = [_loaded(target, point) for point in points]
    return [kit for kit in kits if (kit.section, kit.registration.name) == (target.section, target.name)]


def _loaded(target: Target, point: EntryPoint) -> type[Conformance]:
    try:
        kit = point.load()
    except BaseException as error:  # a plugin may fail in any way
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _broken(target, point, f"{type(error).__name__}: {error}") from error
    if not (isinstance(kit, type) and issubclass(kit, Conformance)):
        raise _broken(target, point, "it is no class of etl_core.testing")
    section, registration = getattr(kit, "section", None), getattr(kit, "registration", None)
    if not isinstance(registration, Registration):
        raise _broken(target, point, "it has no registration")
    if section not in KITS or not issubclass(kit, plain_kit(section)):
        raise _broken(target, point, "it is not a subclass of the kit of its kind")
    return kit


def _broken(target: Target, point: EntryPoint, reason: str) -> PluginError:
    return PluginError(
        "the conformance kit that a plugin ships cannot be used",
        f"mend the entry point in {GROUP} of {target.distribution}, or leave it out",
        name=point.name,
        origin=point.value,
        plugin=f"{target.distribution} {target.version}",
        reason=reason,
    )


def with_settings(registration: Registration) -> Mapping[str, str]:
    """Return the settings that a plain kit fills in by itself: what is required and a path.

    The values are names in the clause's directory. Raises ConfigError where anything else is required.
    """
    if registration.config is None:
        return {}
    required = {
        key: hints_of(registration.config)[attribute.name]
        for key, attribute in keys_of(registration.config).items()
        if attribute.default is attrs.NOTHING
    }
    missing = [key for key, kind in required.items() if not _is_path(kind)]
    if missing:
        raise ConfigError(
            "the connector has settings that only you can give",
            "write them into a YAML file and give it with --config FILE; point it at a system made for tests",
            connector=registration.name,
            settings=", ".join(missing),
        )
    return {key: key for key in required}


def _is_path(kind: Any) -> bool:
    return kind is Path or (get_origin(kind) in {Union, UnionType} and Path in get_args(kind))
