"""What this package registers; loading it imports neither pyarrow nor the module of the factory."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl

from etl_acme.config import AcmeConfig


@hookimpl
def etl_register_executor() -> Sequence[Registration]:
    """Offer the executor `acme`."""
    return [
        Registration(
            "acme",
            AcmeConfig,
            "etl_acme.executor:AcmeExecutor",
            "Runs each pipeline in a process of its own.",
            api=1,
        )
    ]
