"""The kit of state stores: claims, positions, history, notes and dead letters, also across kills."""

from __future__ import annotations

from typing import ClassVar

from etl_core.testing.state.claims import ClaimClauses
from etl_core.testing.state.durable import DurableClauses
from etl_core.testing.state.letters import LetterClauses
from etl_core.testing.state.positions import PositionClauses
from etl_core.testing.state.use import UseClauses

__all__ = ["StateStoreConformance"]


class StateStoreConformance(DurableClauses, LetterClauses, PositionClauses, ClaimClauses, UseClauses):
    """What every state store promises. Give `registration` and `config`.

    The store is used with pipelines of random names only; what is there of others is left alone.
    """

    section: ClassVar[str] = "state"
