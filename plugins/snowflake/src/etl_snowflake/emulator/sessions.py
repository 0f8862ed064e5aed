"""Sessions: who is logged in, with which tokens, role, warehouse, schema and transaction."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from etl_snowflake.emulator.auth import User
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.errors import login_needed, session_expired, session_gone


@dataclass
class Session:
    """One session, which runs one statement at a time."""

    number: int
    user: User
    role: str
    cursor: Cursor
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    transaction: bool = False
    token: str = ""
    master: str = ""
    expires: float = 0.0
    used: float = field(default_factory=time.monotonic)
    busy: threading.RLock = field(default_factory=threading.RLock)

    @property
    def autocommit(self) -> bool:
        """Whether a statement outside of BEGIN is a transaction of its own."""
        return str(self.parameters.get("AUTOCOMMIT", True)).lower() != "false"


class Sessions:
    """The open sessions, by their tokens."""

    def __init__(self) -> None:
        self.lifetime = 3600.0
        self._by_token: dict[str, Session] = {}
        self._by_master: dict[str, Session] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def number(self) -> int:
        """Give the next session's number."""
        return next(self._numbers)

    def open(self, session: Session) -> None:
        """Give a new session its tokens."""
        session.master = "m-" + secrets.token_hex(24)
        with self._lock:
            self._by_master[session.master] = session
            self._issue(session)

    def _issue(self, session: Session) -> None:
        self._by_token.pop(session.token, None)
        session.token = "s-" + secrets.token_hex(24)
        session.expires = time.monotonic() + self.lifetime
        self._by_token[session.token] = session

    def get(self, token: str) -> Session:
        """Give the session of a token; raises what makes a client renew it, or log in again."""
        with self._lock:
            session = self._by_token.get(token)
        if session is None:
            raise session_gone()
        if session.expires < time.monotonic():
            raise session_expired()
        return session

    def renew(self, master: str) -> Session:
        """Give a session a new token, for its master token."""
        with self._lock:
            session = self._by_master.get(master)
            if session is None:
                raise login_needed()
            self._issue(session)
            return session

    def close(self, session: Session) -> None:
        """Forget a session."""
        with self._lock:
            self._by_token.pop(session.token, None)
            self._by_master.pop(session.master, None)

    def expire(self, *, masters: bool = False) -> None:
        """Let every token count as expired; with `masters`, those that renew them too."""
        with self._lock:
            for session in self._by_master.values():
                session.expires = 0.0
            if masters:
                self._by_master.clear()

    def all(self) -> list[Session]:
        """Give the open sessions."""
        with self._lock:
            return list(self._by_token.values())
