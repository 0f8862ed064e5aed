"""What this package registers; loading it does not import the command."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl


@hookimpl
def etl_register_commands() -> Sequence[Registration]:
    """Offer `etl-core acme`."""
    return [
        Registration(
            "acme",
            None,
            "etl_acme.command:command",
            "Lists what pipeline documents are made of.",
            api=1,
        )
    ]
