"""What `check` verifies: everything at once, each problem with what mends it. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from attrs import frozen

from etl_core import AuthError, ConfigError, Problem
from etl_snowflake import control
from etl_snowflake.auth import load_key
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.names import Names, quote

__all__ = ["check"]

Problems = Iterator[Problem]

#: Errors of a login with a role that the user has not.
_NO_ROLE = frozenset({390186, 390189, 390190})
#: What is needed in the landing schema.
_IN_SCHEMA = ("USAGE", "CREATE TABLE", "CREATE STAGE")
#: Roles that may do what nobody has granted them.
_MIGHTY = frozenset({"ACCOUNTADMIN"})


@frozen
class _Found:
    """What a login ended with."""

    role: str
    warehouse: str | None
    database: str | None
    granted: Collection[tuple[str, str, str]]
    """Privilege, kind, dotted name."""

    def may(self, privilege: str, kind: str, *names: str) -> bool:
        dotted = ".".join(names)
        return self.role in _MIGHTY or any(
            (each, kind, dotted) in self.granted for each in (privilege, "OWNERSHIP", "ALL PRIVILEGES")
        )


def check(config: SnowflakeConfig, names: Names) -> None:
    """Raise AuthError where the login is refused, and ConfigError with all that is missing after it."""
    load_key(config)
    session = Session(config)
    try:
        found = _log_in(session, config)
        problems = [*_database(session, config, names, found), *_warehouse(config, found)]
        problems += _tasks(session, config, names, found)
    finally:
        session.close()
    if problems:
        raise ConfigError("the account is not ready", problems=problems)


def _log_in(session: Session, config: SnowflakeConfig) -> _Found:
    try:
        rows = session.execute("SELECT CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_DATABASE()")
    except AuthError as error:
        if config.role is None or error.facts.get("errno") not in _NO_ROLE:
            raise
        raise AuthError(
            "the role does not exist, or the user does not have it",
            f"GRANT ROLE {quote(config.role)} TO USER {quote(config.user.upper())};",
            role=config.role,
        ) from None
    role, warehouse, database = rows[0]
    return _Found(str(role), warehouse, database, _granted(session, str(role)))


def _granted(session: Session, role: str) -> set[tuple[str, str, str]]:
    """Return what a role may do, by itself and through the roles that it was granted."""
    granted: set[tuple[str, str, str]] = set()
    seen, waiting = {role}, [role]
    while waiting:
        for row in session.execute(f"SHOW GRANTS TO ROLE {quote(waiting.pop())}"):
            privilege, kind, name = (str(part).upper() if place < 2 else str(part).replace('"', "")
                                     for place, part in enumerate(row[1:4]))  # fmt: skip
            granted.add((privilege, kind, "" if kind == "ACCOUNT" else name))
            if kind == "ROLE" and privilege == "USAGE" and name not in seen:
                seen.add(name)
                waiting.append(name)
    return granted


def _problem(setting: str, message: str, hint: str) -> Problem:
    return Problem(f"destination.{setting}", message, hint)


def _grant(found: _Found, privilege: str, kind: str, name: str) -> str:
    return f"GRANT {privilege} ON {kind} {name} TO ROLE {quote(found.role)};"


def _warehouse(config: SnowflakeConfig, found: _Found) -> Problems:
    if found.warehouse is None or not found.may("USAGE", "WAREHOUSE", config.warehouse):
        yield _problem(
            "warehouse",
            f"there is no warehouse {config.warehouse}, or the role may not use it",
            _grant(found, "USAGE", "WAREHOUSE", quote(config.warehouse)),
        )


def _database(session: Session, config: SnowflakeConfig, names: Names, found: _Found) -> Problems:
    database = config.database
    if found.database is None or not found.may("USAGE", "DATABASE", database):
        yield _problem(
            "database",
            f"there is no database {database}, or the role may not use it",
            _grant(found, "USAGE", "DATABASE", quote(database)),
        )
        return
    if session.execute(*control.schema_there(names, names.landing_schema)):
        yield from _schema(names, found)
    elif not found.may("CREATE SCHEMA", "DATABASE", database):
        yield _problem(
            "landing_schema",
            f"there is no schema {names.landing_schema} that the role may use, and it may not create one",
            _grant(found, "CREATE SCHEMA", "DATABASE", quote(database)),
        )


def _tasks(session: Session, config: SnowflakeConfig, names: Names, found: _Found) -> Problems:
    """Say what tasks need; in a schema that is not there the role will own what it creates."""
    if config.task_schedule_minutes is None or found.database is None:
        return
    if not found.may("EXECUTE TASK", "ACCOUNT", ""):
        yield _problem(
            "task_schedule_minutes",
            "the role may not execute tasks",
            f"GRANT EXECUTE TASK ON ACCOUNT TO ROLE {quote(found.role)};",
        )
    schema = (names.database, names.landing_schema)
    there = session.execute(*control.schema_there(names, names.landing_schema))
    if there and not found.may("CREATE TASK", "SCHEMA", *schema):
        yield _problem(
            "task_schedule_minutes",
            f"the role lacks CREATE TASK in schema {names.landing_schema}",
            _grant(found, "CREATE TASK", "SCHEMA", names.schema(names.landing_schema)),
        )


def _schema(names: Names, found: _Found) -> Problems:
    for privilege in _IN_SCHEMA:
        if not found.may(privilege, "SCHEMA", names.database, names.landing_schema):
            yield _problem(
                "landing_schema",
                f"the role lacks {privilege} in schema {names.landing_schema}",
                _grant(found, privilege, "SCHEMA", names.schema(names.landing_schema)),
            )
