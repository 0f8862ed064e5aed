"""The settings: what a document may say under `use: acme`."""

from pathlib import Path

from attrs import frozen, validators
from etl_core import setting


@frozen
class AcmeConfig:
    """Where state is kept, and how much of it."""

    directory: Path = setting(help="The directory, on a local disk; created when it is absent.")
    history: int = setting(100, help="Saved positions kept per pipeline.", validator=validators.gt(0))
    dead_letters: int = setting(
        100_000,
        help="Dead letters kept per pipeline; a run stops before one is lost.",
        validator=validators.gt(0),
    )
