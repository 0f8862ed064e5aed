"""What the clauses of a command share: the command, and calls of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import click

from etl_core.resolve import imported
from etl_core.testing.children import spec_of
from etl_core.testing.command.calls import Done, call
from etl_core.testing.common import CommonClauses
from etl_core.testing.verdicts import expect

__all__ = ["CommandClauses"]


class CommandClauses(CommonClauses):
    """A command under test."""

    section: ClassVar[str] = "commands"
    #: Seconds a call may take.
    patience: ClassVar[float] = 60.0
    #: Seconds after which a lasting call is interrupted.
    interrupt_after: ClassVar[float] = 0.3

    def arguments(self) -> Sequence[str] | None:
        """Return the arguments of a call that succeeds; None leaves its clauses out."""
        return None

    def listing(self) -> Sequence[str] | None:
        """Return the arguments, without `--json`, of a call that takes it and succeeds."""
        return None

    def failing(self) -> Mapping[tuple[str, ...], int]:
        """Return calls that fail, with the exit code that each has to end with."""
        return {}

    def lasting(self) -> Sequence[str] | None:
        """Return the arguments of a call that goes on for a second at least, to be interrupted."""
        return None

    def exercise(self) -> None:
        arguments = self.arguments()
        if arguments is None:
            self.command()
            return
        done = self.called(*arguments)
        expect(done.exit_code == 0, "the call did not succeed", exit_code=done.exit_code)

    def command(self) -> click.Command:
        """Return the command itself."""
        found: Any = imported(self.registration)
        expect(isinstance(found, click.Command), "it is no Click command or group", kind=type(found).__name__)
        assert isinstance(found, click.Command)
        return found

    def called(self, *arguments: str) -> Done:
        """Call the command with these arguments and wait for its end."""
        return call(spec_of(self), arguments, self.patience)
