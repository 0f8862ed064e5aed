"""Calls of a command through the command line, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import frozen

from etl_core.cli.app import App, app
from etl_core.hookspecs import Registration
from etl_core.resolve import imported
from etl_core.testing.child import command_of, environment_of, say
from etl_core.testing.children import registration_of
from etl_core.testing.leftovers import processes
from etl_core.testing.verdicts import fail

__all__ = ["Done", "call", "ended_late", "play"]

#: Seconds that what a call started may go on after its end.
_LATE = 1.0


@frozen
class Done:
    """How a call ended; `left` are processes that it did not end, and files in the temporary directory."""

    exit_code: int
    out: str
    err: str
    left: Sequence[str]

    @property
    def failed_unhandled(self) -> bool:
        """Whether it ended with a traceback."""
        return "Traceback (most recent call last)" in self.err


class _Line(App):
    """The command line with a command that need not be installed."""

    def __init__(self, registration: Registration) -> None:
        super().__init__("etl-core", params=list(app.params), callback=app.callback)
        self._added = registration

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != self._added.name:
            return super().get_command(ctx, cmd_name)
        command: Any = imported(self._added)
        return command  # type: ignore[no-any-return]


def play(spec: Mapping[str, Any]) -> None:
    """Call the command as `etl-core NAME ARGUMENTS` does."""
    if "interrupt_after" in spec:
        saying = threading.Timer(spec["interrupt_after"], say, ["running"])
        saying.daemon = True
        saying.start()
    registration = registration_of(spec)
    _Line(registration).main([registration.name, *spec["arguments"]], prog_name="etl-core")


def call(spec: Mapping[str, Any], arguments: Sequence[str], deadline: float) -> Done:
    """Call the command in the clause's directory and wait for its end."""
    directory = Path(spec["directory"])
    temporary = directory / ".temporary"
    temporary.mkdir(exist_ok=True)
    out, err = directory / ".out", directory / ".err"
    with out.open("w") as to_out, err.open("w") as to_err:
        process = subprocess.Popen(
            command_of(play),
            stdin=subprocess.PIPE,
            stdout=to_out,
            stderr=to_err,
            cwd=directory,
            env=environment_of({"TMPDIR": str(temporary)}),
            start_new_session=True,
            text=True,
        )
        left = _waited(process, json.dumps({**spec, "arguments": list(arguments)}), deadline)
    left += [f"file {path.name}" for path in temporary.iterdir()]
    return Done(process.returncode, out.read_text("utf-8"), err.read_text("utf-8"), left)


def _waited(process: subprocess.Popen[str], line: str, deadline: float) -> list[str]:
    """Wait for the end; return the processes that go on, which are killed."""
    try:
        process.communicate(line + "\n", timeout=deadline)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        fail("the call did not end", seconds=deadline)
    return ended_late(process.pid)


def ended_late(session: int) -> list[str]:
    """Return the processes of a session that go on after its leader ended; they are killed."""
    deadline = time.monotonic() + _LATE
    while (left := _members(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if left:
        os.killpg(session, signal.SIGKILL)
    return left


def _members(session: int) -> list[str]:
    """Return the processes of a session that run; none where the system does not list them."""
    return [f"process {each.name}" for each in processes() if each.session == session and each.state != "Z"]
