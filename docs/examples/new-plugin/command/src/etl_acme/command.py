"""`etl-core acme`: what pipeline documents are made of."""

import json
from pathlib import Path

import click
from etl_core import load_document


@click.command("acme")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """List the connectors that pipeline documents name; each FILE is one."""
    listed = [
        {"pipeline": document.pipeline, "section": part.section, "use": part.use}
        for document in map(load_document, files)
        for part in document.sections
    ]
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    for each in listed:
        click.echo(f"{each['pipeline']}  {each['section']}: {each['use']}")
