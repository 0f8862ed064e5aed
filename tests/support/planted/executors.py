"""Executors with one fault each, on top of the right one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from etl_core import run_document
from etl_core.errors import Cancelled, EtlError
from etl_core.events import Event
from etl_core.interfaces import Cancel, Executor
from etl_core.result import PipelineResult

#: Lets go what the planted faults keep.
STOP = threading.Event()

Hear = Callable[[Event], None]


class Right(Executor):
    def __init__(self, config: object) -> None:
        pass

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        return run_document(document, cancel=cancel, events=events)


class SwallowsCancelled(Right):
    """Takes what was done until the stop for a success."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        try:
            return super().run(document, cancel, events)
        except Cancelled as stop:
            result: PipelineResult = stop.result
            return result


class IgnoresCancel(Right):
    """Does not hand on that the run was asked to stop."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        return super().run(document, STOP, events)


class LosesEvents(Right):
    """Hands on only some kinds of events."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        def some(event: Event) -> None:
            if event.name != "batch_written":
                events(event)

        return super().run(document, cancel, some)


class LosesReads(Right):
    """Hands on what it thinks is of interest."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        names = {"run_started", "run_finished", "batch_written", "committed"}
        return super().run(document, cancel, lambda event: events(event) if event.name in names else None)


class HoldsEventsBack(Right):
    """Hands on what was written when all is over."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        held: list[Event] = []

        def later(event: Event) -> None:
            if event.name == "batch_written":
                held.append(event)
                return
            for each in held if event.name == "run_finished" else ():
                events(each)
            events(event)

        return super().run(document, cancel, later)


class TellsAtOnce(Right):
    """Hands on each event from a thread of its own."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        def beside(event: Event) -> None:
            thread = threading.Thread(target=events, args=(event,))
            thread.start()
            if event.name in {"run_started", "committed", "run_finished"}:
                thread.join()

        return super().run(document, cancel, beside)


class GoesOnForEver(Right):
    """Does not hand on that the run is to end by itself."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        return super().run({**document, "once": False}, cancel, events)


class TellsTheGist(Right):
    """Gives back a part of the result."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        told = super().run(document, cancel, events)
        return PipelineResult(
            told.pipeline, told.counts, told.streams, total=told.total, position=told.position
        )


class PrintsTheDocument(Right):
    """Prints what it runs."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        print(json.dumps(dict(document)))
        return super().run(document, cancel, events)


class LeavesTheDocument(Right):
    """Writes what it runs into a file that nobody removes."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        handle, _ = tempfile.mkstemp()
        with os.fdopen(handle, "w") as file:
            json.dump(dict(document), file)
        return super().run(document, cancel, events)


class ShowsTheDocument(Right):
    """Has what it runs in a file that anybody can read while it runs."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump(dict(document), file)
            file.flush()
            Path(file.name).chmod(0o644)
            return super().run(document, cancel, events)


class CallsWithTheDocument(Right):
    """Gives what it runs to a process on its command line."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        command = [sys.executable, "-c", "input()", json.dumps(dict(document))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            try:
                return super().run(document, cancel, events)
            finally:
                process.kill()


class WrapsErrors(Right):
    """Turns every error into one of its own."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        try:
            return super().run(document, cancel, events)
        except EtlError as error:
            raise RuntimeError(str(error)) from error


class TellsNothing(Right):
    """Gives back an empty result."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        return PipelineResult(super().run(document, cancel, events).pipeline)


class LeavesThreads(Right):
    """Starts a thread per run and forgets it."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        threading.Thread(target=STOP.wait, name="forgotten", daemon=True).start()
        return super().run(document, cancel, events)


class BreaksForGood(Right):
    """Is of no use any more after a failure."""

    failed = False

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        if self.failed:
            raise EtlError("a run failed before")
        try:
            return super().run(document, cancel, events)
        except Exception:
            self.failed = True
            raise


class KeepsStateElsewhere(Right):
    """Runs with a state of its own."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        return super().run({**document, "state": {"use": "memory"}}, cancel, events)


_one = threading.Lock()


class WaitsForTheDead(Right):
    """Runs in a process of its own, and waits for a word of its end only."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        code = f"from {__name__} import outlive; outlive()"
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as process:
            process.communicate(json.dumps(dict(document)) + "\n")
        STOP.wait()
        raise EtlError("the process ended")


class OneAtATime(Right):
    """Lets a pipeline wait for another one to end."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        with _one:
            return super().run(document, cancel, events)


class ForgetsTheBase(Right):
    """Runs documents from where the process was started."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        return super().run({**document, "base_directory": "."}, cancel, events)


class OutlivesItsCaller(Right):
    """Makes the first run in a process that goes on when the one that called for it is killed."""

    def run(self, document: Mapping[str, Any], cancel: Cancel, events: Hear) -> PipelineResult:
        if (Path(document["base_directory"]) / "state").exists():
            return super().run(document, cancel, events)
        code = f"from {__name__} import outlive; outlive()"
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(document) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                events(Event(line.strip(), document["pipeline"], 0.0))
        raise EtlError("the process ended")


class _Removed(threading.Event):
    """Set once the directory of the clause is gone."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def is_set(self) -> bool:
        return not self._directory.exists()

    def wait(self, timeout: float | None = None) -> bool:
        deadline = time.monotonic() + (timeout or 0.0)
        while not self.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.is_set()


def outlive() -> None:
    document = json.loads(sys.stdin.readline())
    cancel = _Removed(Path(document["base_directory"]))
    run_document(document, cancel=cancel, events=lambda event: print(event.name, flush=True))
