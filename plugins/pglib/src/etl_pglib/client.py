"""Connections to PostgreSQL: the one file that imports psycopg.

`connect` pins what shapes values in text, `translate` says what an error of the server means to a
pipeline. Neither ever shows the password.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl_core.config import Secret
from etl_core.errors import (
    AuthError,
    ConfigError,
    EtlError,
    FatalError,
    PositionLostError,
    RetryableError,
    SchemaError,
)

__all__ = ["SESSION", "Connection", "Error", "connect", "translate"]

Connection = psycopg.Connection[tuple[object, ...]]
Error = psycopg.Error

#: Settings of every session. The first block shapes values printed as text. `row_security` makes a copy
#: fail where a policy would hide rows that the stream sends; the rest lets long copies live.
#: `lc_monetary` is left alone: it decides how many decimals the stored number of a `money` has.
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

    With `replication` it is a logical walsender, which also takes simple queries. Names must be qualified
    in all SQL: the search path is empty. Blocks for at most the DSN's connect_timeout (10 s) per host.
    Raises ConfigError (DSN, database), AuthError (role, password, pg_hba) or RetryableError.
    """
    conninfo = _conninfo(dsn, application_name, replication)
    try:
        connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise _connect_error(error) from None
    try:
        if session:
            values = ", ".join(f"('{name}', '{value}')" for name, value in session.items())
            connection.execute(_APPLY.format(values=values).encode())
        connection.autocommit = autocommit
    except psycopg.Error as error:
        connection.close()
        raise translate(error, "setting up a session") from None
    return connection


def _conninfo(dsn: Secret, application_name: str, replication: bool) -> str:
    try:
        given = conninfo_to_dict(dsn.reveal())
        extra = {name: value for name, value in _DEFAULTS.items() if name not in given}
        if replication:
            extra["replication"] = "database"
        return make_conninfo(dsn.reveal(), application_name=application_name, **extra)
    except psycopg.Error:
        # libpq's own message quotes the DSN, and with it perhaps the password.
        raise ConfigError(
            "the DSN is not one that libpq takes",
            "write postgresql://user:password@host:5432/database (percent-encode @ : / ? # in the "
            "password), or key=value pairs",
        ) from None


_PRIVILEGE = "grant the role what is missing; for replication: ALTER ROLE <role> REPLICATION"
_CREDENTIALS = "check user and password in the DSN, and that pg_hba.conf admits this client"
_TLS = "check sslmode, sslrootcert, sslcert and sslkey in the DSN"

# libpq reports a failed connection without SQLSTATE: its words are all there is. First match wins.
_CONNECT: tuple[tuple[str, type[EtlError], str, str], ...] = (
    ("password authentication failed", AuthError, "the login was refused", _CREDENTIALS),
    ("no password supplied", AuthError, "the login was refused", _CREDENTIALS),
    ("authentication failed", AuthError, "the login was refused", _CREDENTIALS),
    ("pg_hba.conf", AuthError, "the login was refused", _CREDENTIALS),
    ("role ", AuthError, "the login was refused", _CREDENTIALS),
    ("permission denied", AuthError, "a privilege is missing", _PRIVILEGE),
    ("must be superuser or replication role", AuthError, "a privilege is missing", _PRIVILEGE),
    ("database ", ConfigError, "the database does not exist", "check the database's name in the DSN"),
    ("definition of service", ConfigError, "the service is not defined", "check pg_service.conf"),
    ("certificate", ConfigError, "TLS could not be set up", _TLS),
    ("does not support SSL", ConfigError, "TLS could not be set up", _TLS),
)


def _connect_error(error: psycopg.Error) -> EtlError:
    text = str(error)
    # A host with @ in it is the rest of a password that was not percent-encoded.
    server = None if "@" in text else " ".join(text.split())
    for words, kind, message, hint in _CONNECT:
        if words in text:
            return kind(message, hint, server=server)
    hint = "check host and port in the DSN; @ : / ? # in a password must be percent-encoded"
    return RetryableError("the server cannot be reached", hint, server=server)


# SQLSTATE, or its first characters -> error, message, hint. The longest match wins.
_STATES: Mapping[str, tuple[type[EtlError], str, str | None]] = {
    "08": (RetryableError, "the connection to the server was lost", None),
    "25P03": (RetryableError, "the server ended an idle transaction", None),
    "25P04": (
        RetryableError,
        "the server ended a long transaction",
        "SET transaction_timeout = 0 for the role",
    ),
    "28": (AuthError, "the login was refused", _CREDENTIALS),
    "3D000": (ConfigError, "the database does not exist", "check the database's name in the DSN"),
    "40": (RetryableError, "the server rolled the transaction back", None),
    "42501": (AuthError, "a privilege is missing", _PRIVILEGE),
    "42P01": (SchemaError, "a table does not exist", None),
    "42703": (SchemaError, "a column does not exist", None),
    "53": (RetryableError, "the server is out of a resource", None),
    "53400": (
        FatalError,
        "a limit of the server's configuration is reached",
        "drop unused slots (SELECT * FROM pg_replication_slots) or raise max_replication_slots",
    ),
    "55006": (RetryableError, "an object is in use by another session", None),
    "55P03": (RetryableError, "a lock could not be had in time", None),
    "57": (RetryableError, "the server ended the session or the command", None),
    "58": (RetryableError, "the server failed to read or write its files", None),
    "58P01": (PositionLostError, "the server no longer has the WAL that was asked for", None),
    "XX": (RetryableError, "the server had an internal error", None),
}
# Classes whose messages quote values of rows, or whatever a function raised.
_QUOTES_VALUES = ("22", "23", "44", "P0")


def translate(error: psycopg.Error, doing: str) -> EtlError:
    """Return what an error of an open connection means to a pipeline; `doing` is constant.

    Facts are `doing`, `sqlstate` and, unless it may quote a row's values, the `server`'s message. Raise the
    result ``from None``: the original's text has the detail that is left out here.
    """
    state = error.sqlstate
    if state is None:
        return _stateless(error, doing)
    key = next((state[:n] for n in (5, 2) if state[:n] in _STATES), None)
    kind, message, hint = _STATES[key] if key else (FatalError, "the server refused a command", None)
    server = None if state.startswith(_QUOTES_VALUES) else error.diag.message_primary
    return kind(message, hint or error.diag.message_hint, doing=doing, sqlstate=state, server=server)


def _stateless(error: psycopg.Error, doing: str) -> EtlError:
    """An error that libpq or psycopg itself raised."""
    if isinstance(error, psycopg.OperationalError):
        return RetryableError("the connection to the server was lost", doing=doing)
    return FatalError("the server's answer could not be used", doing=doing, error=type(error).__name__)
