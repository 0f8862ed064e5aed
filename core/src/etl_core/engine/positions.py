"""Where a run starts: the durable position, and the epoch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from etl_core.engine.stages import stage
from etl_core.errors import StateError
from etl_core.model import Position

if TYPE_CHECKING:
    from etl_core.interfaces import Destination, StateStore

__all__ = ["durable_position", "raised"]

_WAYS_OUT = (
    "restore the destination or the state from the same backup, or start over with "
    "`etl-core state reset FILE` and a new snapshot"
)


def durable_position(
    pipeline: str, fence: str, destination: Destination, state: StateStore
) -> Position | None:
    """Return the position that is durable: the destination's own where it keeps one.

    A destination that is ahead mends the state store (a crash came between flush and save); one that is
    behind or empty while the store has a position has lost data: StateError.
    """
    with stage("state"):
        saved = state.load(pipeline)
    if not destination.keeps_position:
        return saved
    own = destination.resume_position()
    if own is None and saved is None:
        return None
    if own is None or (saved is not None and own.order < saved.order):
        raise StateError(
            "the destination is behind the state store",
            _WAYS_OUT,
            pipeline=pipeline,
            destination=own.order if own else None,
            state=saved.order if saved else None,
        )
    if saved is None or own.order > saved.order:
        with stage("state"):
            state.save(fence, own)
    return own


def raised(previous: int) -> int:
    """Return a new epoch, above `previous` and above every epoch of a forgotten past."""
    return max(previous + 1, int(time.time()))
