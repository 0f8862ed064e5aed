"""The state stores of the core under their kit."""

from __future__ import annotations

from etl_core.testing.state.own import Memory, Sqlite


class TestMemory(Memory):
    pass


class TestSqlite(Sqlite):
    pass
