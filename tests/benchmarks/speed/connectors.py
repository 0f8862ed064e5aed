"""Connectors by the name that a document uses, made from their plugins' registrations."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

__all__ = ["make"]


def make(section: str, name: str, **settings: Any) -> Any:
    """Return the connector that an installed plugin registers for `section` under `name`."""
    for entry in entry_points(group="etl_core"):
        register = getattr(entry.load(), f"etl_register_{section}", None)
        for registration in register() if register else ():
            if registration.name == name:
                factory = registration.factory
                if isinstance(factory, str):
                    module, _, attribute = factory.partition(":")
                    factory = getattr(import_module(module), attribute)
                return factory(registration.config(**settings))
    raise LookupError(f"no plugin registers {name} for {section}")
