"""A part of a clause that goes on in a process of its own while the clause looks on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from etl_core.testing.verdicts import fail

__all__ = ["Child", "Part", "command_of", "environment_of", "hear", "say"]

Part = Callable[[Any], None]
#: What a part says begins with this; any other line is a connector's own.
_SAID = "etl-conformance:"


class Child:
    """A part that goes on beside the clause: heard and told line by line, killed when the block ends.

    It says things with `say` and is told to go on through `hear`, which ends it when this process is gone.
    """

    def __init__(
        self, part: Part, argument: Mapping[str, Any], *, deadline: float = 60.0, **environment: str
    ) -> None:
        self._last = ""
        self._process = subprocess.Popen(
            command_of(part),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment_of(environment),
            cwd=argument.get("directory"),
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid
        self._watchdog = threading.Timer(deadline, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()
        self._write(json.dumps(argument))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self.kill()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # of what it was not told any more
                pipe.close()

    def heard(self) -> str | None:
        """Return what the part says next; None once it has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_SAID):
                return line.removeprefix(_SAID).rstrip("\n")
            self._last = line.strip() or self._last
        return None

    def next(self) -> str:
        """Return what the part says next; that it ends instead breaks the clause."""
        said = self.heard()
        if said is None:
            fail("a process of its own failed", exit_code=self._process.wait(), error=self._last)
        return said

    def tell(self, word: str = "go on") -> None:
        """Let the part's `hear` return."""
        self._write(word)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL, and wait until it has happened."""
        self._process.kill()
        self._process.wait()

    def ended(self, patience: float) -> int | None:
        """Return the exit code, None when it goes on for longer than that."""
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it has ended; what it said last tells why
            return


def say(text: object) -> None:
    """Say something to the clause. For parts."""
    print(f"{_SAID}{text}", flush=True)  # noqa: T201 - how a part is heard


def hear() -> str:
    """Wait until the clause tells this part something; end when the clause is gone. For parts."""
    told = sys.stdin.readline()
    if not told:
        raise SystemExit("nobody listens any more")
    return told.strip()


def command_of(part: Part) -> list[str]:
    """Return what runs a part in an interpreter of its own."""
    return [sys.executable, "-m", "etl_core.testing.children", f"{part.__module__}:{part.__qualname__}"]


def environment_of(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a part, which imports from where this process does, and is killed nowhere."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("ETL_FAILPOINT", None)  # it is for whoever set it, not for each part
    return {**environment, **more}
