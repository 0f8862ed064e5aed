from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve

from etl_core import DELETED, EtlError, Mode, StateError, Stream, TableSchema, pack_seq, reserved_schema
from etl_snowflake import control, snapshots
from etl_snowflake.client import Session
from etl_snowflake.control import Kept, Window
from etl_snowflake.names import Names
from etl_snowflake.tables import Tables

_COLUMNS = pa.schema([pa.field("id", pa.int64()), ("name", pa.string())])


def _seq(number: int) -> bytes:
    return pack_seq(1, number, 0)


Make = Callable[..., Kept]
Cut = Callable[..., AbstractContextManager[list[str]]]


@pytest.fixture
def made(session: Session, names: Names, schema: str) -> Make:
    """Make the table of a stream."""
    control.install(session, names)
    control.claim(session, names, "p", "fence")
    session.execute(f"DROP SCHEMA IF EXISTS {names.schema(schema + '_TO')}")

    def make(extra: pa.Schema | None, name: str = "t") -> Kept:
        wanted = TableSchema(Stream(f"{schema}_TO", name), _COLUMNS, ("id",), extra)
        return Tables(session, names, "p", "fence").ensure(wanted, (), None)

    return make


def _begin(session: Session, names: Names, kept: Kept, number: int) -> Kept:
    return snapshots.begin(session, names, "p", "fence", kept, _seq(number))


def _end(session: Session, names: Names, kept: Kept, mode: Mode, number: int) -> Kept:
    return snapshots.end(session, names, "p", "fence", kept, mode, _seq(number))


def _stage(session: Session, names: Names, kept: Kept, *rows: tuple[int, str]) -> None:
    first = snapshots.count(session, names, kept)
    values = ", ".join(f"({key}, '{name}', {first + n})" for n, (key, name) in enumerate(rows))
    table = names.ours(kept.staging or "")
    session.execute(f'INSERT INTO {table} (ID, NAME, "_ETL_N") VALUES {values}')


def _rows(session: Session, names: Names, kept: Kept) -> list[tuple[Any, ...]]:
    return session.execute(f"SELECT ID, NAME FROM {kept.target(names)} ORDER BY ID, NAME")


def _ours(session: Session, names: Names) -> set[str]:
    return {row[0] for row in session.execute(*control.tables_there(names))} - control.TABLES.keys()


def test_just_below() -> None:
    assert snapshots.below(_seq(5)) == pack_seq(1, 4, 2**64 - 1).hex()
    assert snapshots.below(bytes(20)) == bytes(20).hex()


def test_rows_of_a_mirror_appear_together(session: Session, names: Names, made: Make) -> None:
    kept = made(pa.schema([pa.field(DELETED, pa.bool_())]))
    session.execute(f"INSERT INTO {kept.target(names)} (ID, NAME) VALUES (1, 'old'), (9, 'gone')")
    session.execute(f"INSERT INTO {names.ours(kept.landing)} (ID) VALUES (5)")
    kept = _begin(session, names, evolve(kept, windows=[Window(_seq(2).hex(), partial=False)]), 10)
    assert (kept.generation, kept.windows) == (1, ())
    assert kept.mark == kept.merged == kept.ready == snapshots.below(_seq(10))
    _stage(session, names, kept, (1, "one"), (2, "two"))
    _stage(session, names, kept, (1, "last"))
    assert _rows(session, names, kept) == [(1, "old"), (9, "gone")]
    assert control.find(session, names, "p", kept.stream) == kept
    kept = _end(session, names, kept, Mode.MERGE, 20)
    assert _rows(session, names, kept) == [(1, "last"), (2, "two")]
    assert (kept.mark, kept.merged, kept.staging) == (_seq(20).hex(), _seq(20).hex(), None)
    assert control.find(session, names, "p", kept.stream) == kept
    assert _ours(session, names) == {kept.landing}
    assert session.execute(f"SELECT COUNT(*) FROM {names.ours(kept.landing)}") == [(0,)]


def test_rows_replace_the_table(session: Session, names: Names, made: Make) -> None:
    kept = made(None)
    session.execute(f"INSERT INTO {kept.target(names)} (ID, NAME) VALUES (1, 'old')")
    kept = _begin(session, names, kept, 1)
    _stage(session, names, kept, (2, "b"), (2, "b"))
    kept = _end(session, names, kept, Mode.REPLACE, 2)
    assert _rows(session, names, kept) == [(2, "b"), (2, "b")], "rows of a table without a key are gone"
    kept = _end(session, names, _begin(session, names, kept, 3), Mode.REPLACE, 4)
    assert _rows(session, names, kept) == []


def test_rows_join_a_history(session: Session, names: Names, made: Make) -> None:
    kept = made(reserved_schema(_COLUMNS, ["id"]))
    session.execute(f"INSERT INTO {kept.target(names)} (ID, NAME) VALUES (1, 'old')")
    kept = _begin(session, names, kept, 1)
    session.execute(f"INSERT INTO {names.ours(kept.staging or '')} (ID, NAME) VALUES (1, 'new'), (1, 'new')")
    kept = _end(session, names, kept, Mode.APPEND, 2)
    assert _rows(session, names, kept) == [(1, "new"), (1, "new"), (1, "old")]


def test_a_snapshot_that_comes_again_is_in_a_history_once(session: Session, names: Names, made: Make) -> None:
    kept = made(reserved_schema(_COLUMNS, ["id"]))
    _told(session, names, kept, names.table(kept.schema, kept.table), (1, 1))

    def run(kept: Kept, seq: int, *keys: int, ended: bool = True) -> Kept:
        kept = _begin(session, names, kept, seq)
        staged = [(seq + place, key) for place, key in enumerate(keys, 1)]
        _told(session, names, kept, names.ours(kept.staging or ""), *staged)
        return _end(session, names, kept, Mode.APPEND, seq + 5) if ended else kept

    def keys(kept: Kept) -> list[int]:
        return [row[0] for row in _rows(session, names, kept)]

    kept = run(run(kept, 5, 2, 3, ended=False), 5, 2, 3)
    _told(session, names, kept, names.table(kept.schema, kept.table), (11, 4))
    kept = run(run(kept, 5, 2, 3, ended=False), 5, 2, 3)
    assert keys(kept) == [1, 2, 3]
    kept = run(kept, 20, 5)
    assert keys(kept) == [1, 5], "what was never saved is there beside what was taken anew"
    kept = snapshots.confirm(session, names, "p", "fence", kept)
    assert keys(run(kept, 30, 6)) == [1, 5, 6]


def _told(session: Session, names: Names, kept: Kept, table: str, *rows: tuple[int, int]) -> None:
    for number, key in rows:
        session.execute(
            f"INSERT INTO {table} (ID, \"_ETL_SEQ\") SELECT ?, TO_BINARY(?, 'HEX')", [key, _seq(number).hex()]
        )


def test_a_run_that_begins_again_discards_the_other(session: Session, names: Names, made: Make) -> None:
    kept = made(pa.schema([]))
    _stage(session, names, kept := _begin(session, names, kept, 1), (1, "first"))
    other = made(pa.schema([]), "t_other")
    other = _begin(session, names, other, 1)
    again = _begin(session, names, kept, 5)
    assert again.staging != kept.staging
    assert again.generation == 2
    assert {kept.staging} & _ours(session, names) == set()
    assert {again.staging, other.staging} <= _ours(session, names)
    _stage(session, names, again, (2, "second"))
    again = _end(session, names, again, Mode.MERGE, 6)
    assert _rows(session, names, again) == [(2, "second")]


def test_a_source_without_sequences(session: Session, names: Names, made: Make) -> None:
    kept = snapshots.begin(session, names, "p", "fence", evolve(made(None), mark="ff"), None)
    assert kept.mark is None
    _stage(session, names, kept, (1, "a"))
    kept = snapshots.end(session, names, "p", "fence", kept, Mode.REPLACE, None)
    assert (kept.mark, _rows(session, names, kept)) == (None, [(1, "a")])


def test_rows_without_a_beginning_are_refused(session: Session, names: Names, made: Make) -> None:
    kept = made(pa.schema([]))
    with pytest.raises(StateError, match="beginning"):
        snapshots.count(session, names, kept)
    with pytest.raises(StateError, match="beginning"):
        _end(session, names, kept, Mode.MERGE, 1)


def test_a_displaced_copy_leaves_the_others_run_alone(session: Session, names: Names, made: Make) -> None:
    kept = _begin(session, names, made(pa.schema([])), 1)
    control.claim(session, names, "p", "later")
    current = snapshots.begin(session, names, "p", "later", kept, _seq(2))
    _stage(session, names, current, (1, "a"))
    with pytest.raises(StateError):
        _begin(session, names, kept, 3)
    with pytest.raises(EtlError):  # its staging table is gone, or the fence is another's
        _end(session, names, kept, Mode.MERGE, 4)
    with pytest.raises(StateError):
        snapshots.truncate(session, names, "p", "fence", kept, _seq(5))
    current = snapshots.end(session, names, "p", "later", current, Mode.MERGE, _seq(9))
    assert _rows(session, names, current) == [(1, "a")]


@pytest.mark.parametrize(
    ("match", "done"),
    [
        ("^CREATE TABLE", True),
        ("^COMMIT", True),
        ("^DROP TABLE", False),
        pytest.param("^UPDATE .*ETL_STREAMS", True, marks=pytest.mark.slow),
        pytest.param("^COMMIT", False, marks=pytest.mark.slow),
        pytest.param("^INSERT OVERWRITE", True, marks=pytest.mark.slow),
    ],
)
def test_steps_that_broke_off(
    session: Session, names: Names, made: Make, cut: Cut, match: str, *, done: bool
) -> None:
    """What comes again after a crash does what it would have done; nothing is left over."""
    kept = _begin(session, names, made(pa.schema([])), 1)
    session.execute(f"INSERT INTO {kept.target(names)} (ID, NAME) VALUES (1, 'old')")
    with cut(match, done=done):
        _begin(session, names, kept, 5)
    assert _rows(session, names, kept) == [(1, "old")]
    kept = _begin(session, names, _found(session, names, kept), 5)
    _stage(session, names, kept, (2, "new"))
    with cut(match, done=done):
        _end(session, names, kept, Mode.MERGE, 9)
    kept = _found(session, names, kept)
    if kept.mark != _seq(9).hex():
        assert _rows(session, names, kept) == [(1, "old")]
        kept = _end(session, names, kept, Mode.MERGE, 9)
    assert _rows(session, names, kept) == [(2, "new")]
    kept = _end(session, names, _begin(session, names, kept, 10), Mode.MERGE, 11)
    assert _rows(session, names, kept) == []
    assert _ours(session, names) == {kept.landing}


def _found(session: Session, names: Names, kept: Kept) -> Kept:
    found = control.find(session, names, "p", kept.stream)
    assert found is not None
    return found
