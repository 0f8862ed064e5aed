"""Runs many pipelines with bounded workers; reports the outcome of every one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from attrs import frozen

from etl_core.errors import Cancelled, ConfigError, PipelineError

if TYPE_CHECKING:
    from etl_core.config import BatchPolicy
    from etl_core.engine.pipeline import Pipeline
    from etl_core.interfaces import Cancel, Runner
    from etl_core.result import PipelineResult

__all__ = ["Outcome", "PipelineManager", "PipelinesFailed"]

_LOOK_INTERVAL = 0.1


@frozen
class Outcome:
    """How one runner ended: with a result, with an error, or (both None) without having been started."""

    name: str
    result: PipelineResult | None = None
    error: BaseException | None = None

    @property
    def ok(self) -> bool:
        return self.result is not None


class PipelinesFailed(PipelineError):
    """At least one pipeline failed: the first failure, and the outcome of every pipeline."""

    def __init__(self, pipeline: str, cause: BaseException, outcomes: Mapping[str, Outcome]) -> None:
        super().__init__(pipeline, cause)
        self.outcomes = outcomes


class PipelineManager:
    """Runs what was added, at most `workers` at once, in the order of adding.

    The first failure stops admitting work; runners that are under way get `grace` seconds to end by
    themselves, then they are cancelled.
    """

    def __init__(self, workers: int = 4, batch: BatchPolicy | None = None, grace: float = 30.0) -> None:
        if workers < 1:
            raise ConfigError("a manager needs at least one worker", workers=workers)
        self._workers = workers
        self._batch = batch
        self._grace = grace
        self._runners: dict[str, Runner] = {}

    def add_pipeline(self, pipeline: Pipeline, name: str | None = None) -> None:
        """Add a pipeline, under another name if one is given."""
        if name is not None:
            pipeline.name = name
        self.add_runner(pipeline)

    def add_runner(self, runner: Runner) -> None:
        """Add anything with `name` and `run`. Raises ConfigError for a name that is there already."""
        if runner.name in self._runners:
            raise ConfigError("two pipelines have one name", "give each its own", pipeline=runner.name)
        self._runners[runner.name] = runner

    def run_all(self, cancel: Cancel | None = None) -> Mapping[str, Outcome]:
        """Run everything; return the outcomes by name.

        Raises PipelinesFailed (with all outcomes) if one failed, Cancelled if `cancel` was set.
        """
        if cancel is not None and cancel.is_set():
            raise Cancelled
        return _Session(self._runners, self._workers, self._batch, self._grace).run(cancel)


class _Session:
    """One `run_all`."""

    def __init__(
        self, runners: Mapping[str, Runner], workers: int, batch: BatchPolicy | None, grace: float
    ) -> None:
        self._batch = batch
        self._grace = grace
        self._workers = min(workers, len(runners))
        self._waiting: SimpleQueue[Runner] = SimpleQueue()
        for runner in runners.values():
            self._waiting.put(runner)
        self._outcomes = {name: Outcome(name) for name in runners}
        self._failed: list[Outcome] = []
        self._closed = threading.Event()
        self._cancel = threading.Event()

    def run(self, cancel: Cancel | None) -> Mapping[str, Outcome]:
        threads = [
            threading.Thread(target=self._work, name=f"etl-worker-{n}", daemon=True)
            for n in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        try:
            self._join(threads, cancel)
        except BaseException:  # an interrupt of the caller's thread stops the work, too
            self._stop()
            raise
        if cancel is not None and cancel.is_set():
            stop = Cancelled()
            stop.result = self._outcomes
            raise stop
        if self._failed:
            first = self._failed[0]
            assert first.error is not None
            raise PipelinesFailed(first.name, first.error, self._outcomes) from first.error
        return self._outcomes

    def _join(self, threads: list[threading.Thread], cancel: Cancel | None) -> None:
        waited = 0.0
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK_INTERVAL)
                waited += _LOOK_INTERVAL if self._failed else 0.0
                if (cancel is not None and cancel.is_set()) or waited > self._grace:
                    self._stop()

    def _stop(self) -> None:
        self._closed.set()
        self._cancel.set()

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                runner = self._waiting.get_nowait()
            except Empty:
                return
            self._run_one(runner)

    def _run_one(self, runner: Runner) -> None:
        try:
            outcome = Outcome(runner.name, runner.run(self._batch, self._cancel))
        except BaseException as error:  # noqa: BLE001 - every outcome is reported
            outcome = Outcome(runner.name, error=error)
        self._outcomes[runner.name] = outcome
        stopped = isinstance(outcome.error, Cancelled) and self._cancel.is_set()
        if outcome.error is not None and not stopped:
            self._failed.append(outcome)
            self._closed.set()
