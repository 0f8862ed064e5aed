"""What PostgreSQL's failures mean to a pipeline; no I/O, no vendor SDK.

Two tables are the whole policy: one by SQLSTATE, one by libpq's words, since a connection that fails has no
SQLSTATE. The server's own text is kept as the fact `server` where it cannot quote a row or a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from etl_core.errors import (
    AuthError,
    ConfigError,
    EtlError,
    FatalError,
    PositionLostError,
    RetryableError,
    SchemaError,
)

__all__ = ["connecting", "executing"]

_Meaning = tuple[type[EtlError], str, str | None]

_REFUSED: _Meaning = (
    AuthError,
    "the login was refused",
    "check user and password in the DSN, and that pg_hba.conf admits this client",
)
_PRIVILEGE: _Meaning = (
    AuthError,
    "a privilege is missing",
    "GRANT SELECT ON the table; for replication ALTER ROLE <role> REPLICATION; under row security BYPASSRLS",
)
_NO_DATABASE: _Meaning = (
    ConfigError,
    "the database does not exist",
    "check the name of the database in the DSN",
)
_TLS: _Meaning = (
    ConfigError,
    "TLS could not be set up",
    "check sslmode, sslrootcert, sslcert and sslkey in the DSN",
)
_UNREACHABLE: _Meaning = (
    RetryableError,
    "the server cannot be reached",
    "check host and port in the DSN; @ : / ? # in a password must be percent-encoded",
)

# The first match wins; a message may hold several attempts (hosts, with and without TLS).
_WORDS: tuple[tuple[re.Pattern[str], _Meaning], ...] = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"authentication (method|failed)|no password supplied|pg_hba\.conf", _REFUSED),
        (r"role \".*\" (does not exist|is not permitted to log in)", _REFUSED),
        (r"permission denied|must be superuser|must have the REPLICATION|permission to connect", _PRIVILEGE),
        (r"database \".*\" does not exist", _NO_DATABASE),
        (
            r"definition of service|service file",
            (ConfigError, "the service of the DSN is not defined", "check pg_service.conf"),
        ),
        (r"certificate|private key|does not support SSL|channel binding|sslmode", _TLS),
    )
)

# SQLSTATE, or its class -> meaning.
_STATES: Mapping[str, _Meaning] = {
    "08": (RetryableError, "the connection to the server was lost", None),
    "25P03": (RetryableError, "the server ended an idle transaction", None),
    "25P04": (
        RetryableError,
        "the server ended a long transaction",
        "ALTER ROLE <role> SET transaction_timeout = 0",
    ),
    "28": _REFUSED,
    "3D000": _NO_DATABASE,
    "40": (RetryableError, "the server rolled the transaction back", None),
    "42501": _PRIVILEGE,
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
_OTHER: _Meaning = (FatalError, "the server refused a command", None)

# Classes whose messages quote values of rows, or say whatever a function raised.
_QUOTES_VALUES = ("22", "23", "44", "P0")


def connecting(text: str, *, secret: bool = False) -> EtlError:
    """Return what a failed connection means. With `secret` the text may hold a part of a password."""
    meanings = (meaning for pattern, meaning in _WORDS if pattern.search(text))
    kind, message, hint = next(meanings, _UNREACHABLE)
    return kind(message, hint, server=None if secret else " ".join(text.split()))


def executing(state: str | None, doing: str, server: str | None, hint: str | None = None) -> EtlError:
    """Return what a failed command means: its SQLSTATE (None: the connection broke), message and hint."""
    if state is None:
        return RetryableError("the connection to the server was lost", doing=doing)
    kind, message, ours = _STATES.get(state) or _STATES.get(state[:2]) or _OTHER
    quotes = state.startswith(_QUOTES_VALUES)
    facts = {"doing": doing, "sqlstate": state, "server": None if quotes else server}
    return kind(message, ours or (None if quotes else hint), **facts)
