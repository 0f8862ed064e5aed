"""Observers that break one promise each, beside right ones."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, TextIO, cast

import pyarrow as pa
from support.planted.observer_settings import LinesConfig

from etl_core.events import EVENTS, Event
from etl_core.interfaces import Observer
from etl_core.model import Batch, Stream

ALL = frozenset({"source", "transform", "load"})


class Lines(Observer):
    """Right: a line for each event, counts of batches and payloads."""

    stages: ClassVar[frozenset[str]] = ALL
    payloads: ClassVar[bool] = True

    def __init__(self, config: LinesConfig) -> None:
        self._path = config.path
        self._file: TextIO | None = None
        self._counts: Counter[str] = Counter()

    def on_event(self, event: Event) -> None:
        self._file = self._file or self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps(event.to_json(), default=str) + "\n")

    def on_batch(self, stage: str, batch: Batch) -> None:
        self._counts[stage] += batch.rows.num_rows if batch.rows is not None else 0

    def on_payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        self._counts["payloads"] += sum(memoryview(buffer).nbytes for buffer in buffers)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Counts(Observer):
    """What the wrong ones begin with: counts events by name."""

    def __init__(self, config: LinesConfig) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()

    def on_event(self, event: Event) -> None:
        self.counts[event.name] += 1


class KnowsAllEvents(Counts):
    def on_event(self, event: Event) -> None:
        if event.name not in EVENTS:
            raise KeyError(event.name)


class ExpectsEveryFact(Counts):
    def on_event(self, event: Event) -> None:
        if event.name == "lag":
            self.counts["bytes"] += event.facts["bytes"]


class NeedsTheBeginning(Counts):
    def on_event(self, event: Event) -> None:
        if event.name == "run_started":
            self._began = event.at
        if event.name == "run_finished":
            self.counts["seconds"] += int(event.at - self._began)


class WritesIntoBatches(Counts):
    stages: ClassVar[frozenset[str]] = frozenset({"load"})

    def on_batch(self, stage: str, batch: Batch) -> None:
        if batch.rows is not None and "_etl_commit_ts" in batch.rows.schema.names:
            column = batch.rows.column("_etl_commit_ts")
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                ctypes.memset(chunk.buffers()[1].address, 0, chunk.buffers()[1].size)


class LooksAtTheFirstRow(Counts):
    stages: ClassVar[frozenset[str]] = frozenset({"source"})

    def on_batch(self, stage: str, batch: Batch) -> None:
        if batch.rows is not None:
            batch.rows.column(0)[0]


class AsksForNoSuchStage(Counts):
    stages: ClassVar[frozenset[str]] = frozenset({"destination"})


class KnowsOneFormat(Counts):
    payloads: ClassVar[bool] = True

    def on_payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        self.counts[{"json": "text", "protobuf": "binary"}[format]] += len(buffers)


class WritesIntoPayloads(Counts):
    payloads: ClassVar[bool] = True

    def on_payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        for buffer in buffers:
            if isinstance(buffer, bytearray):
                buffer[:] = bytes(len(buffer))


class SharesWhatItOpens(Counts):
    """All instances write through one file, which whoever is closed first closes."""

    _shared: ClassVar[TextIO | None] = None

    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        self._file: TextIO | None = None

    def on_event(self, event: Event) -> None:
        shared = SharesWhatItOpens._shared
        if self._file is None:
            if shared is None or shared.closed:
                shared = self.config.path.open("a", encoding="utf-8")
            self._file = SharesWhatItOpens._shared = shared
        self._file.write(event.name)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class WantsToBeAskedOnce(Counts):
    """Fails the run's own thread, which asks for its stages."""

    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        self._asked = 0

    @property
    def stages(self) -> frozenset[str]:  # type: ignore[override]
        self._asked += 1
        if self._asked > 20:
            raise RuntimeError("asked too often")
        return frozenset()


class SendsAllWhenItCloses(Counts):
    """Never gives up what it did not send."""

    def close(self) -> None:
        if sum(self.counts.values()) > 1000:
            threading.Event().wait(30)


class LeavesAThread(Counts):
    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start()


class LeavesAThreadWhereItCannotWrite(Counts):
    def on_event(self, event: Event) -> None:
        if not self.config.path.parent.is_dir() and not self.counts["tried"]:
            self.counts["tried"] += 1
            threading.Thread(target=threading.Event().wait, args=(30,), daemon=True).start()


class OpensWhenMade(Counts):
    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        config.path.open("a", encoding="utf-8").close()


class KeepsItsThreadWhenCallsRaise(Counts):
    """Ends its thread when it is closed after `run_finished`, which it may never hear."""

    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def on_event(self, event: Event) -> None:
        if event.name == "run_started" and self._thread is None:
            self._thread = threading.Thread(target=self._end.wait, args=(30,), daemon=True)
            self._thread.start()
        if event.name == "run_finished":
            self._end.set()


class KeepsEvents(Counts):
    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        self.lines: list[str] = []

    def on_event(self, event: Event) -> None:
        self.lines.append(json.dumps(event.to_json(), default=str))


class KeepsBatches(Counts):
    stages: ClassVar[frozenset[str]] = frozenset({"load"})

    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        self.slices: list[Any] = []

    def on_batch(self, stage: str, batch: Batch) -> None:
        if batch.rows is not None:
            self.slices.append(batch.rows.slice(0, 1))


class KeepsPayloads(Counts):
    payloads: ClassVar[bool] = True

    def __init__(self, config: LinesConfig) -> None:
        super().__init__(config)
        self.buffers: list[Any] = []

    def on_payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        self.buffers += buffers


class TidiesFacts(Counts):
    """Changes what every observer after it hears."""

    def on_event(self, event: Event) -> None:
        facts = cast("dict[str, Any]", event.facts)
        facts["rows"] = facts.pop("rows", 0)


class TidiesFactsWithin(Counts):
    def on_event(self, event: Event) -> None:
        for facts in event.facts.get("streams", {}).values():
            facts.clear()


class GoesElsewhere(Counts):
    def on_event(self, event: Event) -> None:
        os.chdir("/")


class SetsForEverybody(Counts):
    def on_event(self, event: Event) -> None:
        socket.setdefaulttimeout(5)
        logging.disable(logging.DEBUG)
        os.environ["TZ"] = "Asia/Tokyo"

    def close(self) -> None:
        socket.setdefaulttimeout(None)
