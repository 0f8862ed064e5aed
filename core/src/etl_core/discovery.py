"""Loading one plugin: from its entry point to its status, whatever is wrong with it."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, get_type_hints

import attrs
import pluggy
from attrs import field, frozen

from etl_core.config import ENGINE_KEYS
from etl_core.deprecations import noticed
from etl_core.hookspecs import API, HOOKS, Registration

__all__ = ["Connector", "PluginStatus", "Status", "load_plugin"]

_PREFIX = "etl_register_"
_MARK = "etl_core_impl"
_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_IMPORTED = re.compile(r"[\w.]+:[\w.]+\Z")


class Status(enum.StrEnum):
    """What became of a plugin when it was loaded."""

    ACTIVE = "active"
    #: Not loaded because the environment says so.
    BLOCKED = "blocked"
    #: It raised, or registers something that is no registration.
    BROKEN = "broken"
    #: It was written for another version of the plugin contract.
    INCOMPATIBLE = "incompatible"


@frozen
class Connector:
    """A registration and the section of a document (or the role) it is for."""

    section: str
    registration: Registration


@frozen
class PluginStatus:
    """One entry point of the group `etl_core`, and what became of it.

    `connectors` are usable when `status` is ACTIVE only. `error` says what is wrong, `cause` is the
    exception behind it. `deprecations` are the names it uses that go away.
    """

    plugin: str
    distribution: str
    version: str
    origin: str
    status: Status
    summary: str = ""
    connectors: tuple[Connector, ...] = ()
    error: str | None = None
    deprecations: tuple[str, ...] = ()
    cause: BaseException | None = field(default=None, eq=False, repr=False)

    @property
    def api(self) -> int | None:
        """The version of the contract it was written for; None when that is not known."""
        found = {connector.registration.api for connector in self.connectors}
        return min(found) if len(found) == 1 else next(iter(found - {API}), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "plugin": self.plugin,
            "distribution": self.distribution,
            "version": self.version,
            "origin": self.origin,
            "status": str(self.status),
            "api": self.api,
            "summary": self.summary,
            "connectors": [
                {"section": c.section, "name": c.registration.name, "summary": c.registration.summary}
                for c in self.connectors
            ],
            "error": self.error,
            "deprecations": list(self.deprecations),
        }


class _Invalid(Exception):
    """What a plugin registers cannot be used."""


def load_plugin(manager: pluggy.PluginManager, entry: EntryPoint, blocked: bool) -> PluginStatus:
    """Import a plugin and collect what it registers; its failures become its status."""
    status = _describe(entry)
    if blocked:
        return attrs.evolve(status, status=Status.BLOCKED, error="blocked by the environment")
    with noticed() as deprecations:
        try:
            connectors = _collect(manager, status, entry.load())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may fail in any way
            return attrs.evolve(status, status=Status.BROKEN, error=_reason(error), cause=error)
    status = attrs.evolve(status, connectors=connectors, deprecations=tuple(deprecations))
    if status.api not in (API, None):
        error_text = f"written for plugin API {status.api}, this core has {API}"
        return attrs.evolve(status, status=Status.INCOMPATIBLE, error=error_text)
    return status


def _describe(entry: EntryPoint) -> PluginStatus:
    metadata: Any = entry.dist.metadata if entry.dist is not None else {}
    return PluginStatus(
        plugin=entry.name,
        distribution=metadata.get("Name") or "unknown",
        version=metadata.get("Version") or "unknown",
        origin=entry.value,
        status=Status.ACTIVE,
        summary=metadata.get("Summary") or "",
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, _Invalid):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _collect(manager: pluggy.PluginManager, status: PluginStatus, plugin: object) -> tuple[Connector, ...]:
    _check_hook_names(plugin)
    manager.register(plugin, f"{status.distribution}:{status.plugin}")
    connectors: list[Connector] = []
    for section, hook in HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is plugin:
                connectors += _connectors(section, hook, implementation.function())
    return tuple(connectors)


def _check_hook_names(plugin: object) -> None:
    known = set(HOOKS.values())
    named = [name for name in dir(plugin) if name.startswith(_PREFIX) or hasattr(_get(plugin, name), _MARK)]
    for name in named:
        if name not in known:
            raise _Invalid(f"{name} is no hook of etl_core; the hooks are {', '.join(sorted(known))}")
        if not hasattr(_get(plugin, name), _MARK):
            raise _Invalid(f"{name} is not marked with @hookimpl")
    if not named:
        raise _Invalid("it implements no hook of etl_core")


def _get(plugin: object, name: str) -> object:
    return getattr(plugin, name, None)


def _connectors(section: str, hook: str, returned: object) -> list[Connector]:
    if not isinstance(returned, Sequence) or not all(isinstance(item, Registration) for item in returned):
        raise _Invalid(f"{hook} did not return a list of registrations")
    names = [registration.name for registration in returned]
    for registration in returned:
        _check_registration(section, registration)
        if names.count(registration.name) > 1:
            raise _Invalid(f"{hook} registers {registration.name} twice")
    return [Connector(section, registration) for registration in returned]


def _check_registration(section: str, registration: Registration) -> None:
    name, config, factory = registration.name, registration.config, registration.factory
    if not isinstance(name, str) or not _NAME.match(name):
        raise _Invalid(f"a name under {section} is not made of letters, digits, '_', '.' and '-'")
    if not (callable(factory) or (isinstance(factory, str) and _IMPORTED.match(factory))):
        raise _Invalid(f"the factory of {name} is neither callable nor a text like package.module:Class")
    if config is None and section == "commands":
        return
    if not isinstance(config, type) or not attrs.has(config):
        raise _Invalid(f"the config of {name} is not an attrs class")
    try:
        get_type_hints(config)
    except NameError as error:
        raise _Invalid(f"the settings of {name} have types that cannot be resolved: {error}") from error
    if taken := {attribute.alias for attribute in attrs.fields(config)} & ENGINE_KEYS[section]:
        raise _Invalid(
            f"{name} has settings whose names the engine uses: {', '.join(sorted(map(str, taken)))}"
        )
