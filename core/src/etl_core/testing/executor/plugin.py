"""The plugin whose connectors the kit of executors runs. Light: what it registers is imported when used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from etl_core.config import Secret, setting
from etl_core.hookspecs import Registration, hookimpl

__all__ = ["JournalConfig", "PlayedConfig", "etl_register_destination", "etl_register_extract"]

_PARTS = "etl_core.testing.executor.parts"


@frozen(kw_only=True)
class PlayedConfig:
    """A script of so many transactions of one row each."""

    transactions: int = setting(5, help="How many transactions it tells.")
    pace: float = setting(0.0, help="Seconds between two transactions.")
    endless: bool = setting(False, help="Go on without telling anything, once all is told, if not once.")
    die: bool = setting(False, help="Kill the process it runs in.")
    fail_once: bool = setting(False, help="Fail before the last transaction, the first time.")
    fail: str = setting("", help="The error to raise instead.")


@frozen(kw_only=True)
class JournalConfig:
    """A journal in a directory."""

    directory: Path = setting(help="Where the journal is.")
    reject: bool = setting(False, help="Refuse every row.")
    token: Secret | None = setting(None, help="Opens nothing.")


@hookimpl
def etl_register_extract() -> Sequence[Registration]:
    """Offer a script."""
    return [Registration("conformance-script", PlayedConfig, f"{_PARTS}:Played", "Tells a script.")]


@hookimpl
def etl_register_destination() -> Sequence[Registration]:
    """Offer a journal."""
    return [Registration("conformance-journal", JournalConfig, f"{_PARTS}:Kept", "Keeps every row.")]
