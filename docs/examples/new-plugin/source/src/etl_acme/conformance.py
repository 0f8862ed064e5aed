"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from typing import Any

from etl_core.testing import SourceConformance

from etl_acme.plugin import etl_register_extract


class AcmeConformance(SourceConformance):
    registration = etl_register_extract()[0]

    def prepare(self) -> None:
        incoming = self.directory / "incoming"
        incoming.mkdir()
        for day in range(1, 4):
            rows = "".join(f"{day}{n},item {n}\n" for n in range(9))
            (incoming / f"2026-01-0{day}.csv").write_text(f"id,item\n{rows}", encoding="utf-8")

    def config(self) -> dict[str, Any]:
        return {"directory": str(self.directory / "incoming")}
