"""What a statement's handler works with, and the table of handlers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.errors import missing, no_schema, no_warehouse, too_long
from etl_snowflake.emulator.names import LONGEST, split
from etl_snowflake.emulator.results import Result
from etl_snowflake.emulator.sessions import Session
from etl_snowflake.emulator.store import patient

if TYPE_CHECKING:
    from etl_snowflake.emulator.account import Account

_T = TypeVar("_T")
Path = tuple[str, str, str]
NAME = r'(?:"(?:[^"]|"")*"|[A-Za-z_][\w$]*)(?:\s*\.\s*(?:"(?:[^"]|"")*"|[A-Za-z_][\w$]*)){0,2}'


@dataclass
class Context:
    """One statement of one session."""

    account: Account
    session: Session
    text: str
    query_id: str
    bindings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def cursor(self) -> Cursor:
        """The session's own connection to the store."""
        return self.session.cursor

    def path(self, name: str | list[str]) -> Path:
        """Qualify a table's, stage's or task's name; raises where no schema is chosen."""
        parts = split(name) if isinstance(name, str) else name
        for part in parts:
            if len(part) > LONGEST:
                raise too_long(len(part))
        database, schema = self.session.database, self.session.schema
        if len(parts) == 1:
            if database is None or schema is None:
                raise no_schema()
            return database, schema, parts[0]
        if len(parts) == 2:
            if database is None:
                raise no_schema()
            return database, parts[0], parts[1]
        return parts[0], parts[1], parts[2]

    def schema_path(self, name: str | None) -> tuple[str, str]:
        """Qualify a schema's name; the session's own where there is none."""
        parts = split(name) if name else [self.session.schema or ""]
        for part in parts:
            if len(part) > LONGEST:
                raise too_long(len(part))
        database = parts[-2] if len(parts) > 1 else self.session.database
        if database is None or not parts[-1]:
            raise no_schema()
        return database, parts[-1]

    def table(self, name: str | list[str], *, kind: str = "Table") -> Table:
        """Look a table up, as the role may see it."""
        path = self.path(name)
        self.account.grants.visible(self.session.role, *path[:2])
        return self.account.catalog.table(path, self.session.number, kind)

    def require(self, privilege: str, kind: str, *names: str) -> None:
        """Raise where the session's role has not a privilege."""
        self.account.grants.require(self.session.role, privilege, kind, *names)

    def require_warehouse(self) -> None:
        """Raise where there is no warehouse to work with."""
        name = self.session.warehouse
        if not name or name not in self.account.catalog.warehouses:
            raise no_warehouse()
        if not self.account.grants.has(self.session.role, "USAGE", "WAREHOUSE", name):
            raise no_warehouse()

    def commit_open(self) -> None:
        """End the open transaction, as every DDL statement does."""
        if self.session.transaction:
            self.account.transactions.commit(self.session)

    def define(self, work: Callable[[], _T]) -> _T:
        """Do DDL: ends an open transaction, waits for others, keeps the catalogue."""
        self.commit_open()
        store = self.account.store
        with store.changing(self.session), store.meta:
            result = patient(work)
            store.save()
        return result

    def atomic(self, work: Callable[[], _T], *, alone: bool) -> _T:
        """Do DML in the open transaction, or in one of its own; `alone` waits for others that change rows."""
        return self.account.transactions.atomic(self.session, work, alone=alone)


Handler = Callable[[Context, "re.Match[str]"], Result]
HANDLERS: list[tuple[re.Pattern[str], Handler]] = []


def statement(pattern: str) -> Callable[[Handler], Handler]:
    """Let a function handle the statements that match a pattern; its blanks stand for any white space."""
    compiled = re.compile(pattern.replace(" ", r"\s+") + r"\s*\Z", re.IGNORECASE | re.DOTALL)

    def register(handler: Handler) -> Handler:
        HANDLERS.append((compiled, handler))
        return handler

    return register


def unquote(text: str) -> str:
    """Give the value of a string literal."""
    return re.sub(r"\\(.)", r"\1", text[1:-1].replace("''", "'"))


def options(text: str) -> dict[str, str]:
    """Read `NAME = value` pairs; values in parentheses or quotes are kept as written, without them."""
    found = re.findall(r"(\w+)\s*=\s*(\((?:[^()']|'[^']*')*\)|'(?:[^']|'')*'|[^\s,()]+)", text)
    return {name.upper(): _bare(value) for name, value in found}


def _bare(value: str) -> str:
    if value.startswith("("):
        return value[1:-1].strip()
    return unquote(value) if value.startswith("'") else value


def require_object(found: object | None, kind: str, *names: str) -> None:
    """Raise where an object is missing."""
    if found is None:
        raise missing(kind, *names)
