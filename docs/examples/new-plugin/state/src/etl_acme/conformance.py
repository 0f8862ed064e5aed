"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from typing import Any

from etl_core.testing import StateStoreConformance

from etl_acme.plugin import etl_register_state


class AcmeConformance(StateStoreConformance):
    registration = etl_register_state()[0]
    history_setting = "history"
    letters_setting = "dead_letters"

    def config(self) -> dict[str, Any]:
        return {"directory": str(self.directory / "state")}

    def broken_config(self) -> dict[str, Any]:
        file = self.directory / "a-file"
        file.touch()
        return {"directory": str(file)}
