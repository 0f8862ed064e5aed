from __future__ import annotations

import pytest

from etl_core import SchemaError, Stream
from etl_snowflake.names import LONGEST, Names, landing_name, literal, quote, staging_name, task_name

_UPPER = Names("DB", "ETL_LANDING")
_EXACT = Names("DB", "ETL_LANDING", "exact")


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("id", '"id"'), ('a"b', '"a""b"'), ("größe", '"größe"'), ("select", '"select"'), ("a.b c", '"a.b c"')],
)
def test_names_are_always_quoted(name: str, quoted: str) -> None:
    assert quote(name) == quoted


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="no such identifier"):
        quote(name)
    assert len(quote("x" * LONGEST)) == LONGEST + 2


def test_literals_carry_quotes_and_backslashes() -> None:
    assert literal("it's a \\ b") == "'it''s a \\\\ b'"


def test_upper_and_exact() -> None:
    assert _UPPER.column("Größe") == '"GRÖSSE"'
    assert _EXACT.column("Größe") == '"Größe"'
    assert _UPPER.place(Stream("public", "orders")) == ("PUBLIC", "ORDERS")
    assert _EXACT.place(Stream("public", "Orders")) == ("public", "Orders")
    assert _EXACT.place(Stream("", "orders")) == ("PUBLIC", "orders")
    assert _UPPER.table("S", 'a"b') == '"DB"."S"."a""b"'
    assert _UPPER.columns(["a", "b"]) == '"A", "B"'


@pytest.mark.parametrize("names", [_UPPER, _EXACT])
def test_streams_do_not_land_among_our_own_tables(names: Names) -> None:
    with pytest.raises(SchemaError, match="landing schema"):
        names.place(Stream("etl_landing", "orders"))


def test_a_table_lands_under_its_name() -> None:
    assert landing_name("p", "PUBLIC", "ORDERS", ()) == "LANDING_ORDERS"


def test_two_schemas_land_apart() -> None:
    first = landing_name("p", "SALES", "ORDERS", ())
    second = landing_name("p", "SHOP", "ORDERS", {first})
    third = landing_name("p", "SHOPS", "ORDERS", {first, second})
    assert second.startswith("LANDING_ORDERS_SHOP_")
    assert third.startswith("LANDING_ORDERS_SHOPS_")
    assert second == landing_name("p", "SHOP", "ORDERS", {first}), "the name depends on chance"


def test_names_that_differ_by_case_land_apart() -> None:
    assert landing_name("p", "s", "orders", {"LANDING_ORDERS"}).startswith("LANDING_orders_s_")


def test_two_pipelines_land_apart() -> None:
    there = {"LANDING_ORDERS"}
    assert landing_name("p", "S", "ORDERS", there) != landing_name("q", "S", "ORDERS", there)


def test_names_that_are_the_same_once_cut_land_apart() -> None:
    one, other = "T" * 250 + "AAAAA", "T" * 250 + "BBBBB"
    first = landing_name("p", "S" * 255, one, ())
    second = landing_name("p", "S" * 255, other, {first})
    assert first != second
    for each in (first, second):
        assert len(task_name(each)) <= LONGEST
        assert len(f"{each}-STREAMING") <= LONGEST
        assert len(staging_name(each, "01234567")) <= LONGEST
        assert staging_name(each, "01234567").endswith("_01234567")


def test_what_belongs_to_a_landing_table_is_named_after_it() -> None:
    assert task_name("LANDING_ORDERS") == "ETL_MERGE_ORDERS_TASK"
    assert staging_name("LANDING_ORDERS", "ab") == "STAGING_ORDERS_ab"
