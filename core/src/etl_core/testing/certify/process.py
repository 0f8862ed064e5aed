"""A worker process: asked and heard line by line, and gone with all it started when it is left."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from etl_core.errors import ConfigError, PluginError
from etl_core.testing.certify.requests import END
from etl_core.testing.child import environment_of

__all__ = ["LOADING", "Died", "Hung", "Worker"]

#: Seconds a worker has to put away what it made, once it was asked to end.
_GRACE = 10.0
#: Seconds it may take until it says the first word: Arrow, the plugin and its kit are loaded before.
LOADING = 120.0


class Hung(Exception):
    """A worker said nothing for too long."""


class Died(Exception):
    """A worker ended by itself, other than by coming to its end."""


class Worker:
    """A new process, in a session of its own, whose temporary files are in `directory`."""

    def __init__(self, directory: Path, debug: bool) -> None:
        self._told: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._idle = True
        self._stopped = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "etl_core.testing.certify.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if debug else subprocess.DEVNULL,
            env=environment_of({"TMPDIR": str(directory)}),
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, name="certify listener", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answers(self, request: Mapping[str, Any], deadline: float) -> Iterator[dict[str, Any]]:
        """Ask, and yield what the worker says until it has said all.

        Raises Hung when nothing comes for `deadline` seconds (at first, longer), Died when it ends before,
        and the PluginError or ConfigError that it reports.
        """
        assert self._process.stdin is not None
        self._idle = False
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        patience = max(deadline, LOADING)
        while (message := self._next(patience)) is not None:
            patience = deadline
            self._idle = message["event"] in {"done", "error"}
            if message["event"] == "error":
                error = ConfigError if message["kind"] == "config" else PluginError
                raise error(message["message"], message["hint"], **message["facts"])
            if self._idle:
                return
            yield message
        raise Died(self._end())

    def stop(self) -> None:
        """End the process and all it started: asked first, so that it can clean up, then killed."""
        assert self._process.stdin is not None
        if self._stopped:  # its number may be another's by now
            return
        self._stopped = True
        try:
            if not self._idle:
                self._process.send_signal(signal.SIGINT)
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps({"do": END}) + "\n")
                self._process.stdin.close()
            self._end()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._listener.join(_GRACE)

    def _end(self) -> str:
        """Wait for the process to end by itself, and say how it did."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return "it goes on"
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"

    def _next(self, deadline: float) -> dict[str, Any] | None:
        try:
            return self._told.get(timeout=deadline)
        except queue.Empty:
            raise Hung from None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as told, suppress(ValueError):  # a line may be cut by the end
            for line in told:
                self._told.put(json.loads(line))
        self._told.put(None)
