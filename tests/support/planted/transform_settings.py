"""Settings of a transform, light to import."""

from __future__ import annotations

from attrs import frozen

from etl_core.config import setting

__all__ = ["TidyConfig"]


@frozen(kw_only=True)
class TidyConfig:
    """Puts orders in order."""

    least: float = setting(0.0, help="Orders of a smaller amount are left out.")
