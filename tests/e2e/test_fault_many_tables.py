"""Many tables in one pipeline: each has its snapshot and its changes, and one more may join."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.live import Copy

from etl_pglib.testing import Database


def create(pg: Database, count: int) -> None:
    columns = "id int primary key, a int, b text, c timestamptz"
    for_each(pg, count, f"create table t%1$s ({columns})", "insert into t%1$s values (1, %1$s, ''x'', now())")


def change(pg: Database, count: int) -> None:
    """Change every table in one transaction, and some of them in one each."""
    for_each(pg, count, "insert into t%1$s values (2, %1$s)")
    pg.execute(*(f"update t{n} set b = 'y' where id = 1" for n in range(1, count + 1, 7)))


def for_each(pg: Database, count: int, *statements: str) -> None:
    """Run statements for each table's number, all in one transaction."""
    body = "".join(f"execute format('{statement}', n);" for statement in statements)
    pg.execute(f"do $$ begin for n in 1..{count} loop {body} end loop; end $$")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_table_is_copied_and_followed(pg: Database, tmp_path: Path, count: int) -> None:
    create(pg, count)
    copy = Copy(pg, tmp_path, extract={"refresh": 0.1})
    copy.once()
    change(pg, count)
    pg.execute("create table late (id int primary key)", "insert into late values (1)")
    copy.once()
    pg.execute("insert into late values (2)", "drop table t1")
    copy.once()
    union = " union all ".join(f"select '{n}', id, a, b from {{}}t{n}" for n in range(2, count + 1))
    wanted = pg.query(f"select * from ({union.format(*[''] * count)}) q order by 1, 2")
    assert copy.select(f"select * from ({union.format(*['public.'] * count)}) q order by 1, 2") == wanted
    copy.assert_equal("late")
