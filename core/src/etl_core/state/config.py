"""Settings of the state stores that come with the core."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen, validators

from etl_core.config import Duration, setting

__all__ = ["MemoryConfig", "SqliteConfig"]

_positive = validators.gt(0)


@frozen(kw_only=True)
class MemoryConfig:
    """State that is gone with the process: for tests, and for runs that always start over."""

    history: int = setting(100, help="Saved positions kept per pipeline.", validator=_positive)
    dead_letters: int = setting(
        100_000, help="Dead letters kept per pipeline; the run stops before one is lost.", validator=_positive
    )


@frozen(kw_only=True)
class SqliteConfig(MemoryConfig):
    """One SQLite file for any number of pipelines and processes of one machine."""

    path: Path = setting(
        Path(".etl/state.db"), help="The file, on a local disk; it and its directory are created."
    )
    wait: Duration = setting(
        Duration(30.0), help="Longest wait for another process that writes to the file.", validator=_positive
    )
