"""Settings of an observer, light to import."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from etl_core.config import setting

__all__ = ["LinesConfig"]


@frozen(kw_only=True)
class LinesConfig:
    """Where events are written down."""

    path: Path = setting(help="The file that events are added to.")
