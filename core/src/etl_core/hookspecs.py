"""The hooks a plugin implements: five stages, three platform hooks, one form.

Each returns registrations, takes no argument, does no I/O and is called once per process, when plugins
are discovered. Pluggy is never called while batches flow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pluggy
from attrs import field, frozen

__all__ = ["API", "ENTRY_POINT_GROUP", "HOOKS", "Registration", "hookimpl", "hookspec"]

#: The number of this core's plugin contract.
API = 1
ENTRY_POINT_GROUP = "etl_core"

hookspec = pluggy.HookspecMarker("etl_core")
hookimpl = pluggy.HookimplMarker("etl_core")


@frozen
class Registration:
    """One connector under one hook.

    `factory` is called with an instance of `config` (an attrs class); given as ``"module:Class"`` its
    module is imported only when a pipeline names the connector, so that looking at plugins loads no
    vendor SDK. For commands `factory` is a Click command (or where to import it) and `config` is None.
    """

    name: str
    config: type[Any] | None
    factory: Callable[..., Any] | str
    summary: str = ""
    api: int = field(default=API)


@hookspec
def etl_register_extract() -> Sequence[Registration]:
    """Return the sources this plugin offers under `extract`."""


@hookspec
def etl_register_transform() -> Sequence[Registration]:
    """Return the transforms this plugin offers under `transform`."""


@hookspec
def etl_register_load() -> Sequence[Registration]:
    """Return the loaders (write dispositions) this plugin offers under `load`."""


@hookspec
def etl_register_destination() -> Sequence[Registration]:
    """Return the destinations this plugin offers under `destination`."""


@hookspec
def etl_register_observability() -> Sequence[Registration]:
    """Return the observers this plugin offers under `observability`."""


@hookspec
def etl_register_state() -> Sequence[Registration]:
    """Return the state stores this plugin offers under `state`."""


@hookspec
def etl_register_executor() -> Sequence[Registration]:
    """Return the executors this plugin offers to `run --executor`."""


@hookspec
def etl_register_commands() -> Sequence[Registration]:
    """Return the Click commands this plugin adds to `etl-core`."""


#: Hook name by section of a document, or by platform role.
HOOKS = {
    "extract": "etl_register_extract",
    "transform": "etl_register_transform",
    "load": "etl_register_load",
    "destination": "etl_register_destination",
    "observability": "etl_register_observability",
    "state": "etl_register_state",
    "executor": "etl_register_executor",
    "commands": "etl_register_commands",
}
