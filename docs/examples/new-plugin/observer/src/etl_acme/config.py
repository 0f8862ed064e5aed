"""The settings: what a document may say under `use: acme`."""

from pathlib import Path

from attrs import frozen
from etl_core import setting


@frozen
class AcmeConfig:
    """Where events are written."""

    path: Path = setting(help="The file that events are added to; created when it is absent.")
