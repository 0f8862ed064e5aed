"""What `certify` prints: a table per kit, what to do below it, and the sum; or JSON."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click
from attrs import define, field

from etl_core.testing.certify.supervising import Job
from etl_core.testing.clauses import Outcome
from etl_core.testing.verdicts import Verdict

__all__ = ["Report", "certified", "summary", "to_json"]

_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.SKIP: "yellow", Verdict.NOT_REACHED: "red"}
_CHANGED = "as the plugin's own kit has written it"
#: What is left for the last column at least, on a terminal.
_NARROWEST = 30


@define
class Report:
    """Prints the table of one job as its clauses end."""

    job: Job
    outcomes: list[Outcome] = field(factory=list)

    def begin(self) -> None:
        own = f", by {self.job.kit}" if self.job.kit else ""
        click.echo(click.style(str(self.job.target), bold=True) + own)
        click.echo(click.style(self._line("CLAUSE", "VERDICT", "SECONDS", "WHAT IT SAYS"), bold=True))

    def take(self, outcome: Outcome) -> None:
        """Keep how a clause ended, and print it."""
        self.outcomes.append(outcome)
        said = _said(self.job, outcome)
        first, *rest = _wrapped(said, len(self._line("", "", "", "|")) - 1)
        cells = self._line(outcome.clause.name, outcome.verdict, f"{outcome.seconds:.1f}", first)
        colour = _COLOURS[outcome.verdict]
        click.echo(cells.replace(outcome.verdict, click.style(outcome.verdict, fg=colour), 1))
        for line in rest:
            click.echo(self._line("", "", "", line))

    def end(self) -> None:
        """Print what to do about the clauses that were not kept, and what the others need to be tried."""
        click.echo()
        for outcome in self.outcomes:
            if outcome.verdict is Verdict.FAIL:
                _print_block(_failed(outcome))
        missing: dict[str, list[str]] = defaultdict(list)
        for outcome in self.outcomes:
            if outcome.verdict is Verdict.NOT_REACHED:
                missing[outcome.reason].append(outcome.clause.name)
        for reason, names in missing.items():
            _print_block([f"NOT REACHED: {reason}", f"  clauses: {', '.join(names)}"])

    def _line(self, name: str, verdict: str, seconds: str, said: str) -> str:
        width = max(len(clause.name) for clause in self.job.clauses)
        return f"{name:<{width}}  {verdict:<11}  {seconds:>7}  {said}".rstrip()


def _said(job: Job, outcome: Outcome) -> str:
    changed = {clause.name for clause in job.clauses if clause.changed}
    parts = (outcome.reason, _CHANGED if outcome.clause.name in changed else "")
    return "; ".join(part for part in parts if part)


def _wrapped(text: str, indent: int) -> list[str]:
    """Cut a text to the terminal's width; where there is none, it stays one line."""
    if not sys.stdout.isatty():
        return [" ".join(text.split())]
    width = max(shutil.get_terminal_size().columns - indent, _NARROWEST)
    return textwrap.wrap(text, width) or [""]


def _failed(outcome: Outcome) -> Iterator[str]:
    yield f"FAIL: {outcome.clause.name}"
    yield f"  promise: {outcome.clause.promise}"
    yield f"  found: {outcome.reason}"
    if outcome.clause.advice:
        yield f"  do: {outcome.clause.advice}"


def _print_block(lines: Iterable[str]) -> None:
    for place, line in enumerate(lines):
        click.echo(line if place else click.style(line, fg="red", bold=True))
    click.echo()


def certified(outcomes: Sequence[Outcome]) -> bool:
    """Tell whether every clause was kept, or is about something that the connector does not claim."""
    kept = [outcome.verdict in {Verdict.PASS, Verdict.SKIP} for outcome in outcomes]
    return bool(kept) and all(kept)


def summary(name: str, outcomes: Sequence[Outcome], *, chosen: bool) -> str:
    """Return the last line; with clauses chosen by name it certifies nothing."""
    count = Counter(outcome.verdict for outcome in outcomes)
    bad = [f"{count[each]} {_WORDS[each]}" for each in (Verdict.FAIL, Verdict.NOT_REACHED) if count[each]]
    good = f"{count[Verdict.PASS]} clauses passed"
    good += f", {count[Verdict.SKIP]} skipped" if count[Verdict.SKIP] else ""
    if chosen:
        return f"{name}: {', '.join([*bad, good])}; certified only when all clauses are tried"
    if bad:
        return click.style(f"{name}: NOT certified: {', '.join(bad)}", fg="red", bold=True)
    return click.style(f"{name}: certified ({good})", fg="green", bold=True)


_WORDS = {Verdict.FAIL: "failed", Verdict.NOT_REACHED: "not reached"}


def to_json(job: Job, outcomes: Sequence[Outcome], *, chosen: bool) -> dict[str, Any]:
    """Return the outcomes of one job for programs; `certified` is null when clauses were chosen by name."""
    changed = {clause.name for clause in job.clauses if clause.changed}
    return {
        "connector": job.target.name,
        "section": job.target.section,
        "distribution": job.target.distribution,
        "version": job.target.version,
        "kit": job.kit,
        "certified": None if chosen else certified(outcomes),
        "clauses": [
            {
                "name": outcome.clause.name,
                "verdict": str(outcome.verdict),
                "promise": outcome.clause.promise,
                "reason": outcome.reason,
                "advice": outcome.clause.advice,
                "seconds": round(outcome.seconds, 3),
                "changed": outcome.clause.name in changed,
            }
            for outcome in outcomes
        ],
    }
