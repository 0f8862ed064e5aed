"""What one life of a run leaves to the next: refused rows, ends of snapshots, tasks, tables of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest

from etl_core import Duration, RenameColumn, SchemaError, StateError, Stream
from etl_core.config import LoadSettings, Resources
from etl_core.engine.pipeline import Pipeline
from etl_core.loaders.append import Append
from etl_core.state.memory import MemoryStore
from etl_core.testing.destination.session import Session as Driven
from etl_core.testing.destination.session import loader_named
from etl_core.testing.script import Script, ScriptedSource
from etl_snowflake import tasks
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.destination import SnowflakeDestination
from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.names import Names

Open = Callable[..., Driven]
COLUMNS = pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string()), ("x", pa.float64())])


@pytest.fixture
def stream(schema: str) -> Stream:
    """A stream that lands in a schema of the test's own."""
    return Stream(f"{schema}_T"[-200:], "orders")


@pytest.fixture
def script(stream: Stream) -> Script:
    return Script(stream, COLUMNS)


@pytest.fixture
def start(drive: Open) -> Open:
    """Open destinations that do not stream."""

    def start(load: str = "append", pipeline: str = "", fence: str = "kit", **changed: Any) -> Driven:
        return drive(load, fence, pipeline, **{"streaming": "off", **changed})

    return start


@pytest.fixture
def rows(emulator: Emulator, stream: Stream) -> Callable[..., list[tuple[Any, ...]]]:
    """Give columns of the target."""

    def read(*names: str) -> list[tuple[Any, ...]]:
        table = emulator.rows(f'{emulator.database}."{stream.namespace}"."ORDERS"', order="1")
        columns = [table.column(name).to_pylist() for name in names or ("ID", "NAME")]
        return sorted(zip(*columns, strict=True), key=str)

    return read


def _row(number: int, name: str = "new", x: float | None = None) -> dict[str, Any]:
    return {"id": number, "name": name, "x": x}


def _die(driven: Driven) -> None:
    """End a life before anybody has saved what it told."""
    driven.destination.abort()
    driven.destination.close()


def _flushed(driven: Driven) -> list[tuple[str, list[int]]]:
    refused = driven.destination.flush(driven.position()) or ()
    return [(each.code, each.rows.column("id").to_pylist()) for each in refused]


def _kept(session: Session, names: Names) -> int:
    return int(session.execute(f"SELECT COUNT(*) FROM {names.ours('ETL_REJECTED')}")[0][0])


def test_rows_without_a_base_are_told_until_that_is_saved(
    start: Open, script: Script, rows: Any, session: Session, names: Names
) -> None:
    script.insert(_row(1)).commit().update({"id": 2, "x": 2.0}, unchanged=["name"]).commit()
    lacking = [("no_base_row", [2])]
    first = start("upsert")
    first.tell(script)
    assert _flushed(first) == lacking
    _die(first)
    second = start("upsert")
    second.tell(script)
    assert _flushed(second) == lacking, "merged already, and never told by a life that went on"
    second.destination.close()
    assert _kept(session, names) == 0, "a run that ends well has saved what it was told"
    third = start("upsert")
    third.tell(script)
    assert (_flushed(third), rows()) == ([], [(1, "new")])


@pytest.mark.parametrize("marker", ["snapshot", "truncate"])
def test_what_was_refused_of_a_mirror_ends_where_it_begins_anew(
    start: Open, script: Script, rows: Any, marker: str
) -> None:
    script.update({"id": 2, "x": 2.0}, unchanged=["name"]).commit()
    script.snapshot([_row(2)]) if marker == "snapshot" else script.truncate().insert(_row(2)).commit()
    first = start("upsert")
    first.tell(script, 0, 1)
    assert _flushed(first) == [("no_base_row", [2])]
    _die(first)
    second = start("upsert")
    second.tell(script)
    assert (_flushed(second), rows()) == ([], [(2, "new")])


def test_a_run_that_goes_on_has_saved_what_it_was_told(
    start: Open, script: Script, session: Session, names: Names
) -> None:
    driven = start("upsert", merge_interval=Duration(0.05))
    script.update(_row(1), unchanged=["name"]).commit().insert(_row(2)).commit()
    driven.tell(script)
    told: list[Any] = []

    def mark_until_told() -> bool:
        driven.destination.mark(driven.position())
        told.extend((driven.destination.durable() or ((), ()))[1] or ())
        return bool(told)

    assert wait_until(mark_until_told)
    assert wait_until(lambda: driven.destination.durable() is None and _kept(session, names) == 0)
    assert [each.code for each in told] == ["no_base_row"]


def test_what_the_service_refused_is_told_again_also_below_what_is_merged(
    start: Open, script: Script, emulator: Emulator, rows: Any
) -> None:
    emulator.switch(reject=[{"table": "LANDING_ORDERS", "column": "NAME", "matching": "^bad"}])
    script.insert(_row(1), _row(2, "bad"), _row(3)).commit()
    for _ in range(2):
        driven = start("upsert", streaming="rest")
        driven.tell(script)
        assert _flushed(driven) == [("snowflake_rejected", [2])]
        _die(driven)
    assert rows() == [(1, "new"), (3, "new")]


def test_what_we_refused_is_refused_again(start: Open, script: Script, rows: Any) -> None:
    script.insert(_row(1), _row(2, "x" * (17 << 20)), _row(3)).commit()
    for _ in range(2):
        driven = start()
        assert [each.code for each in driven.tell(script)] == ["too_long"]
        driven.flush()
        _die(driven)
    assert [each[0] for each in rows("ID")] == [1, 3]


def test_an_abort_lets_no_copy_hide_rows_that_are_not_committed(
    start: Open, script: Script, emulator: Emulator, rows: Any
) -> None:
    emulator.switch(commits=False)
    script.insert(_row(1)).commit().insert(_row(2, x=float("nan"))).commit()
    driven = start(streaming="rest")
    driven.tell(script)
    driven.destination.mark(driven.position())
    assert wait_until(lambda: not driven.destination._landing._jobs)  # type: ignore[attr-defined]
    _die(driven)
    emulator.control("channels", {"channel": "*", "how": "takeover"})  # what was accepted is lost
    emulator.switch(commits=True)
    again = start(streaming="rest")
    again.tell(script)
    again.flush()
    assert [each[0] for each in rows("ID")] == [1, 2]


@pytest.mark.parametrize("saved", [True, False])
def test_a_later_snapshot_after_a_run_that_ended(
    start: Open, script: Script, rows: Any, *, saved: bool
) -> None:
    """It joins what was saved; what was not saved was never told, as far as the source knows."""
    script.snapshot([_row(1)]).insert(_row(2)).commit()
    count = len(script.transactions)
    script.snapshot([_row(3)])
    first = start()
    first.tell(script, 0, count)
    first.flush()
    first.destination.close() if saved else _die(first)
    second = start()
    second.tell(script, count)
    second.flush()
    assert [each[0] for each in rows("ID")] == ([1, 2, 3] if saved else [3])


def test_a_source_that_goes_on_behind_an_end_has_saved_it(start: Open, script: Script, rows: Any) -> None:
    script.snapshot([_row(1)])
    ended = len(script.transactions)
    script.insert(_row(2)).commit().snapshot([_row(3)])
    first = start()
    first.tell(script, 0, ended)
    first.flush()
    _die(first)
    second = start()
    second.tell(script, ended)
    second.flush()
    assert [each[0] for each in rows("ID")] == [1, 2, 3]


def test_two_snapshots_of_one_life(start: Open, script: Script, rows: Any) -> None:
    """The second adds to the first; when both come again, both are there once."""
    script.snapshot([_row(1)])
    script.snapshot([_row(2)])
    for _ in range(2):
        driven = start()
        driven.tell(script)
        driven.flush()
        _die(driven)
        assert [each[0] for each in rows("ID")] == [1, 2]


def test_an_end_that_came_again_is_not_saved_by_that(start: Open, script: Script, rows: Any) -> None:
    script.snapshot([_row(1), _row(2)], parts=2).insert(_row(3)).commit()
    count = len(script.transactions)
    script.snapshot([_row(1, "anew"), _row(3, "anew")])
    first = start()
    first.tell(script, 0, 2)
    _die(first)
    second = start()
    second.tell(script, 0, count)
    _die(second)
    third = start()
    third.tell(script, count)
    third.flush()
    assert rows() == [(1, "anew"), (3, "anew")]


@pytest.mark.parametrize("load", ["upsert", "append"])
def test_a_snapshot_that_comes_again_from_before_a_rename(
    start: Open, script: Script, rows: Any, load: str
) -> None:
    """A mirror is as it was. A history keeps what it has: values that come again are under the old name."""
    script.snapshot([_row(1), _row(2)])
    renamed = pa.schema([each.with_name("title") if each.name == "name" else each for each in COLUMNS])
    script.alter(renamed, RenameColumn("name", "title"))
    script.insert({"id": 3, "title": "c", "x": 1.0}).commit()
    titles = [(1, "new"), (2, "new"), (3, "c")]
    for again in range(2):
        driven = start(load)
        driven.tell(script)
        driven.flush()
        _die(driven)
        if load == "append" and again:
            assert rows("ID", "NAME") == [(1, "new"), (2, "new"), (3, None)]
            titles = [(1, ""), (2, ""), (3, "c")]
        assert [(each, title or "") for each, title in rows("ID", "TITLE")] == titles


def test_a_task_that_is_not_wanted_any_more_is_dropped(
    start: Open, script: Script, session: Session, names: Names, rows: Any
) -> None:
    driven = start("upsert", task_schedule_minutes=1000)
    script.insert(_row(1)).commit().insert(_row(2)).commit()
    driven.tell(script, 0, 1)
    driven.flush()
    driven.destination.close()
    assert tasks.there(session, names) == {"ETL_MERGE_ORDERS_TASK"}
    driven = start("upsert")
    assert tasks.there(session, names) == set()
    driven.tell(script, 1)
    driven.flush()
    assert rows("ID") == [(1,), (2,)]


def test_a_history_is_of_one_pipeline(start: Open, script: Script) -> None:
    script.insert(_row(1)).commit()
    mine = start()
    mine.tell(script)
    other = start(pipeline="other")
    with pytest.raises(SchemaError, match="another pipeline loads this table"):
        other.tell(script)
    with pytest.raises(SchemaError, match="another pipeline loads this table"):
        other.destination.ensure(Append().schema(script.stream, COLUMNS), ())
    mine.flush()


def test_files_of_a_run_that_was_killed_are_removed(start: Open, session: Session, names: Names) -> None:
    account: Any = start().destination._account  # type: ignore[attr-defined]
    account.bulk.upload(pa.table({"A": [1]}), account.directory(Stream("s", "t")), "left")
    stage = f"LIST @{names.ours('ETL_STAGE')}"
    assert len(session.execute(stage)) == 1
    start()
    assert session.execute(stage) == []


def test_lines_that_are_streamed_are_offered(
    start: Open, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven = start(streaming="rest")
    offered: list[Any] = []
    monkeypatch.setattr(driven._ctx, "payload", lambda *each: offered.append(each))
    script.insert(_row(1)).commit()
    driven.tell(script)
    ((stream, form, schema, (line,)),) = offered
    assert (stream, form, "NAME" in schema.names) == (script.stream, "ndjson", True)
    assert b'"NAME":"new"' in bytes(line)


def test_commits_are_awaited_while_writing_goes_on(
    start: Open, script: Script, emulator: Emulator, rows: Any
) -> None:
    emulator.switch(commits=False)
    driven = start(streaming="rest")
    for number in range(3):
        script.insert(_row(number)).commit()
        driven.tell(script, number)
        position = driven.position()
        driven.destination.mark(position)
    assert driven.destination.durable() is None
    emulator.switch(commits=True)
    assert wait_until(lambda: (driven.destination.durable() or (None,))[0] == position)
    assert [each[0] for each in rows("ID")] == [0, 1, 2]


def test_small_writes_are_one_copy(start: Open, script: Script, emulator: Emulator) -> None:
    driven = start()
    for number in range(5):
        script.insert(_row(number)).commit()
    driven.tell(script, cut=1)
    before = len(emulator.statements())
    driven.flush()
    said = [each["text"].split()[0] for each in emulator.statements()[before:]]
    assert said.count("COPY") == 1
    counted = _counted(driven)
    assert counted["snowflake.copies"] == counted["snowflake.files"] == 1
    assert counted["snowflake.rows_per_copy"] == counted["snowflake.copied_rows"] == 5


def _counted(driven: Driven) -> dict[str, float]:
    """Give what each metric adds up to, or says last."""
    ctx: Any = driven._ctx
    ctx._listening.close(5)
    found: dict[str, float] = {}
    for event in ctx.listener.events:
        if event.name == "metric":
            name, value = event.facts["metric"], event.facts["value"]
            found[name] = value + (found.get(name, 0) if event.facts["kind"] == "count" else 0)
    return found


def test_rows_refused_late_become_dead_letters(
    config: SnowflakeConfig, script: Script, schema: str, tmp_path: Path, emulator: Emulator, rows: Any
) -> None:
    """By a run as users start it, with the way in that they have by default."""
    emulator.switch(reject=[{"table": "LANDING_ORDERS", "column": "NAME", "matching": "^bad"}])
    script.insert(_row(1), _row(2, "bad")).commit()
    items = Script(Stream(script.stream.namespace, "items"), COLUMNS)
    items.update({"id": 3, "x": 1.0}, unchanged=["name"]).commit()
    store = MemoryStore()
    run = Pipeline(
        schema,
        ScriptedSource(script, items),
        SnowflakeDestination(config),
        loader=loader_named("upsert"),
        state=store,
        load=LoadSettings(on_error="dead-letter"),
        resources=Resources(spill=tmp_path),
    )
    result = run.run()
    assert (result.rejected, rows()) == (2, [(1, "new")])
    letters = {each.code: each.seq for each in store.dead_letters(schema)}
    epoch = (result.position or {})["epoch"]
    last = {code: told.history(epoch)[-1] for code, told in zip(_LATE, (script, items), strict=True)}
    assert letters == {code: row["_etl_seq"].hex() for code, row in last.items()}


_LATE = ("snowflake_rejected", "no_base_row")


def test_two_copies_that_open_before_there_is_a_table(start: Open, script: Script, rows: Any) -> None:
    """Whoever opened last goes on, whoever made the table; the other says why it stops."""
    script.insert(_row(1)).commit().insert(_row(2)).commit()
    first, last = start(fence="first"), start(fence="last")
    last.tell(script, 0, 1)
    last.flush()
    with pytest.raises(StateError, match="another copy"):
        first.tell(script)
    last.tell(script, 1)
    last.flush()
    assert [each[0] for each in rows("ID")] == [1, 2]


def test_what_was_deleted_stays_deleted_when_a_part_comes_again(
    start: Open, script: Script, rows: Any
) -> None:
    script.insert(_row(1), _row(2)).commit().delete({"id": 1}).commit()
    for upto in (2, 1):
        driven = start("upsert")
        driven.tell(script, 0, upto)
        driven.flush()
        assert rows() == [(2, "new")]


def test_a_part_of_a_transaction_is_not_merged(start: Open, script: Script, rows: Any) -> None:
    script.insert(_row(1)).commit()
    driven = start("upsert")
    driven.tell(script)
    part = attrs.evolve(driven.position(), complete=False)
    assert (driven.destination.flush(part), rows()) == ([], [])
    driven.flush()
    assert rows() == [(1, "new")]


def test_a_history_whose_pipe_would_have_too_long_a_name_is_copied(
    start: Open, stream: Stream, emulator: Emulator
) -> None:
    script = Script(Stream(stream.namespace, "n" * 250), COLUMNS)
    script.insert(_row(1)).commit()
    driven = start(streaming="rest")
    driven.tell(script)
    driven.flush()
    assert emulator.counts().get("rows_streamed", 0) == 0
    name = f'{emulator.database}."{stream.namespace}"."{"N" * 250}"'
    assert emulator.rows(name).num_rows == 1


def test_mirrors_may_be_shared(start: Open, script: Script, rows: Any) -> None:
    script.insert(_row(1)).commit()
    for pipeline in ("one", "other"):
        driven = start("upsert", pipeline=pipeline)
        driven.tell(script)
        driven.flush()
    assert rows() == [(1, "new")]
