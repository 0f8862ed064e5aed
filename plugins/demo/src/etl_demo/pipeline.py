"""The pipeline as a user runs it: the command line, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

from etl_core import FatalError

__all__ = ["PipelineProcess"]

#: What the interpreter is asked to run.
COMMAND = ("-m", "etl_core.cli", "run", "shop.yaml", "--json")


class PipelineProcess:
    """`etl-core run shop.yaml` in a directory; its log is pipeline.log there.

    With `once` it ends when it has caught up with what the source has at its start.
    """

    def __init__(self, directory: Path, *, once: bool = False) -> None:
        self._log = directory / "pipeline.log"
        command = [sys.executable, *COMMAND]
        self._started = time.monotonic()
        self.seconds = 0.0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--once"] if once else command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def verify_running(self) -> None:
        """Raise FatalError with the log's end if it has ended by itself."""
        if self._process.poll() is not None:
            raise self._failure()

    def kill(self) -> None:
        """SIGKILL, wherever it is; one that has ended is fine."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()
            self.seconds = time.monotonic() - self._started

    def result(self, deadline: float) -> Any:
        """Wait for the end and return the PipelineResult as JSON. Raises FatalError if it failed."""
        try:
            output, _ = self._process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            raise FatalError("the pipeline did not catch up in time", self._tail(), log=self._log) from None
        self.seconds = time.monotonic() - self._started
        if self._process.returncode != 0:
            raise self._failure()
        return json.loads(output)

    def _failure(self) -> FatalError:
        return FatalError(
            "the pipeline failed", self._tail(), exit_code=self._process.returncode, log=self._log
        )

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
