"""The settings: what a document may say under `use: hello` and `use: shout`."""

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
