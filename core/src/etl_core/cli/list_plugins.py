"""`etl-core list-plugins`: what is installed, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import click

from etl_core.cli.app import COMMANDS
from etl_core.cli.options import common, json_output
from etl_core.cli.output import print_json, print_table
from etl_core.plugins import DISABLE, LOAD, PluginStatus, Status, hiding, installed, unheard_of

__all__ = ["command"]


@click.command("list-plugins")
@json_output
@common
def command(as_json: bool) -> None:
    """List installed plugins, what they offer, and which are broken.

    What cannot be used is listed with the reason and what to do. The exit code is 0 all the same: the
    listing worked, and only a pipeline that names such a connector fails. Programs look at `status`.
    """
    statuses = hiding(installed().statuses, COMMANDS)
    for text in unheard_of(os.environ.get(DISABLE, ""), os.environ.get(LOAD), statuses):
        click.echo(text, err=True)
    if as_json:
        print_json([status.to_json() for status in statuses])
        return
    print_table(
        ["SECTION", "NAME", "STATUS", "DISTRIBUTION", "SUMMARY"],
        sorted(row for status in statuses for row in _rows(status)),
    )
    for line in _remarks(statuses):
        click.echo(line)


def _rows(status: PluginStatus) -> Iterator[tuple[str, str, str, str, str]]:
    distribution = f"{status.distribution} {status.version}"
    for each in status.connectors:
        offer = each.registration
        became = each.conflict or str(status.status)
        summary = offer.summary if became == Status.ACTIVE else (each.error or status.error or "")
        yield each.section, offer.name, became, distribution, " ".join(summary.split())
    if not status.connectors:
        yield "-", status.plugin, str(status.status), distribution, status.error or ""


def _remarks(statuses: Iterable[PluginStatus]) -> Iterator[str]:
    """Say about each plugin what to do, and what else there is to know."""
    for status in statuses:
        who = f"{status.distribution} {status.version}"
        if status.hint:
            yield f"{who} ({status.plugin}) is {status.status}: {status.hint}"
        for each in status.connectors:
            if each.conflict:
                yield f"{who}: {each.kind} {each.registration.name} is {each.conflict}: {each.hint}"
        yield from (f"{who}: {text}" for text in (*status.notes, *status.deprecations))
