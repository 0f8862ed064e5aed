"""The settings: what a document may say under `use: acme`."""

from attrs import frozen
from etl_core import setting


@frozen
class AcmeConfig:
    """What is hidden."""

    columns: tuple[str, ...] = setting(help="The columns whose values are hidden.")
