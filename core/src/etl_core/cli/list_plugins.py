"""`etl-core list-plugins`: what is installed, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from etl_core.cli.options import common, json_output
from etl_core.cli.output import print_json, print_table
from etl_core.plugins import PluginStatus, Status, installed

__all__ = ["command"]


@click.command("list-plugins")
@json_output
@common
def command(as_json: bool) -> None:
    """List installed plugins, what they offer, and which are broken."""
    statuses = installed().statuses
    if as_json:
        print_json([status.to_json() for status in statuses])
        return
    print_table(
        ["SECTION", "NAME", "STATUS", "DISTRIBUTION", "SUMMARY"],
        sorted(row for status in statuses for row in _rows(status)),
    )
    for status in statuses:
        for text in status.deprecations:
            click.echo(f"{status.distribution} {status.version}: {text}")


def _rows(status: PluginStatus) -> Iterator[tuple[str, str, str, str, str]]:
    distribution = f"{status.distribution} {status.version}"
    for connector in status.connectors:
        offer = connector.registration
        summary = offer.summary if status.status is Status.ACTIVE else str(status.error)
        yield connector.section, offer.name, str(status.status), distribution, summary
    if not status.connectors:
        yield "-", status.plugin, str(status.status), distribution, status.error or ""
