"""Commands with one fault each, and right ones."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

import click

from etl_core.errors import ConfigError, EtlError


@click.group()
def right() -> None:
    """Work with numbers."""


@right.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--fail", type=click.Choice(["config", "auth"]), help="What to fail with.")
def right_list(as_json: bool, fail: str | None) -> None:
    """List the numbers."""
    if fail:
        raise ConfigError("no such number", "try 1") if fail == "config" else EtlError("nobody may", "log in")
    click.echo("listing", err=True)
    click.echo(json.dumps([1, 2]) if as_json else "1\n2")


@right.command("wait")
@click.argument("name")
def right_wait(name: str) -> None:
    """Wait for NAME, for a minute."""
    time.sleep(60)


@click.command()
@click.option("--mute", is_flag=True)
def without_help(mute: bool) -> None:
    """Do something."""


@click.command()
@click.argument("name")
def without_argument(name: str) -> None:
    """Do something."""


@click.group()
def without_words() -> None:
    """Do things."""


@without_words.command("below")
def _below() -> None:
    pass


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prints_beside(as_json: bool) -> None:
    """List the numbers."""
    click.echo("2 numbers:")
    click.echo(json.dumps([1, 2]))


def _fail() -> None:
    raise EtlError("it does not work")


@click.command()
def swallows() -> None:
    """Fail without a sign."""
    try:
        _fail()
    except EtlError as error:
        click.echo(error.message, err=True)


@click.command()
def shouts() -> None:
    """Fail with a traceback."""
    try:
        _fail()
    except EtlError:
        sys.excepthook(*sys.exc_info())
        raise


@click.command()
def goes_on() -> None:
    """Take an interrupt for the end of the work."""
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        click.echo("done")


@click.command()
def leaves() -> None:
    """Leave a process and a file."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    tempfile.mkstemp(prefix="left")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def takes_anything(words: tuple[str, ...]) -> None:
    """Take any WORDS."""


@click.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.option("--surely-no-such-option", is_flag=True, hidden=True)
@click.option("--help", "helps", is_flag=True, help="Fail.")
def helpless(helps: bool, surely_no_such_option: bool) -> None:
    """Have no help."""
    raise click.UsageError("no help")


nothing = 5
