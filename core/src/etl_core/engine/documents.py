"""Runs a document: resolves it, runs the pipeline where an executor says, closes what it opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from etl_core.engine.pipeline import Pipeline
from etl_core.interfaces import Executor, Observer
from etl_core.resolve import Document, load_document, resolve

if TYPE_CHECKING:
    from etl_core.events import Event
    from etl_core.interfaces import Cancel
    from etl_core.result import PipelineResult

__all__ = ["ThreadExecutor", "run_document"]


class _Listener(Observer):
    """Hands events on to a function."""

    def __init__(self, events: Callable[[Event], None]) -> None:
        self._events = events

    def on_event(self, event: Event) -> None:
        self._events(event)


def run_document(
    document: Document | Mapping[str, Any] | str,
    *,
    once: bool = False,
    cancel: Cancel | None = None,
    events: Callable[[Event], None] | None = None,
) -> PipelineResult:
    """Run a document (loaded, as a mapping, or the path of one) in this process.

    Raises ConfigError or PluginError before anything starts, then what a pipeline raises.
    """
    loaded = document if isinstance(document, Document) else load_document(document)
    connectors = resolve(loaded)
    pipeline = Pipeline.of(connectors, once=once or loaded.once)
    if events is not None:
        pipeline.observers = (*pipeline.observers, ("events", _Listener(events)))
    try:
        return pipeline.run(cancel=cancel)
    finally:
        connectors.state.close()


class ThreadExecutor(Executor):
    """Runs a pipeline on threads of this process."""

    def __init__(self, config: object = None) -> None:
        pass

    def run(
        self, document: Mapping[str, Any], cancel: Cancel, events: Callable[[Event], None]
    ) -> PipelineResult:
        return run_document(document, cancel=cancel, events=events)
