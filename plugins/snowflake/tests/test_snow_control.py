from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve

from etl_core import StateError, Stream, pack_seq
from etl_snowflake import control
from etl_snowflake.client import Session
from etl_snowflake.control import Kept, Window
from etl_snowflake.emulator import Emulator
from etl_snowflake.names import Names

ORDERS = Stream("sales", "orders")


def _seq(number: int) -> str:
    return pack_seq(1, number, 0).hex()


@pytest.fixture
def opened(session: Session, names: Names) -> Session:
    control.install(session, names)
    control.claim(session, names, "p", "fence")
    return session


def _require(session: Session, names: Names, fence: str, pipeline: str = "p") -> None:
    with session.transaction():
        control.require(session, names, pipeline, fence)


def test_the_last_opener_wins(opened: Session, names: Names) -> None:
    control.claim(opened, names, "other", "others")
    _require(opened, names, "fence")
    control.claim(opened, names, "p", "later")
    with pytest.raises(StateError, match="another copy"):
        _require(opened, names, "fence")
    _require(opened, names, "later")
    _require(opened, names, "others", "other")
    rows = opened.execute(f"SELECT COUNT(*) FROM {names.ours(control.PIPELINES)}")
    assert rows == [(2,)]


def test_what_is_there_needs_no_right_to_create_it(
    opened: Session, names: Names, emulator: Emulator, schema: str
) -> None:
    revoked = [
        {"privilege": "CREATE SCHEMA", "kind": "DATABASE"},
        {"privilege": "CREATE TABLE", "kind": "SCHEMA"},
    ]
    emulator.control("grants", {"revoke": revoked})
    control.install(opened, names)
    _require(opened, names, "fence")


def test_the_landing_schema_is_made(opened: Session, names: Names, schema: str) -> None:
    elsewhere = evolve(names, landing_schema=f"{schema} two")
    control.install(opened, elsewhere)
    control.install(opened, elsewhere)
    control.claim(opened, elsewhere, "p", "fence")
    assert control.load(opened, elsewhere, "p") == {}


def test_what_is_kept_comes_back(opened: Session, names: Names) -> None:
    kept = control.add(opened, names, "p", "fence", ORDERS)
    assert (kept.schema, kept.table, kept.landing) == ("SALES", "ORDERS", "LANDING_ORDERS")
    assert control.find(opened, names, "p", ORDERS) == kept
    columns = pa.schema([pa.field("id", pa.int32()), ("tags", pa.list_(pa.string())), ("doc", pa.json_())])
    kept = evolve(
        kept,
        key=["id"],
        columns=columns,
        control=["_etl_deleted"],
        adding=["doc"],
        seq=_seq(1),
        mark=_seq(5),
        merged=_seq(3),
        ready=_seq(4),
        generation=2,
        staging="STAGING_X",
        windows=[Window(_seq(4), partial=False), Window(_seq(5), partial=True)],
    )
    with opened.transaction():
        control.reshape(opened, names, "p", kept)
        control.progress(opened, names, "p", kept)
    assert control.load(opened, names, "p") == {ORDERS: kept}
    assert kept.target(names) == f'"{names.database}"."SALES"."ORDERS"'
    assert control.find(opened, names, "q", ORDERS) is None


def test_two_schemas_and_two_pipelines_land_apart(opened: Session, names: Names) -> None:
    control.claim(opened, names, "q", "fence")
    opened.execute(f"CREATE TABLE {names.ours('LANDING_THEIRS')} (a INT)")
    landings = [
        control.add(opened, names, pipeline, "fence", Stream(schema, table)).landing
        for pipeline, schema, table in (
            ("p", "sales", "orders"),
            ("p", "shop", "orders"),
            ("q", "sales", "orders"),
            ("p", "sales", "theirs"),
        )
    ]
    assert landings[0] == "LANDING_ORDERS"
    assert landings[1].startswith("LANDING_ORDERS_SHOP_")
    assert landings[2].startswith("LANDING_ORDERS_SALES_")
    assert landings[3].startswith("LANDING_THEIRS_SALES_"), "a table that others made is taken for ours"
    assert len(set(landings)) == 4
    there = control.load(opened, names, "p")
    assert [there[Stream("shop", "orders")].landing] == landings[1:2], "the name is decided again"


def test_a_displaced_copy_decides_nothing(opened: Session, names: Names) -> None:
    with pytest.raises(StateError):
        control.add(opened, names, "p", "lost", ORDERS)
    assert control.load(opened, names, "p") == {}


def test_a_mark_only_rises(opened: Session, names: Names) -> None:
    control.add(opened, names, "p", "fence", ORDERS)
    windows = [Window(_seq(7), partial=True)]
    for mark in (_seq(7), _seq(2)):
        with opened.transaction():
            control.advance(opened, names, "p", ORDERS, mark, windows)
    kept = _found(opened, names)
    assert (kept.mark, kept.windows) == (_seq(7), tuple(windows))


def test_rows_are_merged_once(opened: Session, names: Names) -> None:
    control.add(opened, names, "p", "fence", ORDERS)
    with opened.transaction():
        assert control.merged(opened, names, "p", ORDERS, _seq(3), [])
        assert not control.merged(opened, names, "p", ORDERS, _seq(3), [])
        assert not control.merged(opened, names, "p", ORDERS, _seq(2), [])
        control.ready(opened, names, "p", ORDERS, _seq(9))
        control.ready(opened, names, "p", ORDERS, _seq(8))
    assert (_found(opened, names).merged, _found(opened, names).ready) == (_seq(3), _seq(9))


def test_an_earlier_epoch_is_stopped() -> None:
    kept: Any = Kept(ORDERS, "S", "T", "L", mark=pack_seq(7, 1, 1).hex())
    control.check_epoch(kept, 7)
    control.check_epoch(evolve(kept, mark=None), 1)
    with pytest.raises(StateError, match="later epoch") as caught:
        control.check_epoch(kept, 6)
    assert (caught.value.facts["found"], caught.value.facts["epoch"]) == (7, 6)


def _found(session: Session, names: Names) -> Kept:
    kept = control.find(session, names, "p", ORDERS)
    assert kept is not None
    return kept
