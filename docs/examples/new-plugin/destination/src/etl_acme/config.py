"""The settings: what a document may say under `use: acme`."""

from pathlib import Path

from attrs import frozen
from etl_core import setting


@frozen
class AcmeConfig:
    """Where rows go."""

    directory: Path = setting(help="The directory of the files; it must exist, and be one pipeline's own.")
