"""Registers the state stores of the core."""

from __future__ import annotations

from collections.abc import Sequence

from etl_core.hookspecs import Registration, hookimpl
from etl_core.state.config import MemoryConfig, SqliteConfig

__all__ = ["etl_register_state"]


@hookimpl
def etl_register_state() -> Sequence[Registration]:
    """Offer `memory` and `sqlite`."""
    return [
        Registration(
            "memory", MemoryConfig, "etl_core.state.memory:MemoryStore", "State kept in this process only."
        ),
        Registration(
            "sqlite", SqliteConfig, "etl_core.state.sqlite:SqliteStore", "State in one SQLite file."
        ),
    ]
