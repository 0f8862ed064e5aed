"""`etl-core schema`: the JSON Schema of documents, for editors."""

from __future__ import annotations

import click

from etl_core.cli.options import common
from etl_core.cli.output import print_json
from etl_core.plugins import installed

__all__ = ["command"]


@click.command("schema")
@common
def command() -> None:
    """Print the JSON Schema of pipeline documents, with every installed plugin's settings."""
    from etl_core.document.jsonschema import document_schema
    from etl_core.document.model import SHAPES

    plugins = installed()
    offers = {
        section: [(one.name, one.config, one.summary) for one, _ in plugins.connectors(section)]
        for section in SHAPES
    }
    print_json(document_schema(offers))
