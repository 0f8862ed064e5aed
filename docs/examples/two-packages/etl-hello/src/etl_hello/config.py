"""The settings: what a document may say under `use: hello`, `shout` and `lines`."""

from pathlib import Path

from attrs import frozen

from etl_core import setting


@frozen
class HelloConfig:
    """How many greetings."""

    count: int = setting(3, help="How many greetings.")


@frozen
class ShoutConfig:
    """Which column."""

    column: str = setting(help="The column to write in capitals.")


@frozen
class LinesConfig:
    """Which file."""

    path: Path = setting(help="The file that rows are added to.")
