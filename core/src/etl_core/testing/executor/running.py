"""The clauses of an executor about a run's rows, events, result and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from etl_core.engine.documents import run_document
from etl_core.errors import EtlError
from etl_core.events import Event
from etl_core.interfaces import Executor
from etl_core.result import PipelineResult
from etl_core.testing.executor.base import ExecutorClauses, Running
from etl_core.testing.executor.parts import ERRORS, STREAM
from etl_core.testing.verdicts import expect

__all__ = ["RunningClauses"]

_BY_CLOCK = {"throughput", "lag", "observer_overrun"}
#: Rows are refused, and one attempt fails.
_EVENTFUL: Mapping[str, Mapping[str, Any]] = {
    "extract": {"fail_once": True},
    "load": {"on_error": "skip"},
    "destination": {"reject": True},
    "retry": {"attempts": 3, "base": 0, "cap": 0},
}


class RunningClauses(ExecutorClauses):
    """It runs elsewhere as it runs here."""

    def test_a_document_runs_to_its_end(self) -> None:
        """The rows are where they belong, in order and once, and the result says what was done.

        Run the document with `run_document` where it runs, and hand its result back whole.
        """
        run = self.ended(self.document())
        self.expect_exactly(5)
        result = run.result
        assert result is not None
        expect(result.pipeline == self.namespace, "the result is of another pipeline")
        found = (result.counts.records_read, result.counts.records_written)
        expect(found == (5, 5), "the result does not count the rows", read=found[0], written=found[1])
        streams = {name: each.records_written for name, each in result.streams.items()}
        expect(streams == {str(STREAM): 5}, "the result does not count the rows of each stream")
        value = (result.position or {}).get("value")
        expect(value == 5, "the result does not have the last position")
        expect(result.total > 0, "the result does not tell the time taken")

    def test_events_arrive_in_order(self) -> None:
        """Every event is handed on, in order, before `run` returns: run_started first, run_finished last.

        Hand events on as they come, one after another, and return when the last was handed on.
        """
        run = self.ended(self.document(), slowness=0.002)
        expect(not run.called_at_once, "an event was handed on before another had been taken in")
        names = [event.name for event in run.events]
        expect(names[:1] == ["run_started"], "the first event is not run_started", found=names[:1])
        expect(names[-1:] == ["run_finished"], "the last event is not run_finished", found=names[-1:])
        expect(names.count("run_started") == 1, "an event came twice", event="run_started")
        strangers = {event.pipeline for event in run.events} - {self.namespace}
        expect(not strangers, "an event is of another pipeline")
        status = run.events[-1].facts.get("status")
        expect(status == "ok", "run_finished does not tell how it ended", status=status)
        written = sum(event.facts["rows"] for event in run.events if event.name == "batch_written")
        expect(written == 5, "events are missing: batch_written does not tell all rows", rows=written)
        commits = [(each.facts["epoch"], each.facts["n"]) for each in run.events if each.name == "committed"]
        expect(commits, "events are missing", event="committed")
        late = "batch_written" in names[len(names) - names[::-1].index("committed") :]
        expect(not late, "events are not in order: batch_written after the last commit")
        expect(commits == sorted(set(commits)), "commits are not told in order")

    def test_everything_that_is_told_is_handed_back(self) -> None:
        """What a run tells here, it tells there: each kind of event with its facts, and the whole result.

        Hand on events and result as they are; leave out and make up nothing.
        """
        run = self.ended(self.document("", **_EVENTFUL))
        heard: list[Event] = []
        here = run_document(self.document("-here", **_EVENTFUL), events=heard.append)
        missing = _kinds(heard) - _kinds(run.events)
        expect(not missing, "events are missing, or lack facts", events=", ".join(sorted(missing)))
        assert run.result is not None
        found, wanted = run.result.to_json(), here.to_json()
        empty = PipelineResult("").to_json()
        lost = [name for name in empty if wanted[name] != empty[name] == found[name]]
        expect(not lost, "the result lacks what a pipeline tells", missing=", ".join(lost))

    def test_once_is_kept(self) -> None:
        """A document with `once` ends at the source's end as of its start, though the source would go on.

        Hand the document on as it is; `run_document` looks at it.
        """
        run = self.ended({**self.document(extract={"endless": True}), "once": True})
        self.expect_exactly(5)
        expect(run.events[0].facts.get("once") is True, "run_started does not tell that it is once")

    def test_errors_come_as_a_pipeline_raises_them(self) -> None:
        """What a run fails with has the type, message, hint and facts that it has in this process.

        Errors of `etl_core.errors` can be pickled; raise what comes back as it is, without a wrapper.
        """
        documents: dict[str, dict[str, Any]] = {name: {"extract": {"fail": name}} for name in ERRORS}
        documents["rejected rows"] = {"destination": {"reject": True}}
        documents["an unknown setting"] = {"extract": {"nonsense": 1}}
        documents["an unknown connector"] = {"extract": {"use": "no-such-connector"}}
        for case, changed in documents.items():
            document = self.document(**changed)
            with self.running(document) as run:
                run.end(self.patience)
            expect(run.error is not None, "a run that has to fail did not", case=case)
            here = _told(_error_of({**document, "pipeline": f"{self.namespace}-here"}))
            found = _told(run.error)
            for part, value in here.items():
                same = found.get(part) == value
                expect(same, "an error is not what a pipeline raises", case=case, part=part)

    def test_it_runs_again_after_a_failure(self) -> None:
        """After a run that failed the same object runs the next.

        Keep nothing of a run in the object.
        """
        executor: Executor = self.make()
        failing = self.document(extract={"fail": "fatal"})
        first = Running(lambda cancel, events: executor.run(failing, cancel, events))
        first.end(self.patience)
        second = Running(lambda cancel, events: executor.run(self.document(), cancel, events))
        second.end(self.patience)
        expect(second.result is not None, "a run after one that failed does not end well")
        expect(self.rows() == list(range(5)), "a run after one that failed lacks rows")


def _kinds(events: Sequence[Event]) -> set[str]:
    """Return the kinds of events with the names of their facts, those aside that come by the clock."""
    return {f"{each.name} ({', '.join(sorted(each.facts))})" for each in events if each.name not in _BY_CLOCK}


def _error_of(document: Mapping[str, Any]) -> BaseException | None:
    """Return what the document fails with in this process."""
    try:
        run_document(document)
    except Exception as error:  # noqa: BLE001 - whatever it is, the executor has to raise the same
        return error
    return None


def _told(error: BaseException | None) -> dict[str, Any]:
    """Return what an error says, apart from values that differ from run to run."""
    told: dict[str, Any] = {"type": type(error).__name__}
    if isinstance(error, EtlError):
        told |= {"message": error.message, "hint": error.hint, "facts": sorted(error.facts)}
        told["exit code"] = error.exit_code
        told["problems"] = [str(each) for each in getattr(error, "problems", ())]
    return told
