"""The conformance kit on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from etl_core.testing import SourceConformance
from etl_postgres_cdc.conformance import PostgresCdcSource


class TestPostgresCdcSource(PostgresCdcSource):
    """Every clause."""


# Two clauses kill a process at each of many places.
@pytest.mark.slow
@pytest.mark.timeout(600)
class TestPostgresCdcSourceThroughout(PostgresCdcSource):
    """Every clause, with all its cases."""

    thorough = True


@pytest.mark.slow
class TestCopyOnly(PostgresCdcSource):
    """A read that ends by itself, without slot and publication; once copied, nothing is read any more."""

    change = SourceConformance.change

    def config(self) -> Mapping[str, Any]:
        return {**super().config(), "snapshot": "only"}


@pytest.mark.slow
class TestNamedSlot(PostgresCdcSource):
    """A slot with a name of its own is never dropped."""

    def config(self) -> Mapping[str, Any]:
        return {**super().config(), "slot": self.namespace}

    def clean(self) -> None:
        super().clean()
        drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        self.execute(drop + " WHERE slot_name = '{schema}'")
