"""A worker process: asked once, heard line by line, and gone with all it started when it is left."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from etl_core.errors import ConfigError, PluginError

__all__ = ["Died", "Hung", "Worker"]

#: Seconds a worker has to put away what it made, once it was asked to end.
_GRACE = 10.0
#: Seconds it may take until it says the first word: Arrow, the plugin and its kit are loaded before.
_LOADING = 120.0


class Hung(Exception):
    """A worker said nothing for too long."""


class Died(Exception):
    """A worker ended by itself, other than by coming to its end."""


class Worker:
    """Asks `request` of a new process, in a session of its own, whose temporary files are in `directory`."""

    def __init__(self, request: Mapping[str, Any], directory: Path, debug: bool) -> None:
        self._told: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._done = False
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TMPDIR": str(directory),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "etl_core.testing.certify.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if debug else subprocess.DEVNULL,
            env=environment,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, name="certify listener", daemon=True)
        self._listener.start()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as asked:
            asked.write(json.dumps(request))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def messages(self, deadline: float) -> Iterator[dict[str, Any]]:
        """Yield what the worker says until it has said all.

        Raises Hung when nothing comes for `deadline` seconds (at first, longer), Died when it ends before,
        and the PluginError or ConfigError that it reports.
        """
        patience = max(_LOADING, deadline)
        while (message := self._next(patience)) is not None:
            patience = deadline
            if message["event"] == "done":
                self._done = True
                return
            if message["event"] == "error":
                self._done = True
                error = ConfigError if message["kind"] == "config" else PluginError
                raise error(message["message"], message["hint"], **message["facts"])
            yield message
        raise Died(self._end())

    def stop(self) -> None:
        """End the process and all it started: asked first, so that it can clean up, then killed."""
        try:
            if not self._done:
                os.kill(self._process.pid, signal.SIGINT)
            self._listener.join(_GRACE)
            self._end()
        finally:
            os.killpg(self._process.pid, signal.SIGKILL)  # not reaped yet: the number is still its own
            self._process.wait()
            self._listener.join()

    def _end(self) -> str:
        """Wait for the process to be gone, and say how; it stays to be reaped."""
        deadline = time.monotonic() + (0 if self._listener.is_alive() else _GRACE)
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while (ended := os.waitid(os.P_PID, self._process.pid, flags)) is None:
            if time.monotonic() > deadline:
                return "it goes on"
            time.sleep(0.005)
        if ended.si_code == os.CLD_EXITED:
            return f"with code {ended.si_status}"
        return f"by {signal.Signals(ended.si_status).name}"

    def _next(self, deadline: float) -> dict[str, Any] | None:
        try:
            return self._told.get(timeout=deadline)
        except queue.Empty:
            raise Hung from None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as told:
            for line in told:
                self._told.put(json.loads(line))
        self._told.put(None)
