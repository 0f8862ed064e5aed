"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from typing import Any

from etl_core.testing import ObserverConformance

from etl_acme.plugin import etl_register_observability


class AcmeConformance(ObserverConformance):
    registration = etl_register_observability()[0]

    def config(self) -> dict[str, Any]:
        return {"path": str(self.directory / "events.jsonl")}

    def broken_config(self) -> dict[str, Any]:
        return {"path": str(self.directory / "no such directory" / "events.jsonl")}
