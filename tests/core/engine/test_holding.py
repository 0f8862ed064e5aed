from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.connectors import ORDERS, ListSource, PlainDestination, rows

from etl_core.config import CommitPolicy, Duration, LoadSettings, Resources, Size
from etl_core.engine.holding import Holder, spill_directory
from etl_core.engine.pipeline import Pipeline
from etl_core.engine.reading import Item
from etl_core.errors import FatalError
from etl_core.model import Batch, Kind, Position


def item(number: int, complete: bool) -> Item:
    return Item(Batch.of(ORDERS, rows(number)), Position(1, number, number, complete))


@given(ends=st.lists(st.booleans(), max_size=12), memory=st.sampled_from([0, 60, 1 << 20]))
@settings(deadline=None, max_examples=40)
def test_items_come_back_in_order_and_only_with_the_end_of_their_transaction(
    tmp_path_factory: pytest.TempPathFactory, ends: list[bool], memory: int
) -> None:
    directory = tmp_path_factory.mktemp("spill") / "p"
    holder, seen = Holder(directory, memory), []
    for number, complete in enumerate(ends):
        out = list(holder.feed(item(number, complete)))
        assert bool(out) == complete
        seen += out
    seen += list(holder.release())
    assert [i.position.n for i in seen if i.position] == list(range(len(ends)))
    assert [i.batch.rows.column("id")[0].as_py() for i in seen if i.batch.rows] == list(range(len(ends)))
    assert not directory.exists() or not any(directory.iterdir())


def test_what_a_crash_left_is_removed_and_markers_are_held_too(tmp_path: Path) -> None:
    (tmp_path / "old.arrows").write_bytes(b"x")
    (tmp_path / "somebody's").write_text("not ours")
    holder = Holder(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["somebody's"]
    marker = Item(Batch(Kind.TRUNCATE, ORDERS), None)
    assert list(holder.feed(marker)) == []
    assert list(holder.release()) == [marker]


def test_a_full_or_unwritable_disk_is_a_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    with pytest.raises(FatalError) as caught:
        list(Holder(blocked / "p", 0).feed(item(1, False)))
    assert "resources.spill" in str(caught.value.hint)


def test_a_destination_that_shows_rows_early_sees_no_part_of_a_transaction(tmp_path: Path) -> None:
    batches = [
        Batch.of(ORDERS, rows(1), position=1),
        Batch.of(ORDERS, rows(2), position=2, complete=False),
        Batch.of(ORDERS, rows(3), position=3, complete=False),
        Batch.of(ORDERS, rows(4), position=4, complete=False),
    ]
    load = LoadSettings(commit=CommitPolicy(max_wait=Duration(0), whole_transactions=True))
    resources = Resources(memory=Size(1), spill=tmp_path)
    destination = PlainDestination()
    source = ListSource([*batches, *batches], fail={4: FatalError("cut")})
    with pytest.raises(FatalError, match="cut"):
        Pipeline("p", source, destination, load=load, resources=resources).run()
    assert [w.rows.column("id").to_pylist() for w in destination.writes if w.rows] in ([[1]], [])


@pytest.mark.parametrize("name", [".", "..", "../state", "/", "a/b", "shop"])
def test_a_name_leads_nowhere_but_into_the_spill_directory(name: str) -> None:
    """Only the path is made: a wrong one is emptied, so that no test may run with it."""
    found = spill_directory(Path("spill"), name)
    assert found.parent == Path("spill")
    assert found.name not in (".", "..")
