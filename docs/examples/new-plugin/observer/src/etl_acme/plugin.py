"""What this package registers; loading it imports neither pyarrow nor the module of the factory."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl

from etl_acme.config import AcmeConfig


@hookimpl
def etl_register_observability() -> Sequence[Registration]:
    """Offer the observer `acme`."""
    return [
        Registration(
            "acme",
            AcmeConfig,
            "etl_acme.observer:AcmeObserver",
            "Events as lines of JSON.",
            api=1,
        )
    ]
