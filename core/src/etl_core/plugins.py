"""The plugins of this process: found through entry points, loaded once, never able to stop one another.

`ETL_DISABLE_PLUGINS` (names separated by commas) blocks plugins, `ETL_LOAD_PLUGINS` blocks all others;
a name is an entry point's or a distribution's. What comes with etl-core itself is never blocked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

import pluggy
from attrs import frozen

from etl_core import hookspecs
from etl_core.discovery import Connector, PluginStatus, Status, load_plugin
from etl_core.errors import PluginError
from etl_core.hookspecs import ENTRY_POINT_GROUP, HOOKS, Registration

__all__ = [
    "DISABLE",
    "LOAD",
    "OWN",
    "Connector",
    "PluginStatus",
    "Plugins",
    "Status",
    "installed",
    "list_plugins",
]

DISABLE = "ETL_DISABLE_PLUGINS"
LOAD = "ETL_LOAD_PLUGINS"

#: The distribution whose plugins are never blocked, and whose commands are listed as ours.
OWN = "etl-core"
_ROLES = {
    "extract": "source",
    "transform": "transform",
    "load": "loader",
    "destination": "destination",
    "observability": "observer",
    "state": "state store",
    "executor": "executor",
    "commands": "command",
}


@frozen
class Plugins:
    """Every plugin found, with its status."""

    statuses: tuple[PluginStatus, ...]

    @classmethod
    def discover(cls, disable: str = "", load: str | None = None) -> Plugins:
        """Load what is installed. `disable` and `load` are lists as the environment variables hold them."""
        manager = pluggy.PluginManager(ENTRY_POINT_GROUP)
        manager.add_hookspecs(hookspecs)
        found = sorted(
            entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (_distribution(entry), entry.name)
        )
        disabled, allowed = _names(disable), None if load is None else _names(load)
        return cls(tuple(load_plugin(manager, entry, _blocked(entry, disabled, allowed)) for entry in found))

    def connectors(self, section: str) -> Sequence[tuple[Registration, PluginStatus]]:
        """Return what active plugins offer for a section, sorted by name."""
        offers = [
            (connector.registration, status)
            for status in self.statuses
            if status.status is Status.ACTIVE
            for connector in status.connectors
            if connector.section == section
        ]
        return sorted(offers, key=lambda offer: offer[0].name)

    def find(self, section: str, name: str) -> Registration:
        """Return the one registration of that name; PluginError says why there is none, or which two."""
        offers = [offer for offer in self.connectors(section) if offer[0].name == name]
        if len(offers) == 1:
            return offers[0][0]
        if offers:
            raise PluginError(
                "two plugins register the same name",
                f"uninstall one of them, or block it with {DISABLE}",
                section=section,
                name=name,
                plugins=" and ".join(f"{status.distribution} {status.version}" for _, status in offers),
            )
        self._raise_unusable(section, name)
        raise PluginError(
            "no such connector is installed",
            self._suggestion(section, name),
            section=section,
            name=name,
        )

    def missing(self, name: str) -> PluginError:
        """Return the error for a name that no active plugin has in any section."""
        names = {registration.name for section in HOOKS for registration, _ in self.connectors(section)}
        for section in HOOKS:
            try:
                self._raise_unusable(section, name)
            except PluginError as error:
                return error
        close = get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]}?" if close else f"perhaps: pip install etl-{name}"
        return PluginError("no such connector is installed", hint, name=name)

    def _raise_unusable(self, section: str, name: str) -> None:
        """Raise when the name belongs to a plugin that is there but cannot be used."""
        for status in self.statuses:
            names = {(connector.section, connector.registration.name) for connector in status.connectors}
            guesses = {status.plugin, status.distribution.removeprefix("etl-")}
            if status.status is Status.ACTIVE or not ((section, name) in names or name in guesses):
                continue
            raise PluginError(
                "the connector's plugin cannot be used",
                f"reinstall or update {status.distribution}; `etl-core list-plugins` shows all plugins",
                name=name,
                plugin=f"{status.distribution} {status.version}",
                origin=status.origin,
                status=status.status,
                reason=status.error,
            ) from status.cause

    def _suggestion(self, section: str, name: str) -> str:
        names = [registration.name for registration, _ in self.connectors(section)]
        if close := get_close_matches(name, names, 1):
            return f"did you mean {close[0]}?"
        for other in HOOKS:
            if any(registration.name == name for registration, _ in self.connectors(other)):
                return f"{name} is a {_ROLES[other]}; installed here are: {', '.join(names) or 'none'}"
        return f"installed are: {', '.join(names) or 'none'}; perhaps: pip install etl-{name}"


def installed() -> Plugins:
    """Return this process's plugins; they are loaded at the first call."""
    return _discover(os.environ.get(DISABLE, ""), os.environ.get(LOAD))


def list_plugins() -> Sequence[PluginStatus]:
    """Return every plugin found and what became of it, as `etl-core list-plugins` shows it; for hosts."""
    return installed().statuses


@lru_cache
def _discover(disable: str, load: str | None) -> Plugins:
    return Plugins.discover(disable, load)


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else ""


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _blocked(entry: EntryPoint, disabled: Iterable[str], allowed: Iterable[str] | None) -> bool:
    names = {entry.name, _distribution(entry)}
    if OWN in names:
        return False
    return bool(names.intersection(disabled)) or (allowed is not None and not names.intersection(allowed))
