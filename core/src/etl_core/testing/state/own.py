"""The kits of the core's own state stores; `etl-core certify` finds them here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from etl_core.state.plugin import etl_register_state
from etl_core.testing.state import StateStoreConformance

__all__ = ["Memory", "Sqlite"]

_STORES = {each.name: each for each in etl_register_state()}


class Memory(StateStoreConformance):
    """The store `memory`."""

    registration = _STORES["memory"]
    shared: ClassVar[bool] = False
    history_setting: ClassVar[str] = "history"
    letters_setting: ClassVar[str] = "dead_letters"

    def broken_config(self) -> None:
        return None


class Sqlite(StateStoreConformance):
    """The store `sqlite`."""

    registration = _STORES["sqlite"]
    history_setting: ClassVar[str] = "history"
    letters_setting: ClassVar[str] = "dead_letters"

    def config(self) -> Mapping[str, Any]:
        return {"path": str(self.directory / "new" / "state.db")}

    def broken_config(self) -> Mapping[str, Any]:
        (self.directory / "file").touch()
        return {"path": str(self.directory / "file" / "state.db")}
