"""What processes of their own do with a state store while a clause about claims looks on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl_core.errors import StateError
from etl_core.interfaces import StateStore
from etl_core.testing.child import hear, say
from etl_core.testing.children import connector_of
from etl_core.testing.state.base import position

__all__ = ["hold", "race", "tried"]


def hold(spec: Mapping[str, Any]) -> None:
    """Claim, save and hold until told to release."""
    store: StateStore = connector_of(spec)
    fence = store.claim(spec["pipeline"])
    store.save(fence, position(1))
    say(fence)
    hear()
    store.release(fence)
    store.close()
    say("released")


def race(spec: Mapping[str, Any]) -> None:
    """Claim each time the clause says so, and say whether that worked."""
    store: StateStore = connector_of(spec)
    for _ in range(spec["rounds"]):
        say("ready")
        hear()
        fence = tried(store, spec["pipeline"])
        say("won" if fence else "lost")
        hear()
        if fence:
            store.release(fence)
    store.close()


def tried(store: StateStore, pipeline: str) -> str | None:
    """Claim; None when somebody else has the claim."""
    try:
        return store.claim(pipeline)
    except StateError:
        return None
