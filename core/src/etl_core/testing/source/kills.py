"""Clauses about a process that is killed: what was durable stays, what was not comes again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from etl_core.config import CommitPolicy, Duration, LoadSettings, Size
from etl_core.engine.failpoints import FAILPOINTS
from etl_core.engine.pipeline import Pipeline
from etl_core.interfaces import Source
from etl_core.model import Batch, Kind, Step
from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore
from etl_core.testing.children import connector_of, run_part, spec_of
from etl_core.testing.journal import Journal, LooseJournal, entries
from etl_core.testing.source.base import History, SourceKit
from etl_core.testing.source.enduring import once, repeated
from etl_core.testing.verdicts import expect, not_reached, skip

__all__ = ["KillClauses", "killed_run"]

#: Every commit is made as soon as there is a position for it.
_EAGER = LoadSettings(commit=CommitPolicy(max_bytes=Size(1), max_wait=Duration(0.0)))
_STEPS = {Step.BEGIN: Kind.SNAPSHOT_BEGIN, Step.END: Kind.SNAPSHOT_END}


@frozen
class Trial:
    """A run that is killed at a place; with `follows` it is the second, after some changes."""

    place: str
    follows: bool


class KillClauses(SourceKit):
    """A pipeline of this source that is killed and started again ends as if it had not been."""

    def test_a_kill_loses_and_repeats_nothing(self) -> None:
        """Killed anywhere, and run again into a destination that keeps its position, all is there once.

        Let positions cover exactly what was yielded, and keep nothing a run needs in memory alone.
        """
        history = self._resumable()
        snapshot = any(batch.kind is Kind.SNAPSHOT_BEGIN for batch in history.batches)
        first = Trial("snapshot" if snapshot else "after_write", follows=False)
        trials = [first, Trial("after_flush", follows=self.can_change)]
        killed = sum([self._tried(trial, loose=False) for trial in self._trials(trials)])
        if killed < len(trials):
            not_reached("no place was passed where to kill it: give the source more rows", killed=killed)

    def test_what_a_kill_repeats_can_be_known(self) -> None:
        """Killed before a position is saved, nothing is lost, and what comes twice has the same `_etl_seq`.

        Make `_etl_seq` of what the system itself orders changes by, not of when or how they are read.
        """
        self._resumable()
        # The epoch of sequences is that of the saved position: there must be one before the kill.
        place = "after_flush" if self.can_change else "after_flush:2"
        trials = [Trial(place, follows=self.can_change)]
        killed = sum([self._tried(trial, loose=True) for trial in self._trials(trials)])
        if not killed:
            not_reached("it was never killed: give the source rows enough for two positions")

    def _resumable(self) -> History:
        history = self.history(changes=0)
        if not history.places:
            skip("it emits no position: every run reads everything")
        return history

    def _trials(self, sample: Sequence[Trial]) -> Sequence[Trial]:
        """Return the sample; of all places where `thorough`, each once."""
        if not self.thorough:
            return sample
        every = [Trial(f"{place}:2", follows=False) for place in FAILPOINTS]
        every += [Trial(place, follows=True) for place in FAILPOINTS if self.can_change]
        return [*sample, *(trial for trial in every if trial not in sample)]

    def _tried(self, trial: Trial, *, loose: bool) -> bool:
        """Run, be killed, run again; say whether it was killed. Breaks the clause unless all is there."""
        home = self.directory / f"{trial.place.replace(':', '-')}-{trial.follows}-{loose}"
        if trial.follows:
            self._run(home, loose=loose)
            self.change()
            self.change()
        argument = {"spec": spec_of(self), "home": str(home), "loose": loose}
        ended = run_part(killed_run, argument, kill_at=trial.place, deadline=2 * self.deadline)
        if not ended:
            self._run(home, loose=loose)
        self._compare(home, {"killed_at": trial.place}, loose=loose)
        return not ended

    def _run(self, home: Path, *, loose: bool) -> None:
        _run(self.make(), self.namespace, home, loose=loose)

    def _compare(self, home: Path, where: Mapping[str, Any], *, loose: bool) -> None:
        with self.source() as source:
            with self.context() as ctx:
                streams = {info.stream: info for info in source.streams(ctx)}
            wanted = self.read(source, None, self.latest(source)).batches
        found = list(_batches(home / "journal"))
        if not loose:
            twice = sum(repeated(found).values())
            expect(not twice, "rows came twice after a kill", rows=twice, **where)
        once(wanted, found, streams, loose=loose, **where)


def killed_run(argument: Mapping[str, Any]) -> None:
    """Run a pipeline of the source once; the environment says where the process dies."""
    spec = argument["spec"]
    _run(connector_of(spec), spec["namespace"], Path(argument["home"]), loose=argument["loose"])


def _run(source: Source, name: str, home: Path, *, loose: bool) -> None:
    journal = (LooseJournal if loose else Journal)(home / "journal")
    state = SqliteStore(SqliteConfig(path=home / "state.db"))
    try:
        Pipeline(name, source, journal, state=state, load=_EAGER, once=True).run()
    finally:
        state.close()


def _batches(journal: Path) -> Iterator[Batch]:
    """Yield what is durable as a source would."""
    for entry in entries(journal):
        if entry.rows is not None:
            yield Batch(Kind.ROWS, entry.stream, entry.rows, seq=entry.seq)
        elif entry.step in _STEPS:
            yield Batch(_STEPS[entry.step], entry.stream, seq=entry.seq)
