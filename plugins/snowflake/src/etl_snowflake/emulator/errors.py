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


def no_warehouse() -> SnowflakeError:
    """The session has no warehouse that it may use."""
    text = "No active warehouse selected in the current session."
    return SnowflakeError("000606", "57P03", text)


def no_schema() -> SnowflakeError:
    """A name is not qualified, and the session has no schema."""
    text = "Cannot perform operation. This session does not have a current schema."
    return SnowflakeError("090106", "22000", text)


def nondeterministic() -> SnowflakeError:
    """Two source rows of a MERGE are for one target row."""
    return SnowflakeError("100090", "42P18", "Duplicate row detected during DML action")


def locked() -> SnowflakeError:
    """Another transaction has the lock, and keeps it."""
    return SnowflakeError("000625", "57014", "Statement was aborted: its lock was held for too long")


def session_expired() -> SnowflakeError:
    """The session's token has to be renewed."""
    return SnowflakeError("390112", "08001", "Your session has expired. Please login again.")


def session_gone() -> SnowflakeError:
    """There is no such session."""
    text = "Session no longer exists. New login required to access the service."
    return SnowflakeError("390111", "08001", text)


def login_needed() -> SnowflakeError:
    """The master token is not good any more."""
    text = "Authentication token has expired. The user must authenticate again."
    return SnowflakeError("390114", "08001", text)


def unauthorized() -> ApiError:
    """A streaming request's token is not good."""
    return ApiError(401, "ERR_UNAUTHORIZED", "The token is invalid or has expired.")
