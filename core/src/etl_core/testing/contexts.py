"""The context a kit hands to a connector: the engine's own, with everything kept to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from etl_core.engine.observing import HubMetrics, ObserverHub
from etl_core.engine.scope import EngineContext, Scope
from etl_core.events import Event
from etl_core.interfaces import Observer

__all__ = ["KitContext", "Listener"]


class Listener(Observer):
    """Keeps every event; asks for payloads, so that a destination offers them, and keeps none."""

    payloads = True

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


class KitContext(EngineContext):
    """A `Context` with its own scope; `rejections` and `listener` hold what the connector said.

    `close` stops and joins what the connector spawned, and returns the names of threads that did not end.
    """

    def __init__(
        self, *, pipeline: str, connector: str, spill: Path, epoch: int = 1, poll_interval: float = 0.05
    ) -> None:
        self.listener = Listener()
        self.scope = Scope(pipeline)
        self._listening = ObserverHub(pipeline, [("kit", self.listener)])
        super().__init__(
            pipeline=pipeline,
            connector=connector,
            scope=self.scope,
            hub=self._listening,
            metrics=HubMetrics(self._listening),
            spill=spill,
            epoch=epoch,
            poll_interval=poll_interval,
        )

    def close(self, grace: float) -> Sequence[str]:
        """Stop everything; raise what a spawned thread failed with; return the threads that go on."""
        self.scope.stop()
        stuck = self.scope.join(grace)
        self._listening.close(grace)
        if self.scope.error is not None:
            raise self.scope.error
        return stuck
