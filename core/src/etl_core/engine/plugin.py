"""The executors that come with the core, registered like anybody's."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from etl_core.hookspecs import Registration, hookimpl

__all__ = ["ThreadsConfig", "etl_register_executor"]


@frozen
class ThreadsConfig:
    """Threads of this process; nothing to set."""


@hookimpl
def etl_register_executor() -> Sequence[Registration]:
    """Offer `threads`."""
    return [
        Registration(
            "threads",
            ThreadsConfig,
            "etl_core.engine.documents:ThreadExecutor",
            "Runs a pipeline on threads of this process.",
        )
    ]
