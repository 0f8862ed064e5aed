"""A query of the catalog that nobody answers: given up where a stream waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cdc_harness import FakeContext

from etl_core import FatalError, RetryableError, Secret
from etl_pglib.testing import Database
from etl_postgres_cdc.client import Catalog

PATIENCE = 0.3


@pytest.fixture
def catalog(pg: Database) -> Iterator[Catalog]:
    catalog = Catalog(Secret(pg.dsn), FakeContext("waiting", epoch=1))  # type: ignore[arg-type]
    yield catalog
    catalog.close()


def test_it_is_given_up(pg: Database, catalog: Catalog) -> None:
    catalog.patience = PATIENCE
    with pytest.raises(RetryableError, match="the server does not answer") as caught:
        catalog.query("SELECT pg_sleep(100)", doing="sleeping")
    assert caught.value.facts == {"doing": "sleeping", "seconds": PATIENCE}
    assert not pg.query("select 1 from pg_stat_activity where query like 'SELECT pg_sleep(100)'")


def test_each_has_its_own_time(catalog: Catalog) -> None:
    catalog.patience = 2 * PATIENCE
    for _ in range(3):
        assert catalog.query("SELECT pg_sleep(0.25)::text, 7", doing="sleeping") == [("", 7)]


def test_what_went_wrong_before_is_said_as_it_is(catalog: Catalog) -> None:
    catalog.patience = 100 * PATIENCE
    with pytest.raises(FatalError, match="nowhere"):
        catalog.query("SELECT * FROM nowhere", doing="looking")


def test_a_lock_may_take_long_where_nobody_waits(catalog: Catalog) -> None:
    assert catalog.query("SELECT pg_sleep(0.5)::text", doing="sleeping") == [("",)]
