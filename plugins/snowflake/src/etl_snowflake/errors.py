"""What Snowflake's errors mean here: one function for the driver, the streaming client and the REST protocol.

A message of the service may hold a value or a statement, so only its codes are looked at and handed on.
"""

from __future__ import annotations

import re
from typing import Any

from etl_core import AuthError, ConfigError, EtlError, FatalError, RetryableError, SchemaError, StateError

__all__ = ["LOST", "refused", "translated"]

#: The session is gone; a new login makes a new one.
LOST = frozenset({390111, 390112, 390113, 390114, 390115, 390195, 250001})
_LOGIN = frozenset({390100, 390101, 390102, 390103, 390104, 390144, 390201, 390318, 390422})
_ROLE = frozenset({390186, 390189, 390190, 3001, 3003, 3005, 2003, 2043})
_BUSY = frozenset({4, 5, 603, 604, 625, 630, 1040, 300002, 370})
_NOTHING_CHOSEN = frozenset({606, 90105, 90106})

_CODE = re.compile(r"error_code=([A-Z0-9_]+)")
_STATUS = re.compile(r"(?:HTTP|status) (\d{3})")
#: The channel belongs to another client now.
_TAKEN = "STALE_CONTINUATION_TOKEN_SEQUENCER"
_UNKNOWN_PIPE = "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"

_KEY_HINT = "check account and user, that RSA_PUBLIC_KEY is this key's other half, and this machine's clock"
_GRANT_HINT = "run `etl-core check` for the GRANT that is missing; an object may also not exist"


def translated(error: BaseException) -> EtlError:
    """Return our error for one of the vendor's, of either client; constant messages, codes as facts."""
    if isinstance(error, EtlError):
        return error
    code = getattr(getattr(error, "error_code", None), "value", None)
    if isinstance(code, str):
        return _streaming(code, str(error))
    if isinstance(error, TimeoutError):
        return RetryableError("Snowflake did not answer in time")
    if isinstance(error, ValueError):
        return SchemaError("the streaming client cannot write a row", kind=type(error).__name__)
    if isinstance(error, RuntimeError) or not isinstance(error, Exception):
        return RetryableError("the streaming client failed", kind=type(error).__name__)
    return _driver(error)


def _driver(error: Any) -> EtlError:
    number, state = abs(int(getattr(error, "errno", None) or 0)), str(getattr(error, "sqlstate", None) or "")
    facts: dict[str, Any] = {
        "errno": number or None,
        "sqlstate": state or None,
        "query": getattr(error, "sfqid", None),
    }
    if facts["query"] is None and "certificate" in str(error):  # no statement's own word
        return ConfigError(
            "the host's certificate is not trusted", "name its authority under authorities", **facts
        )
    if number in _LOGIN:
        return AuthError("Snowflake refused the login", _KEY_HINT, **facts)
    if number in _ROLE:
        return AuthError("Snowflake refused access, or there is no such object", _GRANT_HINT, **facts)
    if number in _NOTHING_CHOSEN:
        return ConfigError(
            "no warehouse or database is in use", "check their names and USAGE on them", **facts
        )
    if number in LOST or number in _BUSY or state[:2] == "08" or state == "57014":
        return RetryableError("Snowflake could not be reached, or gave up a statement", **facts)
    return _refused_statement(type(error).__name__, state, facts)


def _refused_statement(kind: str, state: str, facts: dict[str, Any]) -> EtlError:
    if state[:2] in {"22", "23"}:
        return SchemaError(
            "a value does not fit its column", "compare the source's type with the table's", **facts
        )
    if state[:2] == "42":
        return SchemaError("a statement does not fit the tables that are there", **facts)
    if kind == "OperationalError":
        return RetryableError("Snowflake could not be reached, or gave up a statement", **facts)
    return FatalError(
        "Snowflake refused a statement", "look the query up in QUERY_HISTORY", kind=kind, **facts
    )


_CLIENT_LOGIN = frozenset({"AuthTokenError", "SfApiAuthError"})
_CLIENT_WRONG = frozenset({"ConfigError", "InvalidArgument"})


def _streaming(kind: str, text: str) -> EtlError:
    found, status = _CODE.search(text), _STATUS.search(text)
    code = found[1] if found else None
    if kind in _CLIENT_LOGIN and (status is None or status[1] in {"401", "403"}):
        return AuthError("Snowflake refused the login of a streaming client", _KEY_HINT, kind=kind, code=code)
    if kind in _CLIENT_WRONG:
        return ConfigError("the streaming client refused its settings", kind=kind, code=code)
    return _by_code(code, kind=kind)


def refused(status: int, code: str | None, retry_after: float | None = None) -> EtlError:
    """Return our error for an answer of the REST protocol that is none of success."""
    if status in {401, 403} and code != _UNKNOWN_PIPE:
        return AuthError(
            "Snowflake refused the login of a streaming client", _KEY_HINT, status=status, code=code
        )
    if status == 413:
        return SchemaError("a row is larger than one request may be", "load such rows by COPY", status=status)
    return _by_code(code, retry_after, status=status)


def _by_code(code: str | None, retry_after: float | None = None, **facts: Any) -> EtlError:
    if code == _TAKEN:
        return StateError(
            "another copy of this pipeline opened the channel", "stop one of the two", code=code, **facts
        )
    if code == _UNKNOWN_PIPE:
        return AuthError("no such table for streaming, or no access to it", _GRANT_HINT, code=code, **facts)
    return RetryableError("a streaming request failed", retry_after=retry_after, code=code, **facts)
