"""Running clauses in worker processes: one that hangs or dies costs its clause, never the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen

from etl_core.errors import PluginError
from etl_core.testing.certify.process import LOADING, Died, Hung, Worker
from etl_core.testing.certify.settings import Given
from etl_core.testing.certify.targets import Target
from etl_core.testing.clauses import FIRST, UNUSABLE, Clause, Outcome
from etl_core.testing.verdicts import Verdict

__all__ = ["Job", "Listed", "jobs_of", "outcomes_of"]

_HUNG = "it did not end in time, and was stopped; run `certify --clause {} --debug` to see where it stands"
_DIED = "the process it ran in ended"
_LEFT_OUT = "the plugin's kit leaves this clause out; keep the one of the plain kit"


@frozen
class Listed(Clause):
    """A clause of a kit; `changed` when the plugin's kit wrote it anew, `left_out` when it removed it."""

    changed: bool = False
    left_out: bool = False


@frozen
class Job:
    """One kit for one target, its clauses, and how to run them."""

    target: Target
    #: Where the plugin's own kit is; None for the plain one.
    kit: str | None
    clauses: tuple[Listed, ...]
    given: Given | None = None
    thorough: bool = False
    #: Seconds a clause may take.
    deadline: float = 300.0

    def request(self, clauses: Sequence[Clause]) -> dict[str, Any]:
        """Return what a worker is asked to do."""
        given = None if self.given is None else (self.given.settings, str(self.given.base))
        return {
            "do": "run",
            "target": self.target.to_json(),
            "kit": self.kit,
            "given": given,
            "only": [clause.name for clause in clauses],
            "thorough": self.thorough,
            "deadline": self.deadline,
        }


def jobs_of(
    targets: Sequence[Target], given: Mapping[Target, Given], worker: Worker, deadline: float
) -> list[Job]:
    """Have a worker load the kits of each target, and return what there is to run.

    Raises PluginError for a kit that cannot be loaded, ConfigError where settings are missing.
    """
    request = {"do": "list", "targets": [(each.to_json(), each in given) for each in targets]}
    try:
        told = list(worker.answers(request, LOADING))
    except (Hung, Died) as error:
        raise PluginError(
            "the process that loads a plugin's conformance kit did not come to its end",
            "run again with --debug to see what it says",
            names=", ".join(sorted({target.name for target in targets})),
            ended=str(error) or "it goes on",
        ) from error
    return [
        Job(
            target := targets[each["target"]],
            each["kit"],
            tuple(Listed(**clause) for clause in each["clauses"]),
            given.get(target),
            deadline=deadline,
        )
        for each in told
    ]


def outcomes_of(
    job: Job, workers: Callable[[], Worker], begin: Callable[[str], None] = lambda name: None
) -> Iterator[Outcome]:
    """Run the clauses of a job in their order; those that its kit leaves out come last, not reached."""
    yield from _tried(job, workers, begin)
    for clause in job.clauses:
        if clause.left_out:
            yield Outcome(clause, Verdict.NOT_REACHED, _LEFT_OUT)


def _tried(job: Job, workers: Callable[[], Worker], begin: Callable[[str], None]) -> Iterator[Outcome]:
    """Run what a job has; a worker that is lost is replaced for the clauses that are left."""
    left: list[Clause] = [clause for clause in job.clauses if not clause.left_out]
    while left:
        reason, seconds = yield from _from_one_worker(job, workers(), left, begin)
        if not left:
            return
        lost = left.pop(0)
        yield Outcome(lost, Verdict.FAIL, reason, seconds)
        if lost.name == FIRST:
            yield from (Outcome(clause, Verdict.NOT_REACHED, UNUSABLE) for clause in left)
            return


def _from_one_worker(
    job: Job, worker: Worker, left: list[Clause], begin: Callable[[str], None]
) -> Generator[Outcome, None, tuple[str, float]]:
    """Take what is told off `left`; return why the first of the others was not told, and its seconds."""
    since, reason = time.monotonic(), _DIED
    with worker:
        try:
            for message in worker.answers(job.request(left), job.deadline):
                since = time.monotonic()
                if message["event"] == "begin":
                    begin(message["name"])
                else:
                    yield _outcome(job, left.pop(0), message)
        except Hung:
            reason = _HUNG.format(left[0].name)
        except Died as error:
            reason = f"{_DIED} ({error})"
    return reason, time.monotonic() - since


def _outcome(job: Job, clause: Clause, message: Mapping[str, Any]) -> Outcome:
    """Return what a worker told; a secret of the settings would have no place in it."""
    reason = message["reason"]
    for secret in job.given.secrets if job.given else ():
        reason = reason.replace(secret, "***")
    return Outcome(clause, Verdict(message["verdict"]), reason, message["seconds"])
