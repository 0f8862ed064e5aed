from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from etl_demo import shop
from etl_demo.traffic import ACTIONS, Traffic, add_column
from etl_pglib.testing import Database


def dump(pg: Database) -> dict[str, list[tuple[Any, ...]]]:
    tables = ["customers", "products", "orders", "order_items", '"Odd ""Names"""']
    return {name: pg.query(f"select * from {name} order by 1, 2") for name in tables}


def test_the_shop_opens_with_about_the_rows_asked_for(pg: Database) -> None:
    with pg.connect() as connection:
        shop.create(connection, 4000)
        assert 3500 < shop.count(connection) < 4500
    toasted = "select count(*) from products where pg_column_size(description) > 8000"
    assert pg.query(toasted) == [(100,)]


def test_every_action_does_what_its_name_says_and_counts_it(pg: Database) -> None:
    with pg.connect() as connection:
        shop.create(connection, 400)
        for name, action in ACTIONS.items():
            before = dump(pg)
            changes = sum(action(connection, random.Random(seed)) for seed in range(5))
            assert (changes > 0) == (name != "rollbacks"), name
            assert (dump(pg) != before) == (name != "rollbacks"), name
    assert pg.query("select count(*) from orders where note = 'never seen' or total < 0") == [(0,)]
    assert pg.query("select count(*) from customers where name = 'never seen'") == [(0,)]


def test_traffic_goes_on_beside_a_schema_change_until_it_is_stopped(pg: Database) -> None:
    with pg.connect() as connection:
        shop.create(connection, 400)
        traffic = Traffic(pg.dsn, pause=0.0)
        traffic.start()
        assert traffic.running
        add_column(connection)
        while traffic.transactions < 30:
            assert traffic.running
        traffic.stop()
    assert sum(traffic.kinds.values()) == traffic.transactions
    assert traffic.changes > 0
    assert pg.query("select distinct channel from orders") == [("web",)]


def test_an_error_of_the_writer_is_not_lost(pg: Database) -> None:
    traffic = Traffic(pg.dsn)  # a database without the shop
    traffic.start()
    while traffic.running:
        pass
    with pytest.raises(Exception, match="does not exist"):
        traffic.stop()


def test_the_document_names_this_database() -> None:
    document = yaml.safe_load(shop.document("postgresql://me@host:1/shop"))
    assert document["extract"]["dsn"] == "postgresql://me@host:1/shop"
    assert document["destination"] == {"use": "duckdb", "path": "shop.duckdb"}
