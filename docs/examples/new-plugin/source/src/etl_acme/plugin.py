"""What this package registers; loading it imports neither pyarrow nor the module of the factory."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl

from etl_acme.config import AcmeConfig


@hookimpl
def etl_register_extract() -> Sequence[Registration]:
    """Offer the source `acme`."""
    return [
        Registration(
            "acme",
            AcmeConfig,
            "etl_acme.source:AcmeSource",
            "Rows of the CSV files in a directory.",
            api=1,
        )
    ]
