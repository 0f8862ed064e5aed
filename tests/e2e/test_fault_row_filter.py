"""What a row filter makes of rows whose large values the server does not send."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.live import Copy

from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("identity", ["default", "full"])
def test_a_large_value_of_a_row_that_moves_into_a_filter(pg: Database, tmp_path: Path, identity: str) -> None:
    """The server leaves out what did not change, also of a row that it sends for the first time."""
    copy = Copy(pg, tmp_path, extract={"publication": "mine"})
    pg.execute(
        "create table t (id int primary key, v int, big text)",
        f"alter table t replica identity {identity}",
        "alter table t alter big set storage external",
        "insert into t select n, n, repeat(md5(n::text), 200) from generate_series(1, 4) n",
        "create publication mine for table t where (id > 10)",
    )
    copy.once()
    pg.execute("update t set id = 20 where id = 2", "insert into t values (30, 1, 'x')")
    copy.once()
    assert copy.rows() == pg.query("select * from t where id > 10 order by 1")
