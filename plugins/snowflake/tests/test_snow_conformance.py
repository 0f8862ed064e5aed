"""The destination keeps what every destination promises."""

from __future__ import annotations

from etl_snowflake.conformance import Snowflake as TestSnowflake

__all__ = ["TestSnowflake"]
