"""Which installed connectors a name means."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from etl_core.errors import PluginError
from etl_core.hookspecs import HOOKS, Registration
from etl_core.plugins import PluginStatus, Status, installed

__all__ = ["Target", "registration_for", "targets_of"]


@frozen
class Target:
    """One connector under test: where it stands, and the plugin it comes from."""

    section: str
    name: str
    distribution: str
    version: str
    plugin: str

    def __str__(self) -> str:
        return f"{self.section}: {self.name} ({self.distribution} {self.version})"

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)


def targets_of(name: str) -> list[Target]:
    """Return the connectors of that name, else those of the plugin or distribution of that name.

    Raises PluginError as `describe` does when there are none, or when two plugins register the name.
    """
    plugins = installed()
    for section in HOOKS:
        if any(registration.name == name for registration, _ in plugins.connectors(section)):
            plugins.find(section, name)
    usable = [status for status in plugins.statuses if status.status is Status.ACTIVE]
    offers = [target for status in usable for target in _targets(status)]
    for found in (
        [target for target in offers if target.name == name],
        [target for target in offers if name in {target.plugin, target.distribution}],
    ):
        if found:
            return sorted(found, key=lambda target: (list(HOOKS).index(target.section), target.name))
    raise plugins.missing(name)


def registration_for(target: Target) -> Registration:
    """Return the registration of a target in this process."""
    for status in installed().statuses:
        if (status.distribution, status.plugin) != (target.distribution, target.plugin):
            continue
        for connector in status.connectors:
            if (connector.section, connector.registration.name) == (target.section, target.name):
                return connector.registration
    raise PluginError("the connector is gone", name=target.name, distribution=target.distribution)


def _targets(status: PluginStatus) -> list[Target]:
    return [
        Target(each.section, each.registration.name, status.distribution, status.version, status.plugin)
        for each in status.connectors
    ]
