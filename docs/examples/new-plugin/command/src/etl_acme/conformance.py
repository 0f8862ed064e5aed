"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from etl_core.testing import CommandConformance

from etl_acme.plugin import etl_register_commands

DOCUMENT = """
version: 1
pipeline: orders
extract: {use: somewhere}
load: {use: append}
destination: {use: elsewhere}
"""


class AcmeConformance(CommandConformance):
    registration = etl_register_commands()[0]

    def prepare(self) -> None:
        (self.directory / "orders.yaml").write_text(DOCUMENT, encoding="utf-8")

    def arguments(self) -> list[str]:
        return ["orders.yaml"]

    def listing(self) -> list[str]:
        return ["orders.yaml"]

    def failing(self) -> dict[tuple[str, ...], int]:
        return {("missing.yaml",): 2, (): 2}

    def lasting(self) -> None:
        """Each call ends at once."""
