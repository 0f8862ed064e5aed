"""The state stores of the core under their kit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl_core.state.plugin import etl_register_state
from etl_core.testing.state import StateStoreConformance

REGISTRATIONS = {each.name: each for each in etl_register_state()}


class TestMemory(StateStoreConformance):
    registration = REGISTRATIONS["memory"]
    shared = False
    history_setting = "history"
    letters_setting = "dead_letters"


class TestSqlite(StateStoreConformance):
    registration = REGISTRATIONS["sqlite"]
    history_setting = "history"
    letters_setting = "dead_letters"

    def config(self) -> Mapping[str, Any]:
        return {"path": str(self.directory / "new" / "state.db")}

    def broken_config(self) -> Mapping[str, Any]:
        (self.directory / "file").touch()
        return {"path": str(self.directory / "file" / "state.db")}
