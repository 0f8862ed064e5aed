"""The one invariant, in one place.

Rejects of writes durable -> flush(position) -> rejects it returned durable -> state.save -> source.ack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from etl_core.engine import failpoints
from etl_core.engine.deadletters import to_letters
from etl_core.engine.stages import stage
from etl_core.errors import RejectedRowsError
from etl_core.interfaces import Destination

if TYPE_CHECKING:
    from etl_core.engine.observing import ObserverHub
    from etl_core.interfaces import Source, StateStore
    from etl_core.model import Position, Rejected, Stream
    from etl_core.result import PipelineResult

__all__ = ["Committer", "is_pipelined"]


def is_pipelined(destination: Destination) -> bool:
    """Say whether a destination has the optional pair `mark` and `durable`."""
    kind = type(destination)
    return kind.mark is not Destination.mark and kind.durable is not Destination.durable


class Committer:
    """Makes positions durable, in order, for one attempt."""

    def __init__(
        self,
        *,
        pipeline: str,
        fence: str,
        source: Source,
        destination: Destination,
        state: StateStore,
        hub: ObserverHub,
        result: PipelineResult,
        on_error: str,
        resume: Position,
        on_progress: Callable[[Position], None],
        source_of: Callable[[Stream], Stream] = lambda target: target,
    ) -> None:
        self._pipeline = pipeline
        self._fence = fence
        self._source = source
        self._destination = destination
        self._state = state
        self._hub = hub
        self._result = result
        self._on_error = on_error
        self._epoch = resume.epoch
        self._on_progress = on_progress
        self._source_of = source_of
        self._pipelined = is_pipelined(destination)
        self._marked: Position | None = None
        #: The last position that is durable and saved.
        self.durable = resume

    @property
    def outstanding(self) -> bool:
        """Whether a mark is not durable yet."""
        return self._marked is not None and self.durable.order < self._marked.order

    def refuse(self, rejected: Sequence[Rejected] | None) -> None:
        """Count rejected rows and keep, skip or raise, as `on_error` says."""
        for group in rejected or ():
            if not group.rows.num_rows:
                continue
            self._result.rejected += group.rows.num_rows
            self._hub.emit(
                "rows_rejected",
                stream=str(group.stream),
                rows=group.rows.num_rows,
                code=group.code,
                stage=group.stage,
            )
            if self._on_error == "fail":
                raise RejectedRowsError(
                    "rows were rejected",
                    "mend the rows, or set load.on_error to dead-letter or skip",
                    stream=str(group.stream),
                    rows=group.rows.num_rows,
                    code=group.code,
                    column=group.column,
                    stage=group.stage,
                )
        if rejected and self._on_error == "dead-letter":
            letters = to_letters(self._pipeline, self._epoch, rejected, time.time())
            with stage("state"):
                self._state.add_dead_letters(self._fence, letters)

    def commit(self, position: Position) -> None:
        """Make everything written so far durable with `position`, or mark it so."""
        failpoints.hit("before_flush")
        if self._pipelined:
            with stage("destination"):
                self._destination.mark(position)
            self._marked = position
            self.poll()
        else:
            self._flush(position)

    def poll(self) -> None:
        """Take over what a pipelined destination made durable meanwhile."""
        if not self.outstanding:
            return
        with stage("destination"):
            done = self._destination.durable()
        if done is not None:
            self._refuse_late(done[1])
            self._saved(done[0])

    def drain(self) -> None:
        """Wait until the last mark of a pipelined destination is durable."""
        if self._marked is not None:
            self._flush(self._marked)
            self._marked = None

    def _flush(self, position: Position) -> None:
        started = time.perf_counter()
        with stage("destination"):
            rejected = self._destination.flush(position)
        self._result.destination.flush += time.perf_counter() - started
        self._refuse_late(rejected)
        self._saved(position)

    def _refuse_late(self, rejected: Sequence[Rejected] | None) -> None:
        """Refuse rows that the destination tells of under the streams that it knows: its targets."""
        self.refuse([attrs.evolve(each, stream=self._source_of(each.stream)) for each in rejected or ()])

    def _saved(self, position: Position) -> None:
        failpoints.hit("after_flush")
        started = time.perf_counter()
        with stage("state"):
            self._state.save(self._fence, position)
        self._result.destination.commit += time.perf_counter() - started
        self.durable = position
        failpoints.hit("after_save")
        with stage("source"):
            self._source.ack(position.value)
        self._result.position = position.to_json()
        self._on_progress(position)
        self._hub.emit("committed", epoch=position.epoch, n=position.n)
