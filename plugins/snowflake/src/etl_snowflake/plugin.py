"""What this package registers; loading it imports neither the vendor's clients nor pyarrow."""

from __future__ import annotations

from collections.abc import Sequence

from etl_core import Registration, hookimpl
from etl_snowflake.config import SnowflakeConfig


@hookimpl
def etl_register_destination() -> Sequence[Registration]:
    """Return the destination `snowflake`."""
    return [
        Registration(
            "snowflake",
            SnowflakeConfig,
            "etl_snowflake.destination:SnowflakeDestination",
            "Tables in Snowflake, exactly once: COPY, Snowpipe Streaming, and merges.",
            api=1,
        )
    ]
