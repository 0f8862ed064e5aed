"""A pipeline: one source, transforms, one loader, one destination, observers, one state store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from etl_core.config import LoadSettings, Resources, RetryPolicy
from etl_core.engine.run import Run
from etl_core.errors import StateError
from etl_core.loaders.append import Append
from etl_core.model import Stream
from etl_core.state.memory import MemoryStore

if TYPE_CHECKING:
    from etl_core.config import BatchPolicy
    from etl_core.interfaces import Cancel, Destination, Loader, Observer, Source, StateStore
    from etl_core.resolve import Connectors, TransformStep
    from etl_core.result import PipelineResult

__all__ = ["Pipeline"]


class Pipeline:
    """Runs until the source ends or `cancel` is set; resumes where the last run became durable.

    `schema` renames streams at the destination: a namespace for all, or a mapping from a stream's text to
    the target's. `once` stops at the source's end as of the start. A run closes its connectors.
    """

    #: Seconds a cancelled run may take to make durable what it has.
    grace = 10.0

    def __init__(
        self,
        name: str,
        source: Source,
        destination: Destination,
        *,
        loader: Loader | None = None,
        transforms: Sequence[TransformStep] = (),
        observers: Sequence[tuple[str, Observer]] = (),
        state: StateStore | None = None,
        load: LoadSettings | None = None,
        retry: RetryPolicy | None = None,
        resources: Resources | None = None,
        schema: str | Mapping[str, str] | None = None,
        once: bool = False,
        before_run: Callable[[], None] | None = None,
        after_run: Callable[[], None] | None = None,
        load_seconds: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.name = name
        self.source = source
        self.destination = destination
        self.loader = loader or Append()
        self.transforms = tuple(transforms)
        self.observers = tuple(observers)
        self.state = state or MemoryStore()
        self.load = load or LoadSettings()
        self.retry = retry or RetryPolicy()
        self.resources = resources or Resources()
        self.schema = schema
        self.once = once
        self.load_seconds = load_seconds
        #: Streams whose snapshot the loader, which outlives a run, takes for open.
        self.left_open: set[Stream] = set()
        self._running = threading.Lock()
        self._before_run = before_run
        self._after_run = after_run

    @classmethod
    def of(cls, connectors: Connectors, *, once: bool = False) -> Pipeline:
        """Make the pipeline of a resolved document."""
        return cls(
            connectors.name,
            connectors.source,
            connectors.destination,
            loader=connectors.loader,
            transforms=connectors.transforms,
            observers=connectors.observers,
            state=connectors.state,
            load=connectors.load,
            retry=connectors.retry,
            resources=connectors.resources,
            schema=connectors.destination_schema,
            once=once,
            load_seconds=(connectors.source_load, connectors.destination_load),
        )

    def before_run(self) -> None:
        """Called once when a run starts, before anything else."""
        if self._before_run:
            self._before_run()

    def after_run(self) -> None:
        """Called once when a run has ended, however it did."""
        if self._after_run:
            self._after_run()

    def run(self, batch_policy: BatchPolicy | None = None, cancel: Cancel | None = None) -> PipelineResult:
        """Run to the end; raise the typed error, or Cancelled once everything is joined.

        `batch_policy` is used unless the pipeline's own settings name one.
        """
        if not self._running.acquire(blocking=False):
            raise StateError("this pipeline is running", "wait for it to end", pipeline=self.name)
        try:
            return Run(self, batch_policy, cancel).execute()
        finally:
            self._running.release()

    def target(self, stream: Stream) -> Stream:
        """Return where a stream lands at the destination."""
        if self.schema is None:
            return stream
        if isinstance(self.schema, str):
            return Stream(self.schema, stream.name)
        text = self.schema.get(str(stream))
        return Stream.parse(text) if text else stream
