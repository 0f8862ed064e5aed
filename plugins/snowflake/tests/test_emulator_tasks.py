from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from snowflake.connector.errors import ProgrammingError

from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until

Query = Callable[..., list[Any]]
_BODY = "INSERT INTO t SELECT 'it''s', CURRENT_ROLE(), COUNT(*) FROM t"


@pytest.fixture
def task(query: Query) -> None:
    query("CREATE TABLE t (s VARCHAR, role VARCHAR, n INT)")
    query(f"CREATE OR REPLACE TASK etl_task WAREHOUSE = etl_wh SCHEDULE = '1 MINUTE' AS {_BODY};")


@pytest.mark.usefixtures("task")
def test_a_task_runs_its_own_body_when_asked(query: Query, emulator: Emulator) -> None:
    query("EXECUTE TASK etl_task")
    assert wait_until(lambda: query("SELECT * FROM t") == [("it's", emulator.role, 0)])
    found = [(each["text"], each["error"]) for each in emulator.statements() if each["by"] == "task ETL_TASK"]
    assert found == [(_BODY, None)]


@pytest.mark.usefixtures("task")
def test_a_task_runs_by_its_schedule_while_it_is_resumed(query: Query) -> None:
    query("ALTER TASK etl_task RESUME")
    assert wait_until(lambda: query("SELECT count(*) FROM t")[0][0] >= 2)
    query("ALTER TASK etl_task SUSPEND")
    shown = {row[1]: (row[7], row[8], row[10], row[11]) for row in query("SHOW TASKS LIKE 'etl%'")}
    assert shown == {"ETL_TASK": ("ETL_WH", "1 MINUTE", "suspended", _BODY)}


@pytest.mark.usefixtures("task")
def test_a_task_is_changed_and_dropped(query: Query) -> None:
    query("ALTER TASK etl_task MODIFY AS SELECT 2")
    query("ALTER TASK etl_task SET SCHEDULE = '5 MINUTES'")
    assert query("DESCRIBE TASK etl_task") == [("SELECT 2",)]
    assert query("SHOW TASKS")[0][8] == "5 MINUTES"
    query("CREATE TASK IF NOT EXISTS etl_task AS SELECT 3")
    query("DROP TASK etl_task")
    query("DROP TASK IF EXISTS etl_task")
    assert query("SHOW TASKS") == []


@pytest.mark.usefixtures("task")
def test_a_task_that_fails_says_so(query: Query, emulator: Emulator, schema: str) -> None:
    query("CREATE TASK broken AS SELECT * FROM nowhere")
    query("EXECUTE TASK broken")
    name = f"{emulator.database}.{schema}.BROKEN"
    assert wait_until(lambda: name in [each["task"] for each in emulator.control("tasks")])
    run = next(each for each in emulator.control("tasks") if each["task"] == name)
    assert (run["state"], run["error"]) == ("FAILED", "002003")


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("EXECUTE TASK nowhere", 2003),
        ("DROP TASK nowhere", 2003),
        ("CREATE TASK etl_task AS SELECT 1", 2002),
        ("CREATE TASK odd SCHEDULE = 'now and then' AS SELECT 1", 1003),
    ],
)
def test_what_cannot_be_done(query: Query, statement: str, number: int) -> None:
    with pytest.raises(ProgrammingError) as caught:
        query(statement)
    assert caught.value.errno == number


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(
    ("privilege", "kind", "statement"),
    [
        ("CREATE TASK", "SCHEMA", "CREATE TASK another AS SELECT 1"),
        ("OPERATE", "TASK", "ALTER TASK etl_task RESUME"),
        ("EXECUTE TASK", "ACCOUNT", "EXECUTE TASK etl_task"),
    ],
)
def test_tasks_need_their_privileges(
    query: Query, emulator: Emulator, privilege: str, kind: str, statement: str
) -> None:
    emulator.control("grants", {"revoke": [{"privilege": privilege, "kind": kind}]})
    with pytest.raises(ProgrammingError) as caught:
        query(statement)
    assert caught.value.errno == 3001


_BLOCK = """
BEGIN
  BEGIN TRANSACTION;
  INSERT INTO t (s, n) SELECT 'a;b', 1;
  {second};
  COMMIT;
EXCEPTION
  WHEN OTHER THEN
    ROLLBACK;
    RAISE;
END
"""


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(
    ("second", "state", "rows"),
    [
        ("UPDATE t SET n = 2", "SUCCEEDED", [("a;b", None, 2)]),
        ("UPDATE nowhere SET n = 2", "FAILED", []),
    ],
)
def test_a_block_is_done_or_undone(
    query: Query, emulator: Emulator, schema: str, second: str, state: str, rows: list[Any]
) -> None:
    query(f"CREATE TASK block AS {_BLOCK.format(second=second)}")
    query("EXECUTE TASK block")
    name = f"{emulator.database}.{schema}.BLOCK"
    assert wait_until(lambda: name in [each["task"] for each in emulator.control("tasks")])
    assert next(each for each in emulator.control("tasks") if each["task"] == name)["state"] == state
    assert query("SELECT * FROM t") == rows


def test_a_block_without_a_handler_fails_as_its_statement(query: Query) -> None:
    with pytest.raises(ProgrammingError) as caught:
        query("BEGIN SELECT * FROM nowhere; END")
    assert caught.value.errno == 2003
    assert query("BEGIN SELECT 1; END") == [("anonymous block",)]
