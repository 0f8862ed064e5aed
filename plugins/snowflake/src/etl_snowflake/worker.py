"""The thread of a run that does what takes long: landing, asking what is committed, merging."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from etl_core import RetryableError
from etl_snowflake.gathering import Job, Jobs

__all__ = ["Worker"]

_PAUSE = 0.2
_IDLE = 1.0


class _Thread(Protocol):
    def is_alive(self) -> bool: ...
    def join(self) -> object: ...


class Worker:
    """Steps while there is something to do. What goes wrong is raised to whoever drives the destination."""

    def __init__(
        self,
        jobs: Jobs,
        spawn: Callable[..., Any],
        step: Callable[[Sequence[Job]], None],
        waiting: Callable[[], bool],
    ) -> None:
        """`step` does the jobs that are due, maybe none; `waiting`: whether commits are waited for."""
        self.given_up = threading.Event()
        self._jobs = jobs
        self._spawn = spawn
        self._do = step
        self._waiting = waiting
        self._changed = threading.Condition()
        self._ending = self._busy = self._draining = False
        self._failure: Exception | None = None
        self._thread: _Thread | None = None

    def add(self, *jobs: Job) -> None:
        """Have jobs done; none: see that the thread is there, which looks now and then by itself."""
        if self._thread is None:
            self._thread = self._spawn(self._work, name="snowflake")
        self._require_thread()
        with self._changed:
            for job in jobs:
                self._jobs.add(job)
            if jobs:
                self._changed.notify_all()

    def _require_thread(self) -> None:
        """Another one would not know what this one had taken."""
        if self._thread is not None and not self._thread.is_alive():
            raise RetryableError("the thread that lands rows has ended")

    def landed(self, loads: Sequence[Any]) -> None:
        """Note that loads are done."""
        with self._changed:
            self._jobs.landed(loads)

    def check(self) -> None:
        """Raise what went wrong."""
        if self._failure is not None:
            raise self._failure

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Wait until something is so. Raises what goes wrong meanwhile, and RetryableError when given up."""
        with self._changed:
            self.check()
            while not done():
                self._changed.wait(_PAUSE)
                self.check()
                if self.given_up.is_set():
                    raise RetryableError("gave up waiting for rows to land")
                self._require_thread()

    def drain(self) -> None:
        """Wait until all jobs are done, and nothing waits for its commit."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
        try:
            self.wait_for(lambda: not (self._jobs or self._busy or self._waiting()))
        finally:
            self._draining = False

    def stop(self) -> None:
        """End the thread, and forget what it has not done."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        self._jobs.clear()
        self._failure = None
        self._ending = self._busy = False

    @property
    def ending(self) -> bool:
        """Whether nothing is to be begun any more."""
        return self._ending or self.given_up.is_set()

    def _work(self) -> None:
        going = True
        while going:
            try:
                going = self._once()
            except BaseException as error:  # noqa: BLE001 - raised where the destination is driven
                self._failure = _plain(error)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _once(self) -> bool:
        """Wait until something may be due, and do it; False at the end."""
        jobs = self._next()
        if jobs is not None and self._failure is None:
            self._do(jobs)
        return jobs is not None

    def _next(self) -> list[Job] | None:
        """Wait until something is due, or may be; None at the end."""
        with self._changed:
            if not self._ending and not self._ready():
                self._changed.wait(_PAUSE if self._waiting() else _IDLE)
            if self._ending:
                return None
            # Also with no job: what a step finds out must be noted before a drain is over.
            self._busy = True
            return self._jobs.take(all=self._draining) if self._failure is None else []

    def _ready(self) -> bool:
        return self._failure is None and self._jobs.due(all=self._draining)


def _plain(error: BaseException) -> Exception:
    """Return an error that a run retries for one that would end the process, as the clients' panics."""
    if isinstance(error, Exception):
        return error
    return RetryableError("a client of the vendor broke down", kind=type(error).__name__)
