"""What this package registers; loading it imports neither pyarrow nor the module of the factory."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl

from etl_acme.config import AcmeConfig


@hookimpl
def etl_register_state() -> Sequence[Registration]:
    """Offer the state `acme`."""
    return [
        Registration(
            "acme",
            AcmeConfig,
            "etl_acme.state:AcmeStateStore",
            "State in SQLite files of a directory.",
            api=1,
        )
    ]
