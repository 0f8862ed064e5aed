"""Loading one plugin: from its entry point to its status, whatever is wrong with it."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution

import pluggy
from attrs import evolve

from etl_core.deprecations import noticed
from etl_core.entrypoints import Installed
from etl_core.hookspecs import API
from etl_core.isolation import contained
from etl_core.registrations import InvalidPlugin, collect
from etl_core.statuses import PluginStatus, Status

__all__ = ["DISABLE", "LOAD", "Blocked", "load_plugin"]

DISABLE = "ETL_DISABLE_PLUGINS"
LOAD = "ETL_LOAD_PLUGINS"

#: Why a plugin is not loaded, and how it would be.
Blocked = tuple[str, str]

_VALUE = re.compile(r"[\w.]+\s*(:\s*[\w.]+\s*)?(\[.*\]\s*)?\Z")
_REQUIRED = re.compile(r"[A-Za-z0-9._-]+")
#: Characters of an error's text that are shown.
_MOST = 500


def load_plugin(
    manager: pluggy.PluginManager, installed: Installed, blocked: Blocked | None = None
) -> PluginStatus:
    """Import a plugin and collect what it registers; its failures become its status.

    Only KeyboardInterrupt passes: whoever waits for a plugin that does not come to its end may leave.
    """
    status = _describe(installed)
    if blocked is not None:
        return evolve(status, status=Status.BLOCKED, error=blocked[0], hint=blocked[1])
    name, notes = f"{status.distribution}:{status.plugin}", list[str]()
    try:
        with (
            contained(f"{name} ({status.origin}); {DISABLE}={status.plugin} leaves it out") as notes,
            noticed() as deprecations,
        ):
            connectors = collect(manager, name, _imported(installed))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may fail in any way
        return evolve(
            status,
            status=Status.BROKEN,
            error=_reason(error),
            hint=_hint(error, status),
            cause=error,
            notes=(*status.notes, *notes),
        )
    notes = [*status.notes, *notes]
    status = evolve(status, connectors=connectors, notes=tuple(notes), deprecations=tuple(deprecations))
    return status if status.api in (API, None) else _incompatible(status)


def _describe(installed: Installed) -> PluginStatus:
    point = installed.point
    return PluginStatus(
        plugin=installed.distribution if point is None else point.name,
        distribution=installed.distribution,
        version=installed.version,
        origin="" if point is None else point.value,
        status=Status.ACTIVE,
        summary=installed.summary,
        notes=tuple(_notes(installed)),
    )


def _notes(installed: Installed) -> list[str]:
    notes = [f"{one} is not installed, which it says it needs" for one in _missing(installed)]
    if installed.incomplete:
        notes.append(f"its metadata has no name or no version; reinstall it ({installed.directory})")
    notes += [f"it is installed again at {copy}, which is not used" for copy in installed.copies]
    return notes


def _missing(installed: Installed) -> list[str]:
    """Return what it requires always, and is not there; versions are the installer's business."""
    missing = []
    for requirement in installed.requires:
        name = _REQUIRED.match(requirement)
        if name is None or ";" in requirement:
            continue
        try:
            distribution(name[0])
        except PackageNotFoundError:
            missing.append(name[0])
    return missing


def _imported(installed: Installed) -> object:
    """Import what the entry point names."""
    point: EntryPoint | None = installed.point
    if point is None:
        raise InvalidPlugin(str(installed.error), f"reinstall {installed.distribution}")
    if not _VALUE.match(point.value.strip()):
        raise InvalidPlugin("its entry point is not written as package.module or package.module:object")
    if installed.twin:
        raise InvalidPlugin(f"the distribution has another plugin of that name: {installed.twin}")
    return point.load()


def _reason(error: BaseException) -> str:
    """Say what was raised, on one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an error that cannot even say what it is
        text = "it has no text"
    text = text if len(text) <= _MOST else f"{text[:_MOST]}..."
    return text if isinstance(error, InvalidPlugin) else f"{type(error).__name__}: {text}"


def _hint(error: BaseException, status: PluginStatus) -> str:
    leave_out = f"or leave it out with {DISABLE}={status.plugin}"
    if isinstance(error, InvalidPlugin) and error.hint:
        return f"{error.hint} Else report it to the authors of {status.distribution}, {leave_out}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        own = status.origin.split(":")[0].split(".")[0] == error.name.split(".")[0]
        what = f"reinstall {status.distribution}" if own else f"install what has the module {error.name}"
        return f"{what}, {leave_out}"
    return f"update {status.distribution}, report it to its authors, {leave_out}"


def _incompatible(status: PluginStatus) -> PluginStatus:
    newer = status.api is not None and status.api > API
    return evolve(
        status,
        status=Status.INCOMPATIBLE,
        error=f"written for plugin API {status.api}, this core has {API}",
        hint=f"update {'etl-core' if newer else status.distribution}",
    )
