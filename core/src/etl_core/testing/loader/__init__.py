"""The kit for loaders."""

from __future__ import annotations

from etl_core.testing.loader.order import OrderClauses
from etl_core.testing.loader.purity import PurityClauses
from etl_core.testing.loader.results import ResultClauses
from etl_core.testing.loader.values import ValueClauses
from etl_core.testing.loader.writes import WriteClauses

__all__ = ["LoaderConformance"]


class LoaderConformance(PurityClauses, ResultClauses, ValueClauses, OrderClauses, WriteClauses):
    """What a loader promises. Give `registration` and `config`; `result` and `key` where they are its own.

    Its writes are applied to a table in memory, which must end as the scripts say.
    """
