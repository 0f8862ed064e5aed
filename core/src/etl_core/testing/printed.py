"""The rows of a journal as they print, to compare what two runs left."""

from __future__ import annotations

from pathlib import Path

from etl_core.model import COMMIT_TS, SEQ, unpack_seq
from etl_core.testing.journal import entries

__all__ = ["printed_rows"]


def printed_rows(journal: Path, without: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """Return the durable rows of each stream in order, epochs aside: another run may have another."""
    left_out = {COMMIT_TS, *without}
    found: dict[str, list[str]] = {}
    for entry in entries(journal):
        for row in entry.rows.to_pylist() if entry.rows is not None else ():
            kept = {name: value for name, value in row.items() if name not in left_out}
            told = repr({**kept, SEQ: unpack_seq(row[SEQ])[1:]})
            found.setdefault(str(entry.stream), []).append(told)
    return found
