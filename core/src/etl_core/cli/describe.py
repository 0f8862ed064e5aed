"""`etl-core describe NAME`: a connector's settings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args

import click

from etl_core.cli.options import common, json_output
from etl_core.cli.output import print_json, print_table, size
from etl_core.hookspecs import HOOKS, Registration
from etl_core.plugins import PluginStatus, installed

__all__ = ["command"]


@click.command("describe")
@click.argument("name")
@json_output
@common
def command(name: str, as_json: bool) -> None:
    """Show what the connector NAME does and every setting it has."""
    found = [(section, *offer) for section in HOOKS for offer in _offers(section, name)]
    if not found:
        raise installed().missing(name)
    if as_json:
        print_json([_as_json(*one) for one in found])
        return
    for section, registration, status in found:
        _print(section, registration, status)


def _offers(section: str, name: str) -> list[tuple[Registration, PluginStatus]]:
    return [offer for offer in installed().connectors(section) if offer[0].name == name]


def _as_json(section: str, registration: Registration, status: PluginStatus) -> dict[str, Any]:
    from etl_core.document.jsonschema import class_schema

    return {
        "section": section,
        "name": registration.name,
        "summary": registration.summary,
        "distribution": status.distribution,
        "version": status.version,
        "settings": class_schema(registration.config) if registration.config is not None else None,
    }


def _print(section: str, registration: Registration, status: PluginStatus) -> None:
    click.echo(click.style(f"{section}: {registration.name}", bold=True), nl=False)
    click.echo(f"   ({status.distribution} {status.version})")
    click.echo(registration.summary)
    if registration.config is None:
        return
    if text := inspect.getdoc(registration.config):
        click.echo(f"\n{text}")
    click.echo()
    if rows := list(_rows(registration.config, "")):
        print_table(["SETTING", "TYPE", "DEFAULT", "MEANING"], rows)
    else:
        click.echo("no settings")
    if section == "load":
        from etl_core.config import LoadSettings

        click.echo("\nEvery loader also has:\n")
        print_table(["SETTING", "TYPE", "DEFAULT", "MEANING"], list(_rows(LoadSettings, "")))
    click.echo()


def _rows(config: type[Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield each setting; those of nested classes under dotted names."""
    import attrs

    from etl_core.document.fields import hints_of, keys_of
    from etl_core.document.words import type_text

    for key, attribute in keys_of(config).items():
        kind = hints_of(config).get(attribute.name, Any)
        nested = next(
            (one for one in (kind, *get_args(kind)) if isinstance(one, type) and attrs.has(one)), None
        )
        if nested is not None:
            yield from _rows(nested, f"{prefix}{key}.")
        else:
            yield (
                f"{prefix}{key}",
                type_text(kind),
                _default(attribute, type_text(kind)),
                attribute.metadata.get("help", ""),
            )


def _default(attribute: Any, type_name: str) -> str:
    import attrs

    from etl_core.document.jsonschema import default_of

    if attribute.default is attrs.NOTHING:
        return "required"
    default = default_of(attribute)
    if isinstance(default, bool):
        return str(default).lower()
    if type_name == "size" and default:
        return size(default).replace(".0 ", " ")
    if type_name == "duration" and default is not None:
        return f"{default:g} s"
    return "" if default is None or default == [] else str(default)
