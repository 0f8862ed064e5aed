"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from typing import Any

from etl_core.testing import SourceConformance

from etl_acme.plugin import etl_register_extract


class AcmeConformance(SourceConformance):
    registration = etl_register_extract()[0]

    def prepare(self) -> None:
        (self.directory / "incoming").mkdir()
        self.days = 0
        for _ in range(3):
            self.change()

    def change(self) -> None:
        """Add what the source has to find in its next run: one more file."""
        self.days += 1
        rows = "".join(f"{self.days}{n},item {n}\n" for n in range(9))
        path = self.directory / "incoming" / f"2026-01-{self.days:02}.csv"
        path.write_text(f"id,item\n{rows}", encoding="utf-8")

    def config(self) -> dict[str, Any]:
        return {"directory": str(self.directory / "incoming")}
