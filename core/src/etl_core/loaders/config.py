"""Settings of the loaders that come with the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import frozen

from etl_core.config import setting

__all__ = ["AppendConfig", "ReplaceConfig", "UpsertConfig"]


@frozen(kw_only=True)
class AppendConfig:
    """A history: every change becomes a row, with the reserved columns that say what it was."""


@frozen(kw_only=True)
class UpsertConfig:
    """A mirror: the table holds the source's rows as they are now."""

    keys: Mapping[str, Sequence[str]] | Sequence[str] = setting(
        factory=dict,
        help="Key columns instead of the source's: a list for every stream, or a list per stream.",
    )
    delete: Literal["hard", "soft"] = setting(
        "hard", help="hard: a deleted row is removed; soft: it stays, marked by `_etl_deleted`."
    )
    metadata: bool = setting(
        False, help="Keep `_etl_seq` and `_etl_commit_ts` of each row's last change in the table."
    )


@frozen(kw_only=True)
class ReplaceConfig:
    """A mirror made anew by every run: the table is the snapshot, shown when it is complete."""
