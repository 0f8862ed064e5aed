"""`etl-core check FILE...`: whether it would run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl_core.cli.failures import as_json as error_as_json
from etl_core.cli.opening import opened
from etl_core.cli.options import common, documents, json_output, settings
from etl_core.cli.output import print_json
from etl_core.errors import EtlError

if TYPE_CHECKING:
    from etl_core.result import CheckResult

__all__ = ["command"]


@click.command("check")
@documents
@json_output
@common
@click.pass_context
def command(ctx: click.Context, files: tuple[Path, ...], as_json: bool) -> None:
    """Validate documents and connect everything they name; change nothing.

    Every FILE is checked, whatever is wrong with the others.
    """
    settings().start_logging()
    codes, listed = [], []
    for file in files:
        try:
            result = _check(file)
        except EtlError as error:
            codes.append(settings().report(error))
            listed.append({"document": str(file), "ok": False, "error": error_as_json(error)})
            continue
        codes.append(0 if result.ok else 1)
        listed.append({"document": str(file), **result.to_json()})
        if not as_json:
            click.echo("\n".join(_lines(file, result)))
    if as_json:
        print_json(listed)
    ctx.exit(next((code for code in codes if code), 0))


def _check(file: Path) -> CheckResult:
    from etl_core.engine.operations import check

    with opened(file) as connectors:
        return check(connectors)


def _lines(file: Path, result: CheckResult) -> Iterator[str]:
    yield click.style(f"{file}: {result.pipeline}", bold=True)
    outcomes = [("source", result.source)]
    outcomes += [(f"transform {number}", found) for number, found in enumerate(result.transforms, 1)]
    outcomes += [("destination", result.destination), ("state", result.state)]
    for name, error in outcomes:
        yield f"  {name}: ok" if error is None else f"  {name}: {click.style('failed', fg='red')}: {error}"
    for warning in result.warnings:
        yield f"  {click.style('warning', fg='yellow')}: {warning}"
