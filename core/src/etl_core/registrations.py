"""What a plugin registers, checked: everything here may be wrong in any way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from typing import get_type_hints

import attrs
import pluggy

from etl_core.config import ENGINE_KEYS
from etl_core.hookspecs import HOOKS, Registration
from etl_core.statuses import Connector

__all__ = ["InvalidPlugin", "collect"]

_PREFIX = "etl_register_"
_MARK = "etl_core_impl"
_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_IMPORTED = re.compile(r"[\w.]+:[\w.]+\Z")


class InvalidPlugin(Exception):
    """What a plugin is or registers cannot be used; `hint` says what its author has to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def collect(manager: pluggy.PluginManager, name: str, plugin: object) -> tuple[Connector, ...]:
    """Call the hooks that a plugin implements. Raises InvalidPlugin, or whatever the plugin raises."""
    _check_hook_names(plugin)
    if manager.is_registered(plugin):
        raise InvalidPlugin(f"it is the same plugin as {manager.get_name(plugin)}", "name it once")
    manager.register(plugin, name)
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
            close = get_close_matches(name, known, 1)
            raise InvalidPlugin(
                f"{name} is no hook of etl_core; the hooks are {', '.join(sorted(known))}",
                f"did its author mean {close[0]}?" if close else None,
            )
        if not hasattr(_get(plugin, name), _MARK):
            raise InvalidPlugin(
                f"{name} is not marked with @hookimpl", "mark it: from etl_core import hookimpl"
            )
    if not named:
        raise InvalidPlugin("it implements no hook of etl_core")


def _get(plugin: object, name: str) -> object:
    return getattr(plugin, name, None)


def _connectors(section: str, hook: str, returned: object) -> list[Connector]:
    if not isinstance(returned, Sequence) or not all(isinstance(item, Registration) for item in returned):
        raise InvalidPlugin(f"{hook} did not return a list of registrations")
    for registration in returned:
        _check_registration(section, registration)
    for name, times in Counter(registration.name for registration in returned).items():
        if times > 1:
            raise InvalidPlugin(f"{hook} registers {name} twice")
    return [Connector(section, registration) for registration in returned]


def _check_registration(section: str, registration: Registration) -> None:
    name, config, factory = registration.name, registration.config, registration.factory
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidPlugin(f"a name under {section} is not made of letters, digits, '_', '.' and '-'")
    if not isinstance(registration.summary, str):
        raise InvalidPlugin(f"the summary of {name} is no text")
    if type(registration.api) is not int:
        raise InvalidPlugin(f"the api of {name} is no number")
    if not (callable(factory) or (isinstance(factory, str) and _IMPORTED.match(factory))):
        raise InvalidPlugin(f"the factory of {name} is neither callable nor a text like package.module:Class")
    if config is None and section == "commands":
        return
    if not isinstance(config, type) or not attrs.has(config):
        raise InvalidPlugin(f"the config of {name} is not an attrs class")
    _check_settings(section, name, config)


def _check_settings(section: str, name: str, config: type[attrs.AttrsInstance]) -> None:
    try:
        get_type_hints(config)
    except NameError as error:
        raise InvalidPlugin(f"the settings of {name} have types that cannot be resolved: {error}") from error
    if taken := {attribute.alias for attribute in attrs.fields(config)} & ENGINE_KEYS[section]:
        raise InvalidPlugin(
            f"{name} has settings whose names the engine uses: {', '.join(sorted(map(str, taken)))}"
        )
