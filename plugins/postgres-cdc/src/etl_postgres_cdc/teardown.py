"""Removing what the source created."""

from __future__ import annotations

from collections.abc import Sequence

from etl_postgres_cdc import publication as publications
from etl_postgres_cdc import slots
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.wal import is_standby

__all__ = ["teardown"]


def teardown(session: Session) -> Sequence[str]:
    """Drop slot and publication; say what was done. What somebody else named or made is left."""
    return [*_slot(session), *_publication(session)]


def _slot(session: Session) -> list[str]:
    slot = slots.find(session.catalog, session.slot)
    if slot is None:
        return []
    if session.config.slot or not slot.usable:
        drop = f"SELECT pg_drop_replication_slot('{slot.name}')"
        return [f"left: replication slot {slot.name}, which holds back WAL until: {drop}"]
    slots.drop(session.catalog, slot.name)
    return [f"dropped: replication slot {slot.name}"]


def _publication(session: Session) -> list[str]:
    publication = publications.find(session.catalog, session.publication)
    if publication is None:
        return []
    if not publication.ours:
        return [f"left: publication {publication.name}, which somebody else made"]
    if is_standby(session.catalog):
        return [f"left: publication {publication.name}, which its primary can drop"]
    publications.drop(session.catalog, publication.name)
    return [f"dropped: publication {publication.name}"]
