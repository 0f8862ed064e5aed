"""What became of a plugin, and of each connector it offers, as data."""

from __future__ import annotations

import enum
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from typing import Any

from attrs import field, frozen

from etl_core.hookspecs import API, Registration

__all__ = ["KINDS", "Connector", "PluginStatus", "Status"]

#: What a connector of each section is called.
KINDS = {
    "extract": "source",
    "transform": "transform",
    "load": "loader",
    "destination": "destination",
    "observability": "observer",
    "state": "state store",
    "executor": "executor",
    "commands": "command",
}


class Status(enum.StrEnum):
    """What became of a plugin when it was loaded."""

    ACTIVE = "active"
    #: Not loaded because the environment or the command line says so.
    BLOCKED = "blocked"
    #: It raised, or registers something that is no registration.
    BROKEN = "broken"
    #: It was written for another version of the plugin contract.
    INCOMPATIBLE = "incompatible"


@frozen
class Connector:
    """A registration and the section of a document (or the role) it is for.

    `conflict` is `duplicate` when another plugin has the name for that section, `hidden` when it is a
    command that etl-core itself has; then `error` says whose, and `hint` what to do.
    """

    section: str
    registration: Registration
    conflict: str = ""
    error: str | None = None
    hint: str | None = None

    @property
    def kind(self) -> str:
        """What it is: a source, a loader, a command."""
        return KINDS[self.section]

    def to_json(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "kind": self.kind,
            "name": self.registration.name,
            "summary": self.registration.summary,
            "conflict": self.conflict or None,
            "error": self.error,
            "hint": self.hint,
        }


@frozen
class PluginStatus:
    """One entry point of the group `etl_core`, and what became of it.

    `connectors` are usable when `status` is ACTIVE only, and where nothing conflicts. `error` says what is
    wrong, `hint` what to do about it, `cause` is the exception behind it. `notes` are about what does not
    stop it; `deprecations` are the names it uses that go away.
    """

    plugin: str
    distribution: str
    version: str
    #: The module, or the object in it, that the entry point names.
    origin: str
    status: Status
    summary: str = ""
    connectors: tuple[Connector, ...] = ()
    error: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()
    deprecations: tuple[str, ...] = ()
    cause: BaseException | None = field(default=None, eq=False, repr=False)

    @property
    def api(self) -> int | None:
        """The version of the contract it was written for; None when that is not known."""
        found = {connector.registration.api for connector in self.connectors}
        return min(found) if len(found) == 1 else next(iter(found - {API}), None)

    @property
    def location(self) -> str | None:
        """The file of its module, found without importing anything; None when there is none."""
        return _file_of(self.origin.partition(":")[0].strip())

    def to_json(self) -> dict[str, Any]:
        return {
            "plugin": self.plugin,
            "distribution": self.distribution,
            "version": self.version,
            "origin": self.origin,
            "location": self.location,
            "status": str(self.status),
            "api": self.api,
            "summary": self.summary,
            "connectors": [connector.to_json() for connector in self.connectors],
            "error": self.error,
            "hint": self.hint,
            "notes": list(self.notes),
            "deprecations": list(self.deprecations),
        }


def _file_of(module: str) -> str | None:
    """Return where a module's code is; its parent packages are not run to find it."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if isinstance(loaded, str):
        return loaded
    name, *rest = module.split(".")
    try:
        spec: ModuleSpec | None = find_spec(name)
        for part in rest:
            name = f"{name}.{part}"
            spec = spec and PathFinder.find_spec(name, spec.submodule_search_locations)
    except Exception:  # noqa: BLE001 - a finder may fail in any way; then nobody knows where it is
        return None
    return spec.origin if spec else None
