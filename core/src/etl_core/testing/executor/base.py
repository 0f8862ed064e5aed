"""What the clauses of an executor share: documents, and runs that are watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from etl_core.errors import EtlError
from etl_core.events import Event
from etl_core.result import PipelineResult
from etl_core.testing.common import CommonClauses
from etl_core.testing.executor.site import Site
from etl_core.testing.journal import entries
from etl_core.testing.verdicts import expect, fail

__all__ = ["ExecutorClauses", "Running"]


class Running:
    """A run on a thread of its own, with what it told and how it ended."""

    def __init__(
        self, run: Callable[[threading.Event, Callable[[Event], None]], PipelineResult], slowness: float = 0.0
    ) -> None:
        self.cancel = threading.Event()
        #: Whether it was called with an event while it was taking in another.
        self.called_at_once = False
        self._taking_in = threading.Lock()
        self._slowness = slowness
        self.events: list[Event] = []
        self.result: PipelineResult | None = None
        self.error: BaseException | None = None
        self._heard = threading.Condition()
        self._run = run
        self._thread = threading.Thread(target=self._guarded, name="conformance-run", daemon=True)
        self._thread.start()

    def wait_for(self, name: str, count: int, patience: float) -> None:
        """Wait until so many events of a name came; that the run ends before breaks the clause."""
        with self._heard:
            came = self._heard.wait_for(lambda: self._count(name) >= count or not self._goes_on(), patience)
        told = {"event": name, "error": None if self.error is None else type(self.error).__name__}
        expect(came, "an event did not come in time", **told)
        expect(self._count(name) >= count, "the run ended before it told an event", **told)

    def end(self, patience: float) -> None:
        """Wait for the end; a run that goes on breaks the clause."""
        self._thread.join(patience)
        expect(not self._thread.is_alive(), "the run did not end in time", seconds=patience)

    def _goes_on(self) -> bool:
        return self.result is None and self.error is None

    def _count(self, name: str) -> int:
        return sum(event.name == name for event in self.events)

    def _guarded(self) -> None:
        try:
            self.result = self._run(self.cancel, self._hear)
        except BaseException as error:  # noqa: BLE001 - how it ended is looked at by the clause
            self.error = error
        with self._heard:
            self._heard.notify_all()

    def _hear(self, event: Event) -> None:
        if not self._taking_in.acquire(blocking=False):
            self.called_at_once = True
            self._taking_in.acquire()
        try:
            self._take_in(event)
        finally:
            self._taking_in.release()

    def _take_in(self, event: Event) -> None:
        time.sleep(self._slowness)
        with self._heard:
            self.events.append(event)
            self._heard.notify_all()


class ExecutorClauses(CommonClauses):
    """An executor under test."""

    section: ClassVar[str] = "executor"
    #: Seconds that a small pipeline may take here, and wait for room to run.
    patience: ClassVar[float] = 30.0

    _site: Site | None = None

    def setup_method(self) -> None:
        self._site = Site()
        super().setup_method()

    def teardown_method(self) -> None:
        try:
            super().teardown_method()
        finally:
            if self._site is not None:
                self._site.remove()

    def exercise(self) -> None:
        run = self.ended(self.document())
        expect(run.result is not None, "a small pipeline did not run to its end")

    def document(self, suffix: str = "", **changed: Mapping[str, Any]) -> dict[str, Any]:
        """Return a document; its paths are relative, `changed` are settings by section."""
        sections: dict[str, dict[str, Any]] = {
            "extract": {"use": "conformance-script"},
            "load": {"use": "append", "commit": {"max_wait": 0.01}, "batch": {"max_wait": 0.01}},
            "destination": {"use": "conformance-journal", "directory": f"journal{suffix}"},
            "state": {"use": "sqlite", "path": "state/state.db"},
            "retry": {"attempts": 1},
        }
        for name, settings in changed.items():
            sections[name] = {**sections[name], **settings}
        head = {"version": 1, "pipeline": self.namespace + suffix, "base_directory": str(self.directory)}
        return {**head, **sections, "once": False}

    def rows(self, suffix: str = "") -> list[int]:
        """Return the ids of all rows that reached the journal, in order."""
        tables = [entry.rows for entry in entries(self.directory / f"journal{suffix}")]
        return [n for table in tables if table is not None for n in table.column("id").to_pylist()]

    @contextmanager
    def running(self, document: Mapping[str, Any], slowness: float = 0.0) -> Iterator[Running]:
        """Give a run that has begun; it is cancelled when the block ends. Each event takes `slowness`."""
        executor = self.make()
        run = Running(lambda cancel, events: executor.run(document, cancel, events), slowness)
        try:
            yield run
        finally:
            run.cancel.set()
            run.end(self.grace)

    def ended(self, document: Mapping[str, Any], slowness: float = 0.0) -> Running:
        """Run a document to its end; what it raises is raised here."""
        with self.running(document, slowness) as run:
            run.end(self.patience)
        if run.error is not None:
            if isinstance(run.error, EtlError):
                raise run.error
            fail("a run failed", error=type(run.error).__name__)
        return run

    def expect_exactly(self, count: int) -> None:
        """Break the clause unless the journal has every row of a script once and in order."""
        rows = self.rows()
        facts = {"rows": len(rows), "expected": count, "different": len(set(rows))}
        expect(rows == list(range(count)), "not every row arrived once and in order", **facts)
