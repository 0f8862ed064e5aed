"""The clauses of an executor about runs that are stopped or killed, and runs beside one another."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

from etl_core.errors import Cancelled, EtlError, StateError
from etl_core.interfaces import Executor
from etl_core.testing.child import Child, say
from etl_core.testing.children import connector_of, spec_of
from etl_core.testing.executor.base import ExecutorClauses
from etl_core.testing.leftovers import Census
from etl_core.testing.verdicts import expect, fail

__all__ = ["StoppingClauses"]

#: A script that is never told to its end before the clause stops the run.
_LONG = {"transactions": 200, "pace": 0.005, "endless": True}
_REST = {"transactions": 200}


def call(spec: Mapping[str, Any]) -> None:
    """Run a document and say each commit."""
    executor: Executor = connector_of(spec)
    executor.run(spec["document"], threading.Event(), lambda event: say(event.name))


def call_dying(spec: Mapping[str, Any]) -> None:
    """Run a document and say whether that failed as a run does."""
    executor: Executor = connector_of(spec)
    try:
        executor.run(spec["document"], threading.Event(), lambda event: None)
    except EtlError:
        say("failed")


class StoppingClauses(ExecutorClauses):
    """What runs elsewhere ends when it should, and resumes."""

    def test_a_cancel_ends_the_run(self) -> None:
        """Asked to stop, the run ends with Cancelled within the grace period and leaves nothing.

        Hand the cancel on to where the pipeline runs; let Cancelled pass, as it is no success.
        """
        self.exercise()  # what a library keeps for the whole process is there after the first use
        census = Census()
        with self.running(self.document(extract=_LONG)) as run:
            run.wait_for("committed", 3, self.patience)
            run.cancel.set()
            run.end(self.grace)
        kind = type(run.error).__name__
        expect(isinstance(run.error, Cancelled), "a cancelled run does not raise Cancelled", error=kind)
        del run
        left = census.left(self.grace)
        expect(not left, "a cancelled run leaves something behind", left=", ".join(left))

    def test_the_run_after_a_cancel_resumes(self) -> None:
        """The run after a cancelled one delivers exactly the rest.

        Wait until the run has really ended before Cancelled is raised; the state is where it says.
        """
        with self.running(self.document(extract=_LONG)) as run:
            run.wait_for("committed", 3, self.patience)
        self.ended(self.document(extract=_REST))
        self.expect_exactly(200)

    def test_the_run_after_a_kill_resumes(self) -> None:
        """When the process that called `run` is killed, the next run elsewhere delivers exactly the rest.

        What runs for a process must end with it, within the grace period, and give its claim back.
        """
        document = self.document(extract=_LONG)
        with Child(call, spec_of(self) | {"document": document}) as child:
            for _ in range(3):
                while child.next() != "committed":
                    pass
            child.kill()
        self._ended_once_free(self.document(extract=_REST))
        self.expect_exactly(200)

    def test_a_pipeline_whose_process_is_killed_has_failed(self) -> None:
        """When the process that a pipeline runs in is killed, `run` raises an error of `etl_core.errors`.

        Watch what runs for you, not only what it tells.
        """
        document = self.document(extract={"die": True})
        with Child(call_dying, spec_of(self) | {"document": document}) as child:
            code = child.ended(self.patience)
            expect(code is not None, "a run whose process was killed goes on", seconds=self.patience)
            if code != -signal.SIGKILL:  # else it runs in the process that called
                expect(child.heard() == "failed", "a run whose process was killed does not fail as one")

    def test_one_pipeline_runs_once_at_a_time(self) -> None:
        """A second run of a pipeline that runs gets a StateError, and the first is not disturbed.

        The state store decides that: run the document as it is, with its name and its state.
        """
        document = self.document(extract=_LONG)
        with self.running(document) as first:
            first.wait_for("committed", 1, self.patience)
            with self.running(self.document(extract=_REST)) as second:
                second.end(self.patience)
            kind = type(second.error).__name__
            expect(isinstance(second.error, StateError), "a second run got no StateError", error=kind)
            first.wait_for("committed", 3, self.patience)
        failed = first.error is not None and not isinstance(first.error, Cancelled)
        expect(not failed, "the first run was disturbed by the second", error=type(first.error).__name__)

    def test_pipelines_run_side_by_side(self) -> None:
        """Two pipelines run at the same time, each with its own rows, events and result.

        `run` is called from several threads: share nothing between calls that is not guarded.
        """
        names = ["-a", "-b"]
        with self.running(self.document("-a", extract=_LONG)) as a:
            a.wait_for("committed", 1, self.patience)
            run = self.ended(self.document("-b"))
            expect(a.result is None and a.error is None, "a pipeline ended with another one")
        results = run.result
        assert results is not None
        expect(results.pipeline == self.namespace + names[1], "the result is of the other pipeline")
        strangers = {event.pipeline for event in run.events} - {self.namespace + names[1]}
        expect(not strangers, "events of one pipeline went to the other")
        expect(self.rows("-b") == list(range(5)), "the rows of one of two pipelines are not complete")

    def _ended_once_free(self, document: Mapping[str, Any]) -> None:
        """Run a document to its end, once the claim of a run that was killed is gone."""
        deadline = time.monotonic() + self.grace
        while True:
            try:
                self.ended(document)
            except StateError:
                if time.monotonic() > deadline:
                    fail("the run of a process that was killed holds its claim", seconds=self.grace)
                time.sleep(0.05)
            else:
                return
