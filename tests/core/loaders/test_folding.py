"""Folding whole batches at once, against folding every change by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.loaders.fold import fold
from etl_core.loaders.folding import Change, Entry, Fate, Folding
from etl_core.model import COMMIT_TS, DELETED, OLD_KEY, OP, SEQ, UNCHANGED, pack_seq
from etl_core.schema import reserved_schema

Row = dict[str, Any]

COLUMNS = pa.schema([("k", pa.int64()), ("l", pa.string()), ("a", pa.int64()), ("b", pa.string())])
SHAPES: dict[tuple[str, ...], list[tuple[Any, ...]]] = {
    ("k",): [(1,), (2,), (3,), (4,), (None,)],
    ("l", "k"): [("x", 1), ("y", 1), ("x", 2), ("x", None)],
}


def changes_of(key: Sequence[str]) -> st.SearchStrategy[Row]:
    """Any change: also what no source sends, like an update of what was deleted."""
    keys = st.sampled_from(SHAPES[tuple(key)])
    return st.fixed_dictionaries(
        {
            "op": st.sampled_from("iuuuud"),
            "key": keys,
            "old": st.one_of(st.none(), st.none(), st.none(), keys),
            "unchanged": st.one_of(st.none(), st.sets(st.sampled_from(["a", "b", "gone"]))),
        }
    )


def rows_of(changes: Sequence[Row], key: Sequence[str]) -> list[Row]:
    return [_row(number, change, key) for number, change in enumerate(changes)]


def _row(number: int, change: Row, key: Sequence[str]) -> Row:
    unchanged = sorted(change["unchanged"] or ()) if change["op"] != "d" else []
    return {
        **dict.fromkeys(COLUMNS.names),
        **{name: value for name, value in (("a", number), ("b", f"b{number}")) if name not in unchanged},
        **dict(zip(key, change["key"], strict=True)),
        OP: change["op"],
        SEQ: pack_seq(1, 1, number),
        COMMIT_TS: None,
        UNCHANGED: unchanged or None,
        OLD_KEY: change["old"] and dict(zip(key, change["old"], strict=True)),
    }


def folded_singly(rows: Sequence[Row], key: Sequence[str], soft: bool) -> Iterator[list[Row]]:
    """What `fold` says it does, in plain Python on single rows."""
    folding = Folding(soft)
    for change in _changes(rows, key):
        if not folding.add(change):
            yield _written(rows, key, folding, soft)
            folding = Folding(soft)
            folding.add(change)
    yield _written(rows, key, folding, soft)


def _changes(rows: Sequence[Row], key: Sequence[str]) -> Iterator[Change]:
    codes: dict[Any, int] = {}
    for number, row in enumerate(rows):
        code = _code(codes, row, key)
        old = None if row[OLD_KEY] is None else _code(codes, row[OLD_KEY], key)
        moved = None if old == code else old
        yield Change(number, row[OP] == "d", code, moved, frozenset(row[UNCHANGED] or ()))


def _code(codes: dict[Any, int], values: Mapping[str, Any], key: Sequence[str]) -> int:
    found = tuple(values[name] for name in key)
    return codes.setdefault(object() if None in found else found, len(codes))


def _written(rows: Sequence[Row], key: Sequence[str], folding: Folding, soft: bool) -> list[Row]:
    entries = [entry for entry in folding.entries.values() if entry.fate is not Fate.MOVED]
    return [_rebuilt(rows, key, entry, soft) for entry in sorted(entries, key=lambda entry: entry.stamp)]


def _rebuilt(rows: Sequence[Row], key: Sequence[str], entry: Entry, soft: bool) -> Row:
    row = rows[entry.row]
    values = {name: None if entry.of_old else rows[entry.source(name)][name] for name in COLUMNS.names}
    keys = row[OLD_KEY] if entry.of_old else {name: row[name] for name in key}
    deleted = {DELETED: entry.soft_deleted or entry.fate is Fate.DELETED} if soft else {}
    return {
        **values,
        **keys,
        OP: "d" if entry.fate is Fate.DELETED else row[OP],
        SEQ: rows[entry.stamp][SEQ],
        COMMIT_TS: None,
        UNCHANGED: sorted(entry.unchanged) or None,
        OLD_KEY: None if entry.old is None else row[OLD_KEY],
        **deleted,
    }


def table(rows: Sequence[Row], key: Sequence[str], chunk: int) -> pa.Table:
    schema = pa.schema([*COLUMNS, *reserved_schema(COLUMNS, key)])
    return pa.concat_tables(
        pa.Table.from_pylist(list(rows[start : start + chunk]), schema=schema)
        for start in range(0, len(rows), chunk)
    )


@pytest.mark.parametrize("key", SHAPES, ids="+".join)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@settings(max_examples=100)
@given(data=st.data())
def test_any_batch_folds_to_what_its_changes_fold_to_one_by_one(
    key: tuple[str, ...], soft: bool, data: st.DataObject
) -> None:
    changes = data.draw(st.lists(changes_of(key), min_size=1, max_size=25))
    rows = rows_of(changes, key)
    written = fold(table(rows, key, data.draw(st.integers(1, 25))), key, soft=soft)
    assert [t.to_pylist() for t in written] == list(folded_singly(rows, key, soft))


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
def test_a_large_batch_of_keys_far_apart(soft: bool) -> None:
    """Few rows move, so that most are folded at once, in every write."""
    random = Random(6)
    keys = [(random.getrandbits(62),) for _ in range(4000)]
    changes: list[Row] = [
        {
            "op": random.choice("iuuud"),
            "key": random.choice(keys),
            "old": random.choice(keys) if random.random() < 0.01 else None,
            "unchanged": random.sample(["a", "b"], 1) if random.random() < 0.3 else None,
        }
        for _ in range(6000)
    ]
    rows = rows_of(changes, ["k"])
    written = [t.to_pylist() for t in fold(table(rows, ["k"], 1000), ["k"], soft=soft)]
    assert len(written) > 1
    assert written == list(folded_singly(rows, ["k"], soft))
