from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from etl_core.model import Mode, Position, Step, Stream, TableSchema, Write
from etl_core.testing.journal import Entry, Journal, LooseJournal, entries

STREAM = Stream("a.b", "c")
ROWS = pa.table({"id": [1, 2], "name": ["x", None]})
WRITES = [
    Write(STREAM, Mode.REPLACE, None, Step.BEGIN),
    Write(STREAM, Mode.MERGE, ROWS, None, b"\x01" * 20),
    Write(STREAM, Mode.TRUNCATE),
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "new" / "journal"


def opened(directory: Path) -> Journal:
    made = Journal(directory)
    context: Any = None
    made.open(context, "fence")
    return made


def told(directory: Path) -> list[Entry]:
    return list(entries(directory))


def test_what_is_flushed_can_be_read_back_with_its_position(directory: Path) -> None:
    journal = opened(directory)
    assert journal.resume_position() is None
    for write in WRITES:
        assert journal.write(write) is None
    assert told(directory) == []
    assert journal.flush(Position(1, 2, {"at": 3})) is None
    found = [(each.stream, each.mode, each.step, each.seq) for each in told(directory)]
    assert found == [(each.stream, each.mode, each.step, each.seq) for each in WRITES]
    assert [each.rows for each in told(directory)] == [None, ROWS, None]
    assert opened(directory).resume_position() == Position(1, 2, {"at": 3})


@pytest.mark.parametrize("end", ["abort", "close"])
def test_what_was_only_accepted_is_forgotten(directory: Path, end: str) -> None:
    journal = opened(directory)
    journal.write(WRITES[1])
    getattr(journal, end)()
    journal.flush(Position(1, 1, None))
    assert told(directory) == []


def test_many_commits_stay_in_order_and_an_unfinished_one_is_none(directory: Path) -> None:
    journal = opened(directory)
    for n in range(12):
        journal.write(Write(STREAM, Mode.APPEND, pa.table({"id": [n]})))
        journal.flush(Position(1, n, n))
    (directory / ".unfinished-1-12").mkdir()
    assert [each.rows["id"][0].as_py() for each in told(directory) if each.rows] == list(range(12))
    assert opened(directory).resume_position() == Position(1, 11, 11)


def test_a_position_is_overwritten_and_cleared(directory: Path) -> None:
    journal = opened(directory)
    journal.set_position(Position(2, 1, None))
    assert journal.resume_position() == Position(2, 1, None)
    journal.set_position(None)
    assert journal.resume_position() is None


def test_it_knows_the_tables_it_was_told_to_make(directory: Path) -> None:
    journal = opened(directory)
    table = TableSchema(STREAM, ROWS.schema)
    assert journal.table(STREAM) is None
    journal.ensure(table, ())
    assert journal.table(STREAM) is table


def test_a_loose_journal_keeps_no_position() -> None:
    assert (Journal.keeps_position, LooseJournal.keeps_position) == (True, False)
