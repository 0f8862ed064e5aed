"""`etl-core new-plugin NAME`: a package that is ready to be filled."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path

import click

from etl_core.cli.options import common, json_output
from etl_core.cli.output import print_json
from etl_core.errors import ConfigError
from etl_core.plugins import installed
from etl_core.templates import KINDS, Name, write

__all__ = ["command"]


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), required=True, help="What the connector is.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where the package's directory is made; default: here.",
)
@json_output
@common
def command(name: str, kind: str, directory: Path, as_json: bool) -> None:
    """Write a package for a connector of your own: it works, and its tests pass.

    NAME is the distribution's, as in etl-acme; the connector is then called acme.
    """
    named = Name.parse(name)
    _require_free(named, kind)
    package = write(directory, name, kind)
    files = sorted(path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file())
    following = _next(named, package)
    if as_json:
        print_json({"directory": str(package), "files": files, "next": following})
        return
    click.echo(f"made {package}:")
    click.echo("".join(f"  {file}\n" for file in files))
    click.echo("next:")
    click.echo("\n".join(f"  {line}" for line in following))


def _require_free(name: Name, kind: str) -> None:
    """Refuse a connector's name that would be ambiguous in a document, or never reached as a command."""
    from etl_core.cli.app import COMMANDS

    section = KINDS[kind].section
    others = {
        registration.name: status.distribution
        for registration, status in installed().connectors(section)
        if status.distribution != name.distribution
    }
    taken = others | (dict.fromkeys(COMMANDS, "etl-core") if section == "commands" else {})
    if name.connector in taken:
        raise ConfigError(
            "a connector of this name is installed",
            "two of one name cannot be told apart: choose another",
            name=name.connector,
            section=section,
            distribution=taken[name.connector],
        )


def _next(name: Name, package: Path) -> list[str]:
    """Return the commands to type next."""
    install = "pip install" if find_spec("pip") else "uv pip install"
    return [
        f"cd {shlex.quote(str(package))}",
        f"{install} -e . --group dev",
        "pytest",
        "etl-core list-plugins",
        f"etl-core certify {name.connector}",
    ]
