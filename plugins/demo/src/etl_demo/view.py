"""The demonstration on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from etl_demo.compare import TableReport
from etl_demo.story import Report

__all__ = ["show", "show_kept"]


def show(console: Console, report: Report) -> None:
    """Print the comparison, the figures and where the files are."""
    table = Table("table", "rows source", "rows copy", "differing values", "verdict", title="Source and copy")
    table.columns[0].no_wrap = True
    for column in table.columns[1:4]:
        column.justify = "right"
    for item in report.tables:
        verdict = "[green]equal[/]" if item.equal else "[bold red]DIFFERENT[/]"
        counts = (f"{count:,}" for count in (item.source_rows, item.copy_rows, item.differing))
        table.add_row(escape(item.table), *counts, verdict)
    console.print(table)
    for item in report.tables:
        _show_differences(console, item)
    if report.seconds:
        console.print(
            f"{report.snapshot_rows:,} rows copied and {report.changes:,} row changes of "
            f"{report.transactions:,} transactions followed in {report.seconds:.1f} s of pipeline: "
            f"[bold]{report.rows_per_second:,.0f} rows/s[/], start, crash and restart included",
            soft_wrap=True,
        )
    files = f"The files: {escape(str(report.directory))} (shop.yaml, shop.duckdb, pipeline.log)"
    console.print(files, highlight=False, soft_wrap=True)
    console.print("[bold green]Every value is equal.[/]" if report.equal else "[bold red]Values differ.[/]")


def show_kept(console: Console, report: Report, psql: Path) -> None:
    """Print what can be tried while PostgreSQL runs on."""
    home = report.directory
    query = f"import duckdb; print(duckdb.connect('{home / 'shop.duckdb'}').sql('FROM public.orders'))"
    console.print("\nPostgreSQL runs on. Try:", style="bold")
    for meaning, command in (
        ("change something", f"{psql} {report.dsn}"),
        ("follow it", f"etl-core run {home / 'shop.yaml'}"),
        ("look at the copy", f'python -c "{query}"'),
        ("compare again", f"etl-core demo --compare {home}"),
        ("stop it", f"etl-core demo --stop {home}"),
    ):
        console.print(f"  {meaning:17} {command}", markup=False, highlight=False, soft_wrap=True)


def _show_differences(console: Console, item: TableReport) -> None:
    for found in item.differences:
        where = f"{item.table} {found.key} {found.column or ''}"
        console.print(f"  {where}: source {found.source}, copy {found.copy}", markup=False, soft_wrap=True)
