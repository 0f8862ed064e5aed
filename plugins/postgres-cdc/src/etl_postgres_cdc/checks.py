"""What `check` verifies: everything at once, each problem with the SQL that fixes it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from etl_core import AuthError, ConfigError, EtlError, Problem
from etl_pglib.names import quote_ident, quote_literal, quote_stream
from etl_postgres_cdc import publication as publications
from etl_postgres_cdc import slots
from etl_postgres_cdc.catalog import Table, candidates
from etl_postgres_cdc.publication import Publication
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.wal import is_standby

__all__ = ["check", "identities"]

_OLDEST = 150000
_DECODES_ON_STANDBY = 160000
Problems = Iterator[Problem]


def check(session: Session) -> None:
    """Raise ConfigError with all that keeps the source from working."""
    problems = [*_server(session), *_tables(session)]
    if session.streams:
        problems += [*_replication(session), *_slot(session)]
    if problems:
        raise ConfigError("the database is not ready", problems=problems)


def _problem(setting: str, message: str, hint: str) -> Problem:
    return Problem(f"extract.{setting}" if setting else "extract", message, hint)


_SERVER = """
SELECT pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(),
  pg_catalog.current_setting('server_encoding'),
  pg_catalog.current_setting('max_replication_slots')::int
    - (SELECT count(*) FROM pg_catalog.pg_replication_slots),
  current_user::text,
  pg_catalog.current_setting('hot_standby_feedback')::bool
"""


def _server(session: Session) -> Problems:
    (row,) = session.catalog.query(_SERVER, doing="checking the server")
    level, standby, encoding, free, _, feedback = row
    if session.catalog.version < _OLDEST:
        yield _problem("dsn", "the server is older than PostgreSQL 15", "upgrade it")
    if encoding == "SQL_ASCII":
        yield _problem("dsn", "the database has no encoding (SQL_ASCII)", "make one with ENCODING 'UTF8'")
    if not session.streams:
        return
    if standby and session.catalog.version < _DECODES_ON_STANDBY:
        yield _problem("dsn", "the server is a standby, older than PostgreSQL 16", "connect to its primary")
    elif standby and not feedback:
        yield _problem(
            "dsn",
            "the server is a standby with hot_standby_feedback off: its primary would remove rows that the "
            "slot needs",
            "on the standby: ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf()",
        )
    if level != "logical":
        yield _problem(
            "dsn",
            f"wal_level is {level}, not logical",
            "ALTER SYSTEM SET wal_level = 'logical'; then restart the server",
        )
    wanted = 1 if slots.find(session.catalog, session.slot) else 2
    if free < wanted:
        yield _problem(
            "slot",
            f"{free} replication slots are free, {wanted} are needed",
            "ALTER SYSTEM SET max_replication_slots = ...; then restart the server, or drop unused ones: "
            "SELECT slot_name FROM pg_replication_slots WHERE NOT active",
        )


def _replication(session: Session) -> Problems:
    try:
        session.identify()
    except AuthError as error:
        (row,) = session.catalog.query(_SERVER, doing="checking the server")
        yield _problem(
            "dsn",
            f"the role cannot start replication: {error.facts.get('server') or error.message}",
            f"ALTER ROLE {quote_ident(row[4])} REPLICATION; and admit it in pg_hba.conf",
        )
    except EtlError as error:
        yield _problem("dsn", f"replication cannot be started: {error}", error.hint or "see the server's log")


def _slot(session: Session) -> Problems:
    slot = slots.find(session.catalog, session.slot)
    if slot and (slot.lost or not slot.usable):
        reason = "has lost WAL it needs" if slot.lost else "is not one of pgoutput for this database"
        yield _problem(
            "slot",
            f"slot {slot.name} {reason}",
            f"SELECT pg_drop_replication_slot({quote_literal(slot.name)})",
        )


def _tables(session: Session) -> Problems:
    publication = publications.find(session.catalog, session.publication)
    everything = candidates(session.catalog, lambda _: True)
    if publication is None and (session.streams or not session.config.publication):
        tables = [table for table in everything if session.selection(table.stream)]
        yield from session.selection.problems([table.stream for table in everything], "of the database")
        if session.streams:
            standby = is_standby(session.catalog)
            yield from (_absent if standby else _creatable)(session, tables)
            yield from identities(tables)
    elif publication is None:
        tables = []
        yield _problem("publication", f"publication {session.publication} does not exist", "create it")
    else:
        tables = session.tables()
        yield from session.selection.problems([table.stream for table in tables], "of the publication")
        yield from identities(tables)
        yield from _publishes(publication)
    yield from _readable(session, tables)


def _absent(session: Session, tables: Sequence[Table]) -> Problems:
    if tables:
        yield _problem(
            "publication",
            f"publication {session.publication} does not exist, and a standby cannot make it",
            f"on its primary: {publications.creation(session.publication, [t.stream for t in tables])}",
        )


_CREATABLE = """
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
  pg_catalog.current_database()::text, current_user::text,
  coalesce((SELECT bool_and(pg_catalog.pg_has_role(c.relowner, 'USAGE')) FROM pg_catalog.pg_class c
    WHERE c.oid = ANY(%s::bigint[]::oid[])), true)
"""


def _creatable(session: Session, tables: Sequence[Table]) -> Problems:
    oids = [table.oid for table in tables]
    ((create, database, role, owner),) = session.catalog.query(
        _CREATABLE, oids, doing="checking privileges for the publication"
    )
    if tables and not (create and owner):
        sql = publications.creation(session.publication, [table.stream for table in tables])
        yield _problem(
            "publication",
            f"the role {role} cannot create publication {session.publication} in {database}",
            f"as an owner of the tables with CREATE on the database: {sql}",
        )


def identities(tables: Sequence[Table]) -> Problems:
    """Return a problem for each table whose UPDATE and DELETE would fail once it is published."""
    for table in tables:
        if not table.identified:
            full = (
                f"ALTER TABLE {quote_stream(stream)} REPLICA IDENTITY FULL"
                for stream in (table.stream, *table.bare)
            )
            yield _problem(
                "tables",
                f"{table.stream} has no key to replicate by: its UPDATE and DELETE would fail once published",
                f"add a primary key, or {'; '.join(full)}",
            )


def _publishes(publication: Publication) -> Problems:
    if not publication.complete:
        yield _problem(
            "publication",
            f"publication {publication.name} leaves out kinds of changes",
            f"ALTER PUBLICATION {quote_ident(publication.name)} "
            "SET (publish = 'insert, update, delete, truncate')",
        )


_READABLE = """
SELECT c.oid::bigint, pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'),
  pg_catalog.has_table_privilege(c.oid, 'SELECT'),
  c.relrowsecurity AND pg_catalog.row_security_active(c.oid),
  current_user::text
FROM pg_catalog.pg_class c WHERE c.oid = ANY(%s::bigint[]::oid[])
"""


def _readable(session: Session, tables: Sequence[Table]) -> Problems:
    by_oid = {table.oid: table for table in tables}
    for oid, usage, select, policies, user in session.catalog.query(
        _READABLE, list(by_oid), doing="checking privileges on tables"
    ):
        stream, role = by_oid[oid].stream, quote_ident(user)
        if not usage:
            yield _problem(
                "tables",
                f"{stream} is in a schema that the role cannot use",
                f"GRANT USAGE ON SCHEMA {quote_ident(stream.namespace)} TO {role}",
            )
        if not select:
            yield _problem(
                "tables", f"{stream} cannot be read", f"GRANT SELECT ON {quote_stream(stream)} TO {role}"
            )
        if policies:
            yield _problem(
                "tables",
                f"{stream} has row security: a copy would miss rows",
                f"ALTER ROLE {role} BYPASSRLS",
            )
