"""Registers the loaders of the core."""

from __future__ import annotations

from collections.abc import Sequence

from etl_core.hookspecs import Registration, hookimpl
from etl_core.loaders.config import AppendConfig, ReplaceConfig, UpsertConfig

__all__ = ["etl_register_load"]


@hookimpl
def etl_register_load() -> Sequence[Registration]:
    """Offer `append`, `upsert` and `replace`."""
    return [
        Registration(
            "append", AppendConfig, "etl_core.loaders.append:Append", "Every change becomes a row: a history."
        ),
        Registration(
            "upsert",
            UpsertConfig,
            "etl_core.loaders.upsert:Upsert",
            "Rows as they are now, by key: a mirror.",
        ),
        Registration(
            "replace",
            ReplaceConfig,
            "etl_core.loaders.replace:Replace",
            "The whole table from a new snapshot, at every run.",
        ),
    ]
