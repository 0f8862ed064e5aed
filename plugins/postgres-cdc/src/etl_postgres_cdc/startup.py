"""Where a read begins: a new position with its slot, or the one to resume from, verified."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Set as AbstractSet

from etl_core import ConfigError, RetryableError, Stream
from etl_postgres_cdc import catalog as catalogs
from etl_postgres_cdc import publication as publications
from etl_postgres_cdc import slots
from etl_postgres_cdc.catalog import Table, candidates
from etl_postgres_cdc.checks import identities
from etl_postgres_cdc.position import Identity, Progress, TableState, format_lsn
from etl_postgres_cdc.publication import Publication
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.slots import Slot
from etl_postgres_cdc.wal import wal_end

__all__ = ["RESTART", "begin", "refresh", "resume", "verify_publication", "verify_slot"]

#: Why a server gives a slot up, in its words (17 and later), and what keeps it from doing so again.
_GIVEN_UP = {
    "wal_removed": ("the server has removed WAL that the slot needs", "raise max_slot_wal_keep_size"),
    "rows_removed": (
        "the primary has removed rows that the standby's slot needs",
        "set hot_standby_feedback = on on the standby",
    ),
    "wal_level_insufficient": (
        "the primary no longer writes what a slot needs",
        "set wal_level = 'logical' on the primary",
    ),
    "idle_timeout": (
        "the server has given up the slot because nobody read it",
        "raise idle_replication_slot_timeout or run more often",
    ),
}
RESTART = "set on_slot_lost: resnapshot to copy all tables again, or do it once: etl-core state reset"


def begin(session: Session) -> Generator[None, None, Progress]:
    """Prepare publication and slot, in this order: the slot must not know a time without the publication."""
    if not session.streams:
        return _copy_only(session)
    server = session.identify()
    publication = publications.find(session.catalog, session.publication) or _publish(session)
    _tell_incomplete(session, publication)
    publications.extend(session.catalog, session.publication, session.selection)
    tables = session.tables()
    session.selection.require([table.stream for table in tables], "of the publication")
    lsn = yield from _slot(session)
    identity = Identity(
        server.system,
        server.timeline,
        session.slot,
        session.publication,
        publication.oid,
        session.shape,
    )
    progress = Progress(identity, lsn)
    for table in tables:
        first = None if session.config.snapshot == "initial" else lsn
        progress.set(table.stream, TableState(table.oid, table.member, first))
    return progress


def _copy_only(session: Session) -> Progress:
    progress = Progress(Identity("", 0, None, session.config.publication, None, session.shape), 0)
    tables = session.tables()
    session.selection.require([table.stream for table in tables], "of the database")
    for table in tables:
        progress.set(table.stream, TableState(table.oid, table.member, None))
    return progress


def _publish(session: Session) -> Publication:
    """Create the publication, unless that would make the owners' own UPDATEs fail."""
    found = candidates(session.catalog, lambda _: True)
    session.selection.require([table.stream for table in found], "of the database")
    wanted = [table for table in found if session.selection(table.stream)]
    if problems := list(identities(wanted)):
        raise ConfigError("tables cannot be published", problems=problems)
    publications.create(session.catalog, session.publication, [table.stream for table in wanted])
    publication = publications.find(session.catalog, session.publication)
    if publication is None:
        raise RetryableError("the publication was dropped while it was prepared")
    return publication


def _slot(session: Session) -> Generator[None, None, int]:
    """Create the slot, or take the one that is there.

    A slot under the default name is left from a run that made nothing durable, or from one whose position
    is given up: it is made anew, unless `snapshot: never` counts on what it holds. A slot named in the
    settings is taken as it is, but for what the snapshots to come include anyway: that may be from before
    the publication, and could not be read.
    """
    name = session.slot
    slot = slots.find(session.catalog, name)
    keep = session.config.slot is not None or session.config.snapshot == "never"
    if slot and keep:
        _require_usable(session, slot)
        never = session.config.snapshot == "never"
        return slot.confirmed if never else max(slot.confirmed, wal_end(session.catalog))
    if slot:
        slots.drop(session.catalog, name)
    return (yield from slots.told(slots.create(session.replication, name), session.ctx, session.catalog))


def _require_usable(session: Session, slot: Slot) -> None:
    if not slot.usable or slot.lost:
        raise ConfigError(
            "the replication slot cannot be used",
            f"it is lost, of another database or plugin; drop it: "
            f"SELECT pg_drop_replication_slot('{slot.name}')",
            slot=slot.name,
        )


def resume(session: Session, value: object) -> Progress:
    """Read a position and verify that the server can serve exactly what comes after it."""
    progress = Progress.parse(value)
    if not session.streams:
        return progress
    identity, server = progress.identity, session.identify()
    if identity.slot != session.slot:
        raise session.lost(
            "the position belongs to another slot", f"name that slot again, or {RESTART}", found=identity.slot
        )
    if (identity.system, identity.timeline) != (server.system, server.timeline):
        raise session.lost("the server has another history", RESTART, found=server.system)
    _tell_incomplete(session, verify_publication(session, identity))
    if progress.cut and identity.shape != session.shape:
        raise session.lost(
            "the settings changed inside a transaction",
            f"restore `publication` and `tables` until it is delivered, or {RESTART}",
        )
    verify_slot(session, progress)
    return progress


def _tell_incomplete(session: Session, publication: Publication) -> None:
    if not publication.complete:
        session.ctx.logger.warning(
            "publication {name} leaves out kinds of changes: a mirror lacks them",
            name=publication.name,
        )


def verify_publication(session: Session, identity: Identity) -> Publication:
    """Return the publication; raise PositionLostError when it is another. Add what ours lacks.

    PostgreSQL 18 goes on without a publication that is gone, and leaves its tables' changes out.
    """
    publication = publications.find(session.catalog, session.publication)
    if publication is None or publication.oid != identity.publication_oid:
        raise session.lost(
            "the publication is not the one that was read", RESTART, publication=session.publication
        )
    publications.extend(session.catalog, session.publication, session.selection)
    return publication


def verify_slot(session: Session, progress: Progress) -> None:
    """Raise PositionLostError when the slot would not go on exactly at the position."""
    slot = slots.find(session.catalog, session.slot)
    if slot is None:
        raise session.lost("the replication slot does not exist", RESTART)
    if slot.lost:
        message, remedy = _GIVEN_UP.get(slot.reason or "", _GIVEN_UP["wal_removed"])
        raise session.lost(message, f"{remedy}, and {RESTART}", reason=slot.reason)
    _require_usable(session, slot)
    facts = {"position": format_lsn(progress.lsn), "confirmed": format_lsn(slot.confirmed)}
    if slot.confirmed > progress.lsn:
        raise session.lost(
            "the replication slot is ahead of the position", f"was it recreated or read? {RESTART}", **facts
        )
    if wal_end(session.catalog) < progress.lsn:
        raise session.lost("the server's WAL ends before the position", RESTART, **facts)


def refresh(session: Session) -> list[Stream]:
    """Note tables that joined, or were published anew, as tables to copy; return them."""
    progress = session.progress
    tables = session.tables()
    _tell_gone(session, {table.stream for table in tables})
    joined = [table for table in tables if _is_new(progress.tables.get(table.stream), table)]
    for table in joined:
        progress.set(table.stream, TableState(table.oid, table.member, None))
    return [table.stream for table in joined]


def _tell_gone(session: Session, published: AbstractSet[Stream]) -> None:
    """Say, once, of which tables nothing more will come though they are still there."""
    tables = session.progress.tables
    gone = {stream for stream, table in tables.items() if table.snapshot is not None} - published
    new, session.gone = gone - session.gone, gone
    there = catalogs.existing(session.catalog, [tables[stream].relation for stream in new]) if new else ()
    for stream in sorted(new):
        if tables[stream].relation in there:
            session.ctx.logger.warning(
                "{stream} is no longer published: nothing more comes of it", stream=stream
            )


def _is_new(known: TableState | None, table: Table) -> bool:
    return known is None or (known.relation, known.member) != (table.oid, table.member)
