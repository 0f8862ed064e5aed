"""The stream of changes, on a real server."""

from __future__ import annotations

from collections.abc import Callable

from cdc_harness import Harness, plain

from etl_core import Kind
from etl_pglib.testing import Database

Make = Callable[..., Harness]


def test_a_snapshot_then_changes(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key, v text)", "insert into t values (1, 'one'), (2, null)")
    source = cdc().start()
    source.rows(2)
    end = source.batch(Kind.SNAPSHOT_END)
    assert [batch.kind for batch in source.batches] == [Kind.SNAPSHOT_BEGIN, Kind.ROWS, Kind.SNAPSHOT_END]
    assert end.position["streams"]["public.t"]["snapshot"]
    pg.execute(
        "insert into t values (3, E'a\\tb')",
        "update t set v = 'two' where id = 2",
        "delete from t where id = 1",
    )
    assert plain(source.rows(5)) == [
        ("r", 1, "one"),
        ("r", 2, None),
        ("i", 3, "a\tb"),
        ("u", 2, "two"),
        ("d", 1, None),
    ]
