"""What this package registers; loading it imports neither pyarrow nor the module of the factory."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl

from etl_acme.config import AcmeConfig


@hookimpl
def etl_register_transform() -> Sequence[Registration]:
    """Offer the transform `acme`."""
    return [
        Registration(
            "acme",
            AcmeConfig,
            "etl_acme.transform:AcmeTransform",
            "Hides the values of columns.",
            api=1,
        )
    ]
