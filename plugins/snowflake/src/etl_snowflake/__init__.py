"""Snowflake as a destination for etl-core."""
