from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from etl_snowflake.emulator import Emulator

Query = Callable[..., list[Any]]

_MERGE = """
MERGE INTO orders AS t
USING (
  SELECT * FROM landing
  WHERE _etl_seq <= {upto}
  QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY _etl_seq DESC) = 1
) AS s
ON t.id = s.id
WHEN MATCHED AND s._etl_op = 'D' THEN DELETE
WHEN MATCHED THEN UPDATE SET
  t.name = IFF(ARRAY_CONTAINS('NAME'::VARIANT, s._etl_unchanged::ARRAY), t.name, s.name),
  t.tags = IFF(ARRAY_CONTAINS('TAGS'::VARIANT, s._etl_unchanged::ARRAY), t.tags, PARSE_JSON(s.tags)::ARRAY)
WHEN NOT MATCHED AND s._etl_op <> 'D' THEN
  INSERT (id, name, tags) VALUES (s.id, s.name, PARSE_JSON(s.tags)::ARRAY)
"""


@pytest.fixture
def tables(query: Query) -> None:
    query("CREATE TABLE orders (id INT NOT NULL, name VARCHAR, tags ARRAY)")
    query(
        "CREATE TABLE landing (id INT, name VARCHAR, tags VARCHAR, _etl_op VARCHAR, _etl_seq VARCHAR, "
        "_etl_unchanged VARIANT)"
    )
    query("INSERT INTO orders SELECT n, 'old', PARSE_JSON('[0]')::ARRAY FROM VALUES (1), (2), (3) AS s(n)")


@pytest.mark.usefixtures("tables")
def test_the_latest_row_of_each_key_is_merged(query: Query) -> None:
    query("""
        INSERT INTO landing
        SELECT 1, NULL, NULL, 'D', '0010', NULL UNION ALL
        SELECT 2, 'older', '[1]', 'U', '0011', NULL UNION ALL
        SELECT 2, 'newer', NULL, 'U', '0012', PARSE_JSON('["TAGS"]') UNION ALL
        SELECT 4, 'new', '[4]', 'I', '0013', NULL UNION ALL
        SELECT 5, NULL, NULL, 'D', '0014', NULL UNION ALL
        SELECT 3, 'too late', '[9]', 'U', '0015', NULL
    """)
    assert query(_MERGE.format(upto="'0014'")) == [(1, 1, 1)]
    assert query("SELECT * FROM orders ORDER BY id") == [
        (2, "newer", "[0]"),
        (3, "old", "[0]"),
        (4, "new", "[4]"),
    ]


@pytest.mark.usefixtures("tables")
def test_merge_and_delete_are_one_transaction(query: Query) -> None:
    query("INSERT INTO landing SELECT 1, 'x', '[1]', 'U', '0010', NULL")
    query("BEGIN")
    query(_MERGE.format(upto="'0010'"))
    query("DELETE FROM landing WHERE _etl_seq <= '0010'")
    query("ROLLBACK")
    assert query("SELECT name FROM orders WHERE id = 1") == [("old",)]
    assert query("SELECT count(*) FROM landing") == [(1,)]
    query("BEGIN TRANSACTION")
    query(_MERGE.format(upto="'0010'"))
    query("DELETE FROM landing WHERE _etl_seq <= '0010'")
    query("COMMIT")
    assert query("SELECT name FROM orders WHERE id = 1") == [("x",)]
    assert query("SELECT count(*) FROM landing") == [(0,)]


@pytest.mark.usefixtures("tables")
def test_two_rows_for_one_are_refused(query: Query) -> None:
    query("INSERT INTO landing (id, name) VALUES (1, 'a'), (1, 'b')")
    with pytest.raises(ProgrammingError) as caught:
        query(
            "MERGE INTO orders USING landing ON orders.id = landing.id "
            "WHEN MATCHED THEN UPDATE SET name = landing.name"
        )
    assert caught.value.errno == 100090
    assert query("SELECT DISTINCT name FROM orders") == [("old",)]


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(
    "clause",
    [
        "WHEN MATCHED THEN UPDATE SET nothing = 1",
        "WHEN NOT MATCHED THEN INSERT (nothing) VALUES (1)",
        "WHEN MATCHED AND s.nothing = 1 THEN DELETE",
    ],
)
def test_columns_that_are_not_there(query: Query, clause: str) -> None:
    with pytest.raises(ProgrammingError) as caught:
        query(f"MERGE INTO orders t USING landing s ON t.id = s.id {clause}")
    assert caught.value.errno == 904


@pytest.mark.usefixtures("tables")
def test_each_kind_of_change_needs_its_privilege(query: Query, emulator: Emulator) -> None:
    emulator.control("grants", {"revoke": [{"privilege": "DELETE", "kind": "TABLE"}]})
    query("MERGE INTO orders t USING landing s ON t.id = s.id WHEN MATCHED THEN UPDATE SET name = 'x'")
    with pytest.raises(ProgrammingError, match="Insufficient privileges"):
        query("MERGE INTO orders t USING landing s ON t.id = s.id WHEN MATCHED THEN DELETE")


@pytest.mark.usefixtures("tables")
def test_names_in_quotes_and_reserved_words(query: Query) -> None:
    query('CREATE TABLE "Order" ("select" INT, "größe" VARCHAR)')
    query("INSERT INTO \"Order\" VALUES (1, 'a')")
    query(
        'MERGE INTO "Order" AS t USING (SELECT 1 AS "select", \'b\' AS "größe") AS s '
        'ON t."select" = s."select" '
        'WHEN MATCHED THEN UPDATE SET "größe" = s."größe"'
    )
    assert query('SELECT * FROM "Order"') == [(1, "b")]
