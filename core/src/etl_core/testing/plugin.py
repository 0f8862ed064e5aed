"""Registers the command `certify`. Light: the kit itself is imported when the command is called."""

from __future__ import annotations

from collections.abc import Sequence

from etl_core.hookspecs import Registration, hookimpl

__all__ = ["etl_register_commands"]


@hookimpl
def etl_register_commands() -> Sequence[Registration]:
    """Offer `certify`."""
    return [
        Registration(
            "certify",
            None,
            "etl_core.testing.certify.command:command",
            "Hold an installed connector to everything its kind promises.",
        )
    ]
