"""Connections to PostgreSQL: the one file that imports psycopg.

`connect` pins what shapes values in text, `translate` says what an error means to a pipeline. Neither ever
shows a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl_core import Secret
from etl_core.errors import ConfigError, EtlError, FatalError
from etl_pglib import failures
from etl_pglib.names import quote_literal

__all__ = ["SESSION", "Connection", "Error", "connect", "settings_sql", "translate"]

Connection = psycopg.Connection[tuple[Any, ...]]
Error = psycopg.Error

#: Settings of every session, where the server knows them. The first block shapes values printed as text.
#: `row_security` makes a copy fail where a policy would hide rows that the stream sends; the rest lets long
#: copies live. `lc_monetary` is left alone: it decides how many decimals the stored number of a `money` has.
SESSION: Mapping[str, str] = MappingProxyType(
    {
        "bytea_output": "hex",
        "client_encoding": "UTF8",
        "datestyle": "ISO, YMD",
        "extra_float_digits": "3",
        "intervalstyle": "postgres",
        "quote_all_identifiers": "off",
        "search_path": "",
        "timezone": "UTC",
        "row_security": "off",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
        "lock_timeout": "0",
        "statement_timeout": "0",
        "transaction_timeout": "0",
    }
)

_APPLY = """
SELECT pg_catalog.set_config(s.name, v.value, false) FROM pg_catalog.pg_settings s
JOIN (VALUES {values}) v (name, value) ON pg_catalog.lower(s.name) = v.name
"""
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    # Keepalives are only sent while nothing is unanswered: without it, what was sent into a network that is
    # gone is sent again for a quarter of an hour. Milliseconds.
    "tcp_user_timeout": "60000",
}


def connect(
    dsn: Secret,
    *,
    application_name: str,
    replication: bool = False,
    autocommit: bool = True,
    session: Mapping[str, str] = SESSION,
) -> Connection:
    """Open a connection with `session` set; `dsn` is anything libpq takes (URI, key=value, service=...).

    With `replication` it is a logical walsender, which takes simple queries too. SESSION's search path is
    empty: qualify names in SQL. Blocks for at most the DSN's connect_timeout (10 s) per host.
    Raises ConfigError (DSN, database, TLS), AuthError (role, password, pg_hba) or RetryableError.
    """
    conninfo = _conninfo(dsn, application_name, replication)
    try:
        connection = psycopg.connect(conninfo.reveal(), autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise failures.connecting(str(error), secret=_misread(dsn)) from None
    try:
        if session:
            connection.execute(settings_sql(session).encode())
        connection.autocommit = autocommit
    except psycopg.Error as error:
        connection.close()
        raise translate(error, "setting up the session") from None
    return connection


def settings_sql(session: Mapping[str, str]) -> str:
    """Return the statement that sets `session` where the server knows the names; `session` is not empty.

    Set by SQL, not by libpq's `options`: DSN, service file or PGOPTIONS may have options of their own.
    """
    values = ", ".join(f"({quote_literal(name)}, {quote_literal(value)})" for name, value in session.items())
    return _APPLY.format(values=values)


def translate(error: psycopg.Error, doing: str) -> EtlError:
    """Return what an error of an open connection means to a pipeline; `doing` is constant.

    Facts are `doing`, `sqlstate` and, unless it may quote a row's values, the `server`'s message. Raise the
    result ``from None``: the original's text has the detail that is left out here.
    """
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError):
        return FatalError("the server's answer cannot be used", doing=doing, error=type(error).__name__)
    return failures.executing(error.sqlstate, doing, error.diag.message_primary, error.diag.message_hint)


def _conninfo(dsn: Secret, application_name: str, replication: bool) -> Secret:
    try:
        given = conninfo_to_dict(dsn.reveal())
        extra = {name: value for name, value in _DEFAULTS.items() if name not in given}
        if replication:
            extra["replication"] = "database"
        return Secret(make_conninfo(dsn.reveal(), application_name=application_name, **extra))
    except psycopg.Error:
        # libpq's own message quotes the DSN, and with it perhaps the password.
        raise ConfigError(
            "the DSN is not one that libpq takes",
            "write postgresql://user:password@host:5432/database (@ : / ? # in a password percent-encoded), "
            "or key=value pairs",
        ) from None


def _misread(dsn: Secret) -> bool:
    """Whether a part of a password may have been read as another part of the URI."""
    given = conninfo_to_dict(dsn.reveal())
    return any("@" in str(given.get(part, "")) for part in ("host", "dbname"))
