"""`etl-core certify NAME`: an installed connector held to everything its kind promises."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import FrameType

import click
from attrs import evolve

from etl_core.cli.options import common, json_output, settings
from etl_core.cli.output import print_json
from etl_core.errors import Cancelled, PluginError
from etl_core.testing.certify.process import Worker
from etl_core.testing.certify.progress import showing
from etl_core.testing.certify.report import Report, certified, summary, to_json
from etl_core.testing.certify.settings import given_to
from etl_core.testing.certify.supervising import Job, jobs_of, outcomes_of
from etl_core.testing.certify.targets import targets_of
from etl_core.testing.clauses import Outcome

__all__ = ["command"]


@click.command("certify")
@click.argument("name")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A YAML file with the connector's settings, or a pipeline document that uses it.",
)
@click.option("--clause", "chosen", multiple=True, metavar="NAME", help="Try this clause only; repeatable.")
@click.option("--thorough", is_flag=True, help="Try every variant instead of a sample; takes much longer.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds one clause may take.",
)
@json_output
@common
def command(
    name: str, file: Path | None, chosen: Sequence[str], thorough: bool, deadline: float, as_json: bool
) -> None:
    """Hold an installed connector to everything its kind promises.

    NAME is a connector's, a plugin's or a distribution's; every connector it means is tried.

    The clauses read and write the system that the settings name, and may leave tables in it when they are
    stopped: point it at one made for tests.

    A plugin's own kit knows such a system; without one, or to use another, give the settings with --config.

    A clause ends as PASS: kept; FAIL: not kept; SKIP: about something the connector does not claim; NOT
    REACHED: it could not be tried, and what to give is said.

    Exit codes: 0 each clause was kept or skipped; 3 one failed or was not reached, or the plugin cannot be
    used; 2 wrong settings or usage; 130 cancelled.
    """
    targets = targets_of(name)
    given = given_to(targets, file) if file else {}
    for target in [target for target in targets if file and target not in given]:
        click.echo(f"{target} is left out: no section of the file uses it", err=True)
        targets.remove(target)
    try:
        with _workers() as workers, showing(name, quiet=settings().quiet) as show:
            jobs = jobs_of(targets, given, workers(), deadline)
            jobs = [evolve(job, thorough=thorough) for job in _chosen(jobs, chosen)]
            done = [(job, _outcomes(job, workers, show, quiet=as_json)) for job in jobs]
    except KeyboardInterrupt:
        click.echo("cancelled: the connector's processes were ended, their directories removed", err=True)
        raise click.exceptions.Exit(Cancelled.exit_code) from None
    everything = [outcome for _, outcomes in done for outcome in outcomes]
    if as_json:
        print_json([to_json(job, outcomes, chosen=bool(chosen)) for job, outcomes in done])
    else:
        click.echo(summary(name, everything, chosen=bool(chosen)))
    if not certified(everything):
        raise click.exceptions.Exit(PluginError.exit_code)


def _outcomes(
    job: Job, workers: Callable[[], Worker], show: Callable[[str], None], *, quiet: bool
) -> list[Outcome]:
    """Run a job, printing each outcome as it is known."""
    report, outcomes = Report(job), []
    if not quiet:
        report.begin()
    for outcome in outcomes_of(job, workers, show):
        outcomes.append(outcome)
        if not quiet:
            report.take(outcome)
    if not quiet:
        report.end()
    return outcomes


def _chosen(jobs: Sequence[Job], names: Sequence[str]) -> list[Job]:
    """Return the jobs with the clauses of those names only; with all when there are none."""
    known = [clause.name for job in jobs for clause in job.clauses]
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"Did you mean '{close[0]}'?" if close else f"The clauses are: {', '.join(known)}."
            raise click.UsageError(f"No such clause '{name}'. {hint}")
    if not names:
        return list(jobs)
    fewer = [evolve(job, clauses=tuple(each for each in job.clauses if each.name in names)) for job in jobs]
    return [job for job in fewer if job.clauses]


@contextmanager
def _workers() -> Iterator[Callable[[], Worker]]:
    """Give what makes workers; the first, which has the kits loaded, is given twice: for its own job, too.

    At the end, after SIGTERM and SIGHUP too, they are gone, with the directory of what they keep for a while.
    """
    debug = settings().debug
    with (
        _interrupted_by_signals(),
        tempfile.TemporaryDirectory(prefix="etl-certify-", ignore_cleanup_errors=True) as directory,
        Worker(Path(directory), debug) as first,
    ):
        loaded = [first, first]
        yield lambda: loaded.pop() if loaded else Worker(Path(directory), debug)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP interrupt as SIGINT does, where a handler can be set: in the main thread.

    A SIGHUP that is ignored stays so: `nohup` asks for that.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    for each in before:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
