"""What the emulator answers when it does not do as it was told: Snowflake's codes, states and words."""

from __future__ import annotations

from etl_snowflake.emulator.names import dotted


class SnowflakeError(Exception):
    """A statement failed: six digits, an SQL state, a message."""

    def __init__(self, code: str, state: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.state = state
        self.message = message


class ApiError(Exception):
    """A streaming request failed: an HTTP status, an error code, a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def syntax(detail: str) -> SnowflakeError:
    """The statement cannot be read, or is one that the emulator does not know."""
    return SnowflakeError("001003", "42000", f"SQL compilation error:\n{detail}")


def missing(kind: str, *names: str) -> SnowflakeError:
    """Give the error for an object that is not there, or that the role may not see."""
    state = "42S02" if kind in {"Table", "Object"} else "02000"
    text = f"SQL compilation error:\n{kind} '{dotted(*names)}' does not exist or not authorized."
    return SnowflakeError("002003", state, text)


def present(*names: str) -> SnowflakeError:
    """Give the error for an object that is already there."""
    return SnowflakeError(
        "002002", "42710", f"SQL compilation error:\nObject '{dotted(*names)}' already exists."
    )


def forbidden(kind: str, *names: str) -> SnowflakeError:
    """The role has not the privilege."""
    text = (
        f"SQL access control error:\nInsufficient privileges to operate on {kind.lower()} '{dotted(*names)}'"
    )
    return SnowflakeError("003001", "42501", text)


def invalid_identifier(name: str) -> SnowflakeError:
    """The statement names a column that is not there."""
    return SnowflakeError(
        "000904", "42000", f"SQL compilation error: error line 1 at position 0\ninvalid identifier '{name}'"
    )


def too_long(length: int) -> SnowflakeError:
    """An identifier has more than 255 characters."""
    text = f"SQL compilation error:\nobject name length {length} exceeds the maximum length of 255 characters"
    return SnowflakeError("002077", "42601", text)


NO_WAREHOUSE = SnowflakeError(
    "000606",
    "57P03",
    "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse' command.",
)
NO_SCHEMA = SnowflakeError(
    "090106",
    "22000",
    "Cannot perform operation. This session does not have a current schema. Call 'USE SCHEMA', or use a qualified name.",
)
NONDETERMINISTIC = SnowflakeError("100090", "42P18", "Duplicate row detected during DML action")
