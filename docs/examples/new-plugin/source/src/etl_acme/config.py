"""The settings: what a document may say under `use: acme`."""

from pathlib import Path

from attrs import frozen
from etl_core import setting


@frozen
class AcmeConfig:
    """Where the files are."""

    directory: Path = setting(
        help="The directory of the files *.csv; each comes whole, under a name that sorts after the others."
    )
