"""The kit for sources."""

from __future__ import annotations

from etl_core.testing.source.acknowledging import AckClauses
from etl_core.testing.source.idling import IdleClauses
from etl_core.testing.source.kills import KillClauses
from etl_core.testing.source.offers import OfferClauses
from etl_core.testing.source.resuming import ResumeClauses
from etl_core.testing.source.running import RunClauses
from etl_core.testing.source.shape import ShapeClauses

__all__ = ["SourceConformance"]


class SourceConformance(
    KillClauses, OfferClauses, AckClauses, IdleClauses, RunClauses, ResumeClauses, ShapeClauses
):
    """What every source promises.

    Give `registration` and `config`, with some rows to read; for a source that reads on, endless or run
    again, also `change`. `patience`, `deadline` and `grace` are how long it may take; `thorough` tries
    everything.
    """
