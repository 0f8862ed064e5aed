"""The kit for loaders."""

from __future__ import annotations

from etl_core.testing.loader_order import OrderClauses
from etl_core.testing.loader_purity import PurityClauses
from etl_core.testing.loader_results import ResultClauses
from etl_core.testing.loader_writes import WriteClauses

__all__ = ["LoaderConformance"]


class LoaderConformance(PurityClauses, ResultClauses, OrderClauses, WriteClauses):
    """What a loader promises. Give `registration` and `config`; `result` and `key` where they are its own.

    Its writes are applied to a table in memory, which must end as the scripts say.
    """
