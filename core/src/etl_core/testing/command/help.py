"""The clauses of a command about its registration, its help and its options."""

from __future__ import annotations

from collections.abc import Iterator

import click

from etl_core.cli.app import COMMANDS
from etl_core.plugins import installed
from etl_core.testing.command.base import CommandClauses
from etl_core.testing.common import loaded_by
from etl_core.testing.verdicts import expect

__all__ = ["HelpClauses"]


class HelpClauses(CommandClauses):
    """It can be found and understood."""

    def test_looking_at_it_is_light(self) -> None:
        """Loading its plugin, as the help of `etl-core` does, imports neither pyarrow nor the command.

        Give the command as "package.module:command", and do not import its module in `plugin.py`.
        """
        factory = self.registration.factory
        expect(isinstance(factory, str), "the command is imported with the plugin")
        heavy = str(factory).partition(":")[0]
        for plugin in self._plugins():
            loaded = loaded_by(plugin)
            expect("pyarrow" not in loaded, "looking at it imports pyarrow", module=plugin)
            expect(heavy not in loaded, "looking at it imports the command", module=heavy)

    def _plugins(self) -> Iterator[str]:
        """Yield the installed modules that register it."""
        for status in installed().statuses:
            if any(each.registration == self.registration for each in status.connectors):
                yield status.origin.partition(":")[0]

    def test_it_hides_no_command_of_the_core(self) -> None:
        """Its name is not one of the core's, which would be called in its place.

        Choose another name; a group of a plugin's own has room for any.
        """
        name = self.registration.name
        expect(name not in COMMANDS, "the core has a command of that name", name=name)

    def test_its_help_is_complete(self) -> None:
        """The command, and each below it, says what it does; every option and argument is explained.

        Write a docstring that also names each argument, and give `help=` to each option.
        """
        for path, command in self.commands():
            expect((command.help or "").strip(), "a command does not say what it does", command=path)
            mute = [each.opts[0] for each in command.params if not _explained(each, command)]
            expect(not mute, "not explained by the help", command=path, parameters=", ".join(mute))

    def test_help_is_shown(self) -> None:
        """`--help` prints what the command does and ends with 0.

        Do nothing at import or in a callback of an option that fails without a system to talk to.
        """
        done = self.called("--help")
        expect(done.exit_code == 0, "`--help` does not end with 0", exit_code=done.exit_code)
        first = (self.command().help or "").split()[:3]
        expect(" ".join(first) in " ".join(done.out.split()), "`--help` does not say what it does")

    def test_an_unknown_option_is_refused(self) -> None:
        """An option that it does not have ends it with 2, and without a traceback.

        Let Click read the arguments; do not set `ignore_unknown_options`.
        """
        done = self.called("--surely-no-such-option")
        expect(not done.failed_unhandled, "an unknown option ends with a traceback")
        expect(done.exit_code == 2, "an unknown option does not end with 2", exit_code=done.exit_code)


def _explained(parameter: click.Parameter, command: click.Command) -> bool:
    if isinstance(parameter, click.Option):
        return parameter.hidden or bool((parameter.help or "").strip())
    name = (parameter.human_readable_name or "").strip(".[]").lower()
    return name in (command.help or "").lower()
