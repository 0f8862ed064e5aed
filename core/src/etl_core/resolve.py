"""From a document to the objects it names: plugins found, settings checked, factories imported when used."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from etl_core.config import ENGINE_KEYS
from etl_core.connectors import Connectors, Part, TransformStep
from etl_core.document import Document, Section, read, structure
from etl_core.document.fields import keys_of, unknown_keys
from etl_core.document.problems import Found, Invalid, Problems
from etl_core.errors import EtlError, PluginError
from etl_core.hookspecs import Registration
from etl_core.plugins import Plugins, installed

__all__ = [
    "Connectors",
    "Document",
    "TransformStep",
    "imported",
    "load_document",
    "load_source",
    "load_state",
    "make",
    "named",
    "resolve",
]


def load_document(
    source: str | Path | Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    plugins: Plugins | None = None,
) -> Document:
    """Read a document from a file's path or a mapping, and check every setting in it.

    Raises ConfigError with all problems at once. The settings of a connector that is not installed are
    not looked at; `resolve` says that it is missing.
    """
    draft = read(source, environ)
    for section in draft.sections:
        try:
            registration = (plugins or installed()).find(section.section, section.use)
        except PluginError:
            continue
        draft.problems.extend(_wrong_settings(section, registration, draft.base))
    return draft.document()


def resolve(
    document: Document, plugins: Plugins | None = None, *, needed: Container[str] | None = None
) -> Connectors:
    """Find every connector of a document; each is imported and made when first used.

    Raises PluginError for one that is missing, broken, incompatible or registered twice: at once for the
    sections that are `needed` (None: all), for others when they are used.
    """
    plugins = plugins or installed()

    def part(section: Section) -> Part[Any]:
        if needed is None or section.section in needed:
            return _part(section, plugins, document.base)
        return Part(lambda: _part(section, plugins, document.base).get())

    return Connectors(
        name=document.pipeline,
        source=part(document.extract),
        transforms=[TransformStep(one.use, part(one), one.streams) for one in document.transform],
        loader=part(document.load),
        loader_name=document.load.use,
        destination=part(document.destination),
        observers=[(one.use, part(one)) for one in document.observability],
        state=part(document.state),
        load=document.load_settings,
        retry=document.retry,
        resources=document.resources,
        destination_schema=document.destination_schema,
        base=document.base,
    )


def load_state(document: Document, plugins: Plugins | None = None) -> Any:
    """Return the document's state store; its other connectors need not be installed."""
    return _part(document.state, plugins or installed(), document.base).get()


def load_source(document: Document, plugins: Plugins | None = None) -> Any:
    """Return the document's source; its other connectors need not be installed."""
    return _part(document.extract, plugins or installed(), document.base).get()


def make(registration: Registration, config: object = None) -> Any:
    """Import a registration's factory where that is needed, and call it with its config.

    Raises PluginError when it cannot be imported or fails with anything but an EtlError.
    """
    factory = imported(registration)
    try:
        return factory(config)
    except EtlError:
        raise
    except Exception as error:
        raise PluginError(
            "a connector could not be made",
            "this is a fault of the plugin: run again with --debug for the traceback, and report it",
            name=registration.name,
            reason=f"{type(error).__name__}",
        ) from error


def configured(
    registration: Registration, section: Section, base: Path, problems: Problems | None = None
) -> Any:
    """Return the config that a section's settings make, paths relative to `base`; None where there is none.

    Raises ConfigError with every problem at once; `problems` has those found before, and knows the file.
    """
    problems = Problems() if problems is None else problems
    problems.extend(_wrong_settings(section, registration, base))
    problems.raise_if_any()
    return None if registration.config is None else structure(section.settings, registration.config, base)


def imported(registration: Registration) -> Callable[..., Any]:
    """Return the factory itself, imported if it is given as ``module:name``."""
    if not isinstance(registration.factory, str):
        return registration.factory
    try:
        factory: Callable[..., Any] = named(registration.factory)
    except Exception as error:
        raise PluginError(
            "a connector cannot be imported",
            "install what it needs; `etl-core list-plugins` shows which package it comes from",
            name=registration.name,
            origin=registration.factory,
            reason=f"{type(error).__name__}: {error}",
        ) from error
    return factory


def named(text: str) -> Any:
    """Import what ``module:name`` names; raise what that raises."""
    module, _, name = text.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _part(section: Section, plugins: Plugins, base: Path) -> Part[Any]:
    registration = plugins.find(section.section, section.use)
    config = configured(registration, section, base)
    return Part(lambda: make(registration, config))


def _wrong_settings(section: Section, registration: Registration, base: Path) -> list[Found]:
    """Return what is wrong with a connector's settings, with places in the document."""
    config = registration.config
    if config is None:
        return []
    own = {key: value for key, value in section.settings.items() if key in keys_of(config)}
    found = unknown_keys(section.settings, {*keys_of(config), *ENGINE_KEYS[section.section]})
    try:
        structure(own, config, base)
    except Invalid as error:
        found += error.found
    return [one.under(*section.place) for one in found]
