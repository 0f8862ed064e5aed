"""What the clauses of a command share: the command, and calls of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import click

from etl_core.resolve import imported
from etl_core.testing.children import spec_of
from etl_core.testing.command.calls import Done, call
from etl_core.testing.common import CommonClauses
from etl_core.testing.verdicts import expect

__all__ = ["CommandClauses"]


class CommandClauses(CommonClauses):
    """A command under test. What its author says nothing about is not tried, and not certified."""

    section: ClassVar[str] = "commands"
    #: Seconds a call may take.
    patience: ClassVar[float] = 60.0
    #: Seconds after which a lasting call is interrupted.
    interrupt_after: ClassVar[float] = 0.3

    def arguments(self) -> Sequence[str] | None:
        """Return the arguments of a call that succeeds; None: none does in a clause's time."""
        return None

    def listing(self) -> Sequence[str] | None:
        """Return the arguments, without `--json`, of a call that takes it; None: none does."""
        return None

    def failing(self) -> Mapping[tuple[str, ...], int]:
        """Return calls that fail, with the exit code that each has to end with; empty: none can fail."""
        return {}

    def lasting(self) -> Sequence[str] | None:
        """Return the arguments of a call that goes on for a second at least; None: each ends at once."""
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

    def commands(self) -> Iterator[tuple[str, click.Command]]:
        """Yield the command and those below it, with how each is called."""
        return _below(self.registration.name, self.command())

    def called(self, *arguments: str) -> Done:
        """Call the command with these arguments and wait for its end."""
        return call(spec_of(self), arguments, self.patience)


def _below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those below it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _below(f"{path} {name}", below)
