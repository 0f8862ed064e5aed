"""The settings of the planted sources."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from etl_core import Secret, setting

__all__ = ["LedgerSettings"]


@frozen
class LedgerSettings:
    """A file of transactions."""

    path: Path = setting(help="The file; each line is a transaction.")
    password: Secret = setting(help="Opens the file.")
    endless: bool = setting(True, help="Whether to follow what is added.")
