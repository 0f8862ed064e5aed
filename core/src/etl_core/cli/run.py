"""`etl-core run FILE...`: run pipelines until they end or are stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from etl_core.cli.failures import as_json as error_as_json
from etl_core.cli.options import common, documents, json_output, settings
from etl_core.cli.output import amount, print_json, print_table, size
from etl_core.cli.signals import cancel_on_signals
from etl_core.errors import Cancelled, PipelineError

if TYPE_CHECKING:
    from etl_core.document import Document
    from etl_core.engine.manager import Outcome
    from etl_core.events import Event
    from etl_core.interfaces import Cancel, Executor
    from etl_core.result import PipelineResult

__all__ = ["command"]


@click.command("run")
@documents
@click.option("--once", is_flag=True, help="Catch up with the source's end as of now, then exit.")
@click.option("--workers", type=click.IntRange(1), default=4, show_default=True, help="Pipelines at once.")
@click.option("--executor", default="threads", show_default=True, help="Where pipelines run.")
@json_output
@common
@click.pass_context
def command(
    ctx: click.Context, files: tuple[Path, ...], once: bool, workers: int, executor: str, as_json: bool
) -> None:
    """Run the pipeline of each FILE to its source's end, or until SIGINT or SIGTERM; what was read is kept.

    Exit codes: 0 ok, 1 failed, 2 bad configuration, 3 plugin, 4 rejected rows, 130 stopped.
    """
    from etl_core.cli.progress import showing
    from etl_core.engine.manager import PipelineManager, PipelinesFailed

    settings().start_logging()
    loaded, place = _loaded(files), _executor(executor)
    manager = PipelineManager(workers)
    try:
        names, human = [document.pipeline for document in loaded], settings().log_format == "human"
        with showing(names, quiet=settings().quiet, live=human) as events:
            for document in loaded:
                manager.add_runner(_Runner(document, place, once, events))
            with cancel_on_signals() as cancel:
                outcomes = manager.run_all(cancel)
    except Cancelled as stop:
        _summarise(stop.result or {}, as_json, several=len(files) > 1)
        raise
    except PipelinesFailed as failure:
        _summarise(failure.outcomes, as_json, several=len(files) > 1)
        ctx.exit(_report(failure.outcomes, failure))
    _summarise(outcomes, as_json, several=len(files) > 1)


class _Runner:
    """A document as a manager runs it."""

    def __init__(
        self, document: Document, executor: Executor, once: bool, events: Callable[[Event], None]
    ) -> None:
        self.name = document.pipeline
        self._document = document.to_json(once=once)
        self._executor = executor
        self._events = events

    def run(self, batch_policy: Any = None, cancel: Cancel | None = None) -> PipelineResult:
        return self._executor.run(self._document, cancel or threading.Event(), self._events)


def _loaded(files: tuple[Path, ...]) -> list[Document]:
    """Load every document, and find every plugin, before anything runs."""
    from etl_core.resolve import load_document, resolve

    loaded = [load_document(file) for file in files]
    for document in loaded:
        resolve(document)
    return loaded


def _executor(name: str) -> Executor:
    from etl_core.plugins import installed
    from etl_core.resolve import make

    registration = installed().find("executor", name)
    executor: Executor = make(registration, registration.config() if registration.config else None)
    return executor


def _report(outcomes: Mapping[str, Outcome], failure: PipelineError) -> int:
    """Say what happened to each that failed; the first failure decides the exit code."""
    for outcome in outcomes.values():
        if outcome.error is not None and not isinstance(outcome.error, Cancelled):
            settings().report(PipelineError(outcome.name, outcome.error))
    return failure.exit_code


def _summarise(outcomes: Mapping[str, Outcome], as_json: bool, *, several: bool) -> None:
    if not outcomes:
        return
    if as_json:
        listed = [_as_json(outcome) for outcome in outcomes.values()]
        print_json(listed if several else listed[0])
        return
    headers = ["PIPELINE", "OUTCOME", "READ", "WRITTEN", "SIZE", "SECONDS", "ROWS/S", "RETRIES", "REJECTED"]
    print_table(headers, [_row(outcome) for outcome in outcomes.values()])


def _as_json(outcome: Outcome) -> dict[str, Any]:
    done = _done(outcome)
    if done is not None:
        return {**done.to_json(), "outcome": _word(outcome)}
    error = None if outcome.error is None else error_as_json(outcome.error)
    return {"pipeline": outcome.name, "outcome": _word(outcome), "error": error}


def _row(outcome: Outcome) -> list[str]:
    result = _done(outcome)
    if result is None:
        return [outcome.name, _word(outcome), *["-"] * 7]
    counts = result.counts
    rate = counts.records_written / result.total if result.total else 0.0
    return [
        outcome.name,
        _word(outcome),
        amount(counts.records_read),
        amount(counts.records_written),
        size(counts.bytes_written),
        f"{result.total:.1f}",
        amount(rate),
        str(result.retries),
        str(result.rejected),
    ]


def _done(outcome: Outcome) -> PipelineResult | None:
    """Return what a pipeline did until its end or until it was stopped."""
    stopped: PipelineResult | None = getattr(outcome.error, "result", None)
    return outcome.result or stopped


def _word(outcome: Outcome) -> str:
    if outcome.error is None:
        return "ok" if outcome.ok else "not started"
    return "stopped" if isinstance(outcome.error, Cancelled) else "failed"
