"""The plugins of this process: found through entry points, loaded once, never able to stop one another.

`ETL_DISABLE_PLUGINS` (names separated by commas) blocks plugins, `ETL_LOAD_PLUGINS` blocks all others;
a name is an entry point's or a distribution's. What comes with etl-core itself is never blocked.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache

import pluggy
from attrs import evolve, frozen

from etl_core import hookspecs
from etl_core.discovery import DISABLE, LOAD, Blocked, load_plugin
from etl_core.entrypoints import Installed, canonical, found_in
from etl_core.errors import PluginError
from etl_core.hookspecs import ENTRY_POINT_GROUP, HOOKS, Registration
from etl_core.statuses import KINDS, Connector, PluginStatus, Status

__all__ = [
    "DISABLE",
    "LOAD",
    "NONE",
    "OWN",
    "Connector",
    "PluginStatus",
    "Plugins",
    "Status",
    "hiding",
    "installed",
    "list_plugins",
    "unheard_of",
]

#: What `--no-plugins` sets ETL_LOAD_PLUGINS to: a name that no plugin has.
NONE = "--no-plugins"
#: The distribution whose plugins are never blocked, and whose commands are listed as ours.
OWN = "etl-core"


@frozen
class Plugins:
    """Every plugin found, with its status."""

    statuses: tuple[PluginStatus, ...]

    @classmethod
    def discover(cls, disable: str = "", load: str | None = None) -> Plugins:
        """Load what is installed. `disable` and `load` are lists as the environment variables hold them."""
        manager = pluggy.PluginManager(ENTRY_POINT_GROUP)
        manager.add_hookspecs(hookspecs)
        disabled, allowed = _names(disable), None if load is None else _names(load)
        loaded = [
            load_plugin(manager, each, _blocked(each, disabled, allowed))
            for each in found_in(ENTRY_POINT_GROUP)
        ]
        own = {
            each.registration.name
            for status in loaded
            for each in status.connectors
            if status.distribution == OWN and each.section == "commands"
        }
        return cls(_with_duplicates(hiding(loaded, own)))

    def connectors(self, section: str) -> Sequence[tuple[Registration, PluginStatus]]:
        """Return what active plugins offer for a section, sorted by name; duplicates are among them."""
        offers = [
            (connector.registration, status)
            for status in self.statuses
            if status.status is Status.ACTIVE
            for connector in status.connectors
            if connector.section == section and connector.conflict != "hidden"
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
                plugins=" and ".join(_label(status) for _, status in offers),
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
            guesses = {status.plugin, status.distribution, status.distribution.removeprefix("etl-")}
            if status.status is Status.ACTIVE or not ((section, name) in names or name in guesses):
                continue
            raise PluginError(
                "the connector's plugin cannot be used",
                status.hint or "`etl-core list-plugins` shows all plugins",
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
                return f"{name} is a {KINDS[other]}; installed here are: {', '.join(names) or 'none'}"
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


def hiding(statuses: Iterable[PluginStatus], commands: Iterable[str]) -> tuple[PluginStatus, ...]:
    """Mark the commands of plugins that etl-core has under the same names: its own is the one that runs."""
    names = frozenset(commands)

    def marked(each: Connector) -> Connector:
        if each.section != "commands" or each.registration.name not in names:
            return each
        hint = "its author has to give it another name"
        return evolve(each, conflict="hidden", error="etl-core has a command of that name", hint=hint)

    return tuple(
        status
        if status.distribution == OWN
        else evolve(status, connectors=tuple(marked(each) for each in status.connectors))
        for status in statuses
    )


def unheard_of(disable: str, load: str | None, statuses: Iterable[PluginStatus]) -> list[str]:
    """Say which names in the two lists no plugin has: a misspelt one blocks or allows nothing."""
    known = {canonical(name) for each in statuses for name in (each.plugin, each.distribution)}
    said = []
    for variable, names in ((DISABLE, _names(disable)), (LOAD, _names(load or ""))):
        for name in sorted(names - known - {canonical(NONE)}):
            close = get_close_matches(name, known, 1)
            said.append(
                f"{variable} names {name}, which is not installed"
                + (f"; did you mean {close[0]}?" if close else "")
            )
    return said


def _with_duplicates(statuses: Sequence[PluginStatus]) -> tuple[PluginStatus, ...]:
    """Mark each connector whose name another plugin registers for the same section."""
    owners: dict[tuple[str, str], list[PluginStatus]] = defaultdict(list)
    for status in statuses:
        for each in status.connectors if status.status is Status.ACTIVE else ():
            if not each.conflict:
                owners[each.section, each.registration.name].append(status)

    def marked(status: PluginStatus, each: Connector) -> Connector:
        having = owners[each.section, each.registration.name]
        others = [other for other in having if other is not status]
        if each.conflict or not others or status not in having:
            return each
        error = f"{' and '.join(_label(other) for other in others)} registers the same name"
        return evolve(each, conflict="duplicate", error=error, hint=_one_of(having))

    return tuple(
        evolve(status, connectors=tuple(marked(status, each) for each in status.connectors))
        for status in statuses
    )


def _one_of(plugins: Iterable[PluginStatus]) -> str:
    return f"leave one of them out: {' or '.join(f'{DISABLE}={each.plugin}' for each in plugins)}"


def _label(status: PluginStatus) -> str:
    return f"{status.distribution} {status.version}"


def _names(text: str) -> frozenset[str]:
    return frozenset(canonical(name) for name in text.split(",") if name.strip())


def _blocked(
    installed: Installed, disabled: frozenset[str], allowed: frozenset[str] | None
) -> Blocked | None:
    """Return why a plugin is not to be loaded, and how it would be; None when it is."""
    own = installed.point.name if installed.point else installed.distribution
    names = {canonical(own), canonical(installed.distribution)}
    if installed.distribution == OWN:
        return None
    if named := sorted(names & disabled):
        return f"{DISABLE} names {named[0]}", f"take {named[0]} out of {DISABLE}"
    if allowed is None or names & allowed:
        return None
    if canonical(NONE) in allowed:
        return f"{NONE} was given", f"leave out {NONE}"
    return f"{LOAD} does not name it", f"add {own} to {LOAD}, or unset it"
