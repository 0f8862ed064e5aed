"""The group of all commands: ours by module name, the plugins' by their registrations."""

from __future__ import annotations

import os
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from etl_core.cli.options import common, settings
from etl_core.errors import Cancelled, PluginError
from etl_core.plugins import LOAD, NONE, OWN, installed

__all__ = ["COMMANDS", "App", "app"]

#: Our commands, and the module each is in.
COMMANDS = {
    "check": "check",
    "describe": "describe",
    "discover": "discover",
    "list-plugins": "list_plugins",
    "new-plugin": "new_plugin",
    "preview": "preview",
    "run": "run",
    "schema": "schema",
    "state": "state",
    "status": "status",
    "teardown": "teardown",
}


class App(click.Group):
    """Finds commands when they are called; maps every error to its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        added = {registration.name for registration, _ in installed().connectors("commands")}
        return sorted({*COMMANDS, *added})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module = import_module(f"etl_core.cli.{COMMANDS[cmd_name]}")
            command: click.Command = module.command
            return command
        return _plugin_command(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            close = get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f" Did you mean '{close[0]}'?" if close else " See 'etl-core --help'."
            raise click.UsageError(f"No such command '{args[0]}'.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands; a plugin's is described by its registration, so that none is imported."""
        rows = [
            (name, import_module(f"etl_core.cli.{at}").command.get_short_help_str(80))
            for name, at in COMMANDS.items()
        ]
        added: list[tuple[str, str]] = []
        for offer, status in installed().connectors("commands"):
            (rows if status.distribution == OWN else added).append((offer.name, offer.summary))
        for title, listed in (("Commands", sorted(rows)), ("Commands of plugins", added)):
            if listed:
                with formatter.section(title):
                    formatter.write_dl(listed)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            ctx.exit(settings().report(Cancelled()))
        except (Exception, Cancelled) as error:  # noqa: BLE001 - whatever it is, the user gets words
            ctx.exit(settings().report(error))


def _plugin_command(name: str) -> click.Command | None:
    """Return a plugin's command; None when no plugin has to do with that name."""
    plugins = installed()
    try:
        registration = plugins.find("commands", name)
    except PluginError as error:
        if error.facts.keys() & {"status", "plugins"}:
            raise
        return None
    from etl_core.resolve import imported

    command = imported(registration)
    if not isinstance(command, click.Command):
        raise PluginError("a plugin's command is not a Click command", name=name, origin=registration.factory)
    return command


def _without_plugins(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        os.environ[LOAD] = NONE


@click.group(cls=App, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="etl-core")
@click.option(
    "--no-plugins",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_without_plugins,
    help="Load no plugin but what comes with etl-core.",
)
@common
def app() -> None:
    """Move tables and change streams as Apache Arrow through pipelines of plugins."""
