"""What a run, or a check, ended with. Times are seconds, sizes bytes of Arrow buffers."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import define, field, frozen

__all__ = [
    "CheckResult",
    "DestinationTiming",
    "PipelineCounts",
    "PipelineResult",
    "SourceTiming",
    "StreamCounts",
]


@define
class PipelineCounts:
    """Records and bytes that left the source, and that the destination accepted."""

    records_read: int = 0
    records_written: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


@define
class StreamCounts(PipelineCounts):
    """The same of one stream, and where its reading stands.

    phase: `snapshot` while one is read, else `changes`; snapshot_records: read of the last snapshot that
    began in this run (None: none did); snapshot_estimate: about how many it has (None: not known).
    """

    phase: str = "changes"
    snapshot_records: int | None = None
    snapshot_estimate: int | None = None


@define
class SourceTiming:
    """Where the source's time went.

    load: import and construct; connect, query, fetch, encode: as the connector measured, what it did
    not attribute counts as fetch; emit: waiting for room in the queue.
    """

    total: float = 0.0
    load: float = 0.0
    connect: float = 0.0
    query: float = 0.0
    fetch: float = 0.0
    encode: float = 0.0
    emit: float = 0.0
    emit_count: int = 0


@define
class DestinationTiming:
    """Where the destination's time went.

    load: import and construct; connect: `open`; receive: waiting for batches; decode: `write`;
    flush: `flush`; commit: saving the position in the state store.
    """

    total: float = 0.0
    load: float = 0.0
    connect: float = 0.0
    receive: float = 0.0
    decode: float = 0.0
    flush: float = 0.0
    commit: float = 0.0
    receive_count: int = 0


@define
class PipelineResult:
    """The outcome of one run. `position` is the last durable one as JSON.

    `streams` are the counts of each stream by its text. `lag` is the source's lag as it was measured last
    (a `Lag` as JSON); None when the source has none, could not say,
    or was not asked yet: the first time is two seconds after the start.
    """

    pipeline: str
    counts: PipelineCounts = field(factory=PipelineCounts)
    streams: dict[str, StreamCounts] = field(factory=dict)
    lag: dict[str, Any] | None = None
    source: SourceTiming = field(factory=SourceTiming)
    destination: DestinationTiming = field(factory=DestinationTiming)
    transform_count: int = 0
    transform_load: list[float] = field(factory=list)
    transform_duration: list[float] = field(factory=list)
    load_duration: float = 0.0
    total: float = 0.0
    retries: int = 0
    rejected: int = 0
    position: dict[str, Any] | None = None

    def stream(self, name: str) -> StreamCounts:
        """Return the counts of a stream, made when first asked for; from any thread."""
        return self.streams.get(name) or self.streams.setdefault(name, StreamCounts())

    def to_json(self) -> dict[str, Any]:
        return attrs.asdict(self)


@frozen
class CheckResult:
    """What `check` found: None is well, else the error's text, with its hint."""

    pipeline: str
    source: str | None = None
    destination: str | None = None
    transforms: tuple[str | None, ...] = ()
    state: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def state_ok(self) -> bool:
        return self.state is None

    @property
    def ok(self) -> bool:
        return not any([self.source, self.destination, self.state, *self.transforms])

    def to_json(self) -> dict[str, Any]:
        return {**attrs.asdict(self), "state_ok": self.state_ok, "ok": self.ok}
