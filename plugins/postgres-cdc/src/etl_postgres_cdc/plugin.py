"""Registers the connector `postgres-cdc`."""

from __future__ import annotations

from collections.abc import Sequence

from etl_core import Registration, hookimpl
from etl_postgres_cdc.config import PostgresCdc

__all__ = ["etl_register_extract"]


@hookimpl
def etl_register_extract() -> Sequence[Registration]:
    """Offer PostgreSQL's snapshot and logical replication as a source."""
    return [
        Registration(
            "postgres-cdc",
            PostgresCdc,
            "etl_postgres_cdc.source:PostgresSource",
            "PostgreSQL: a snapshot, then every change, through logical replication",
            api=1,
        )
    ]
