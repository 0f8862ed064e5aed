"""The conformance kit on a real PostgreSQL."""

from __future__ import annotations

from etl_postgres_cdc.conformance import PostgresCdcSource


class TestPostgresCdcSource(PostgresCdcSource):
    """Every clause."""
