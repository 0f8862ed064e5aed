"""What came of transactions in progress is kept as it came, in memory or on disk, until somebody asks."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core import RetryableError
from etl_postgres_cdc import spooling
from etl_postgres_cdc.spooling import Spools, packed

PIECES = st.lists(st.tuples(st.integers(1, 4), st.binary(min_size=1, max_size=200)), max_size=60)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spill") / "not made yet"


@given(pieces=PIECES, budget=st.integers(0, 500))
def test_pieces_come_back_as_they_came(directory: Path, pieces: list[tuple[int, bytes]], budget: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooling, "_BUDGET", budget)
        spools = Spools(directory)
        for serial, (xid, data) in enumerate(pieces):
            spools.add(xid, data, serial)
        for xid in range(1, 5):
            spool = spools.take(xid)
            came = [(data, serial) for serial, (other, data) in enumerate(pieces) if other == xid]
            assert list(spool.read()) == came
            assert spool.size == sum(len(data) for data, _ in came)
            spool.close()
    assert len(spools) == 0


def test_memory_stays_within_the_budget_and_no_file_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "_BUDGET", 1000)
    spools = Spools(tmp_path / "spill")
    for serial in range(300):
        spools.add(serial % 3, b"x" * 100, serial)
        assert spools.in_memory <= 1000
    assert list((tmp_path / "spill").iterdir()) == []
    spool = spools.take(1)
    assert [len(data) for data, _ in spool.read()] == [100] * 100
    spool.close()
    spools.close()


def test_an_abort_forgets_all_of_a_transaction_or_notes_a_part_of_it(tmp_path: Path) -> None:
    spools = Spools(tmp_path)
    spools.add(7, b"a", 1)
    spools.add(8, b"b", 2)
    spools.abort(7, 7)
    spools.abort(8, 11)
    spools.abort(8, 9)
    spools.abort(99, 100)
    assert list(spools.take(7).read()) == []
    assert array("I", packed(spools.take(8).aborted)).tolist() == [9, 11]


def test_a_disk_that_cannot_be_written_is_a_reason_to_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "_BUDGET", 10)
    (tmp_path / "file").write_text("")
    spools = Spools(tmp_path / "file")
    with pytest.raises(RetryableError, match="cannot be kept on disk") as caught:
        spools.add(1, b"x" * 100, 1)
    assert "resources.spill" in str(caught.value.hint)
