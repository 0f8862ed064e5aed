"""The kit for observers."""

from __future__ import annotations

from etl_core.testing.observer.hearing import HearingClauses
from etl_core.testing.observer.keeping import KeepingClauses
from etl_core.testing.observer.runs import RunClauses

__all__ = ["ObserverConformance"]


class ObserverConformance(KeepingClauses, RunClauses, HearingClauses):
    """What an observer promises. Give `registration` and `config`; `broken_config` where it has a backend.

    It can never fail or stall a pipeline, and never grows with it.
    """
