"""The contracts a connector implements: abstract classes with working defaults.

Connectors are synchronous. The engine owns the threads: `Source.read` is iterated on one thread, and
every method of transforms, loader and destination is called on another, one call at a time. Methods
that other threads may call say so. Any method may raise an error of `etl_core.errors`; any other
exception stops the pipeline.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from attrs import frozen

from etl_core.errors import ConfigError
from etl_core.model import Delivery, Mode

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    import pyarrow as pa

    from etl_core.events import Event
    from etl_core.model import (
        Batch,
        Change,
        Lag,
        Position,
        Rejected,
        Stream,
        StreamInfo,
        TableSchema,
        Transformed,
        Write,
    )
    from etl_core.result import PipelineResult

__all__ = [
    "Cancel",
    "Context",
    "DeadLetter",
    "Destination",
    "Executor",
    "Loader",
    "Metrics",
    "Observer",
    "Runner",
    "Saved",
    "Source",
    "StateStore",
    "Transform",
]


class Cancel(Protocol):
    """Says whether the run was asked to stop; `threading.Event` is one."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Metrics(Protocol):
    """Where a connector counts; names use dots and units, labels are low-cardinality."""

    def count(self, name: str, value: float = 1, **labels: str) -> None: ...

    def gauge(self, name: str, value: float, **labels: str) -> None: ...


class Context(Protocol):
    """What a connector is handed for one run. Its methods may be called from any thread."""

    pipeline: str
    """The pipeline's name; unique per state store."""
    epoch: int
    """The epoch that goes into `_etl_seq` of what a source yields in this `read`.

    A destination takes the epoch from the sequences of its rows: it is opened before this one is raised.
    """
    cancel: Cancel
    logger: Any
    """A loguru logger bound to pipeline and connector."""
    metrics: Metrics
    spill: Path
    """Directory for what does not fit into memory; make it when it is needed, leave nothing in it."""
    poll_interval: float
    """Seconds within which a source yields (None when idle) and looks at `cancel`."""

    def spawn(self, target: Callable[..., object], *args: Any, name: str = "") -> threading.Thread:
        """Start a thread that the engine joins; an exception in it fails the run."""

    def on_cancel(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Run `callback` from another thread on cancel (at once if it was); returns its removal."""

    def payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        """Offer encoded records that are about to be sent; free when no observer asked."""

    def reject(self, indices: Iterable[int], code: str, column: str | None = None) -> None:
        """Reject rows of the batch just handed over; they must be absent from the output."""

    def measure(self, phase: str) -> AbstractContextManager[None]:
        """Time a block under a field of the result: `connect`, `query`, `fetch`, `encode`."""


class Source(ABC):
    """Reads a system from a resume position."""

    def check(self, ctx: Context) -> None:
        """Verify connection, privileges and settings; raise what is wrong. Changes nothing."""

    @abstractmethod
    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        """List the streams as they are now."""

    @abstractmethod
    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        """Yield batches from `resume` (a position value, None: the beginning) to `until` (None: for ever).

        `resume` is durable: what lies before it will not be asked for again.

        Yields None when idle and something at least every `ctx.poll_interval`. Ends by itself when
        everything up to `until`, or a finite source's end, was yielded. Resuming from any value it
        yielded gives exactly the rest. May be called again on the same object after a failure, when the
        iterator was closed. Raises PositionLostError if it cannot serve exactly `resume`.
        """

    def latest(self, ctx: Context) -> Any:
        """Return the system's end as of now as `until` takes it; None: the read is finite by itself."""
        return None

    def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
        """Return up to `n` rows of a stream, without side effects."""
        raise ConfigError("this source cannot be sampled", stream=str(stream))

    def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
        """Return a position value equal to `value` but for `streams`, which start with a new snapshot."""
        raise ConfigError("this source cannot take a snapshot again", "use on_rewrite: fail")

    def ack(self, value: Any) -> None:
        """Everything up to `value` is durable. Any thread; never blocks; values only advance."""

    def lag(self, ctx: Context, value: Any) -> Lag | None:
        """Say how far the system is ahead of a durable position value (None: nothing is durable yet).

        Called every few seconds on a thread of its own while a run goes on, one call at a time, and for
        `status` without a run; what it raises fails neither. It is interrupted by `ctx.on_cancel`, and what
        it keeps open is released by `close`. None: this source has no lag, and is not asked again.
        """
        return None

    def teardown(self, ctx: Context) -> Sequence[str]:
        """Remove what the source created in its system; return what was removed, for people to read."""
        return ()

    def close(self) -> None:
        """Release everything. Called once, also after failures."""


class Transform(ABC):
    """Rows in, rows out; sees neither positions nor reserved columns."""

    def open(self, ctx: Context) -> None:
        """Prepare for a run."""

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        """Return the schema of the output for an input schema; also called by `check`, before `open`."""
        return schema

    def inputs(self, stream: Stream) -> Mapping[str | None, Sequence[str]] | None:
        """Return the lineage: output column -> input columns; None -> those that decide on a row.

        Columns not named pass through untouched. Returning None declares nothing.
        """
        return None

    #: Whether key columns may be changed; then `apply` is also given key-only rows to map.
    maps_keys: ClassVar[bool] = False

    @abstractmethod
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        """Return the new rows. A plain batch has one row per input row, in order (less rejected ones)."""

    def close(self) -> None:
        """Release everything."""


class Loader(ABC):
    """A write disposition: pure Arrow, no I/O."""

    #: The modes a destination must have.
    needs: ClassVar[frozenset[Mode]]
    #: Whether every run starts with a new snapshot, at a new epoch, and changes are not taken.
    snapshot_only: ClassVar[bool] = False

    @abstractmethod
    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        """Return the table for a stream (reserved columns are not in `schema`).

        The source's key is in the schema's metadata: `etl_core.schema.key_of`. Called before the first
        `plan` of a stream in a run and again after each schema change.
        Raises ConfigError or SchemaError when the stream cannot be loaded so.
        """

    @abstractmethod
    def plan(self, batch: Batch) -> Iterable[Write]:
        """Turn a batch (rows with reserved columns, a snapshot marker or a truncate) into writes."""


class Destination(ABC):
    """Where rows go, and how durable they are."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})
    #: Stores position and data together; commits nothing before `flush`.
    keeps_position: ClassVar[bool] = False
    #: Takes writes with a `step`, whose rows appear together at END. REPLACE requires it.
    stages: ClassVar[bool] = False
    #: `ensure` is part of the open transaction: no flush is needed before a schema change.
    transactional_ddl: ClassVar[bool] = False

    def delivery(self, mode: Mode) -> Delivery:
        """Return what is promised for a mode when the source's sequences are stable."""
        return Delivery.EXACTLY_ONCE if self.keeps_position else Delivery.AT_LEAST_ONCE

    def check(self, ctx: Context) -> None:
        """Verify connection, privileges and settings; raise what is wrong. Changes nothing."""

    def open(self, ctx: Context, fence: str) -> None:
        """Connect; where possible write `fence`, so that every later commit can require it.

        Called again after `close` on the same object when a run is retried.
        """

    def saved(self, position: Position | None) -> None:
        """Learn after `open` which position is saved (None: none): a run goes on from there.

        Of what was made durable with a later one before, it is not known that it came.
        """

    def fold(self, identifier: str) -> str:
        """Return the form in which two identifiers of this system are the same."""
        return identifier

    def stored(self, type: pa.DataType) -> pa.DataType:
        """Return the type as which `table` reports a column of `type`; SchemaError if it cannot be kept."""
        return type

    def table(self, stream: Stream) -> TableSchema | None:
        """Return the table that is there now (control columns may be among `columns`), or None."""
        return None

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        """Make the table as `table` says: create it, or apply `changes` in order. Between writes.

        Does nothing when `table.seq` is not above the one kept with the table.
        """

    @abstractmethod
    def write(self, write: Write) -> Sequence[Rejected] | None:
        """Accept a unit of work; return the rows that were refused. Accepted is not durable."""

    @abstractmethod
    def flush(self, position: Position) -> Sequence[Rejected] | None:
        """Make everything accepted durable, with `position`; block until it is. Return refused rows."""

    def mark(self, position: Position) -> None:
        """End a group of writes at `position`; never blocks.

        Optional, with `durable`, for pipelined destinations. One that overrides both gets `mark` where
        another gets `flush`, and one `flush` when the pipeline drains.
        """
        raise NotImplementedError

    def durable(self) -> tuple[Position, Sequence[Rejected] | None] | None:
        """Return the last mark that became durable since the last call; never blocks; monotone."""
        raise NotImplementedError

    def abort(self) -> None:
        """Forget what was accepted and is not durable."""

    def resume_position(self) -> Position | None:
        """Return the position kept with the data; only called where `keeps_position`."""
        return None

    def set_position(self, position: Position | None) -> None:
        """Overwrite (None: clear) the position kept with the data; for reset and restore."""

    def close(self) -> None:
        """Release everything; what is not durable is forgotten."""


class Observer(ABC):
    """Receives events on a thread of its own; can neither fail nor stall a pipeline."""

    #: Stages whose batches `on_batch` wants: `source`, `transform`, `load`.
    stages: ClassVar[frozenset[str]] = frozenset()
    #: Whether `on_payload` is wanted.
    payloads: ClassVar[bool] = False

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """Take an event."""

    def on_batch(self, stage: str, batch: Batch) -> None:
        """Take a batch of a stage named in `stages`."""

    def on_payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        """Take encoded records a destination is about to send."""

    def close(self) -> None:
        """Release everything; called after the last event."""


@frozen
class Saved:
    """One entry of a pipeline's history: a position and when (Unix seconds) it was saved."""

    position: Position
    at: float


@frozen
class DeadLetter:
    """A rejected row as kept: identified by (pipeline, epoch, stream, seq, stage).

    `row` is the row as a one-row Arrow IPC stream; `seq` is 40 hex digits, or for a source without
    sequences a hash of the row.
    """

    pipeline: str
    epoch: int
    stream: Stream
    seq: str
    stage: str
    code: str
    column: str | None
    row: bytes
    at: float


class StateStore(ABC):
    """The durable record per pipeline: claim, position, history, dead letters.

    A claim is kept alive by the store itself, through a lock that dies with its holder or a lease it
    renews. Methods may be called from any thread, one call at a time per pipeline.
    """

    def check(self) -> None:
        """Write something and roll it back; raise what is wrong."""

    @abstractmethod
    def claim(self, pipeline: str) -> str:
        """Make this process the one that runs `pipeline`; return the fence, unique and opaque.

        Raises StateError that says who holds it.
        """

    @abstractmethod
    def load(self, pipeline: str) -> Position | None:
        """Return the last saved position."""

    @abstractmethod
    def save(self, fence: str, position: Position) -> None:
        """Make a position durable; saving what is stored succeeds. StateError if the fence is lost."""

    @abstractmethod
    def history(self, pipeline: str, limit: int = 100) -> Sequence[Saved]:
        """Return saved positions, newest first. Bounded by the store."""

    @abstractmethod
    def release(self, fence: str) -> None:
        """Give the claim back; harmless when it is lost."""

    @abstractmethod
    def clear(self, fence: str) -> None:
        """Forget position, history and note of the claimed pipeline; dead letters stay."""

    @abstractmethod
    def pipelines(self) -> Sequence[str]:
        """List the pipelines known here."""

    @abstractmethod
    def holder(self, pipeline: str) -> str | None:
        """Say who holds the claim, for people to read; None when it is free."""

    def note(self, fence: str, note: Mapping[str, Any]) -> None:
        """Keep what a run measured (JSON), in place of its last note, for `status` to show.

        Unlike the other methods it may be called beside another call for the same pipeline. It need not be
        durable; by default nothing is kept. StateError if the fence is lost.
        """

    def noted(self, pipeline: str) -> Mapping[str, Any] | None:
        """Return the last note of a run of this pipeline; None when there is none."""
        return None

    @abstractmethod
    def add_dead_letters(self, fence: str, letters: Sequence[DeadLetter]) -> None:
        """Make rejected rows durable; those already there are left as they are.

        Raises StateError when the store's bound would be passed: nothing is dropped in silence.
        """

    @abstractmethod
    def dead_letters(self, pipeline: str, limit: int = 100) -> Sequence[DeadLetter]:
        """Return dead letters, oldest first."""

    def close(self) -> None:
        """Release everything."""


class Executor(ABC):
    """Where a pipeline runs."""

    @abstractmethod
    def run(
        self, document: Mapping[str, Any], cancel: Cancel, events: Callable[[Event], None]
    ) -> PipelineResult:
        """Run the serialisable document to its end; hand on its events; raise as a pipeline does."""


class Runner(Protocol):
    """Anything a manager can run; a Pipeline is one."""

    name: str

    def run(self, batch_policy: Any = None, cancel: Cancel | None = None) -> PipelineResult: ...
