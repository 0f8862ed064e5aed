"""What this package registers; loading it imports neither pyarrow nor the module of the factory."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl

from etl_acme.config import AcmeConfig


@hookimpl
def etl_register_load() -> Sequence[Registration]:
    """Offer the loader `acme`."""
    return [
        Registration(
            "acme",
            AcmeConfig,
            "etl_acme.loader:AcmeLoader",
            "A history with the day of each change.",
            api=1,
        )
    ]
