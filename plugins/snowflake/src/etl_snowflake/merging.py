"""Landed changes merged into their table: per window one atomic MERGE, in one transaction with what is kept.

Landing rows go in the same transaction, by seq: rows that come meanwhile are above it.
"""

from __future__ import annotations

import attrs

from etl_core import SEQ, Rejected
from etl_snowflake import control
from etl_snowflake.client import Session
from etl_snowflake.kept import Kept, Window
from etl_snowflake.merge_sql import Merge
from etl_snowflake.names import Names
from etl_snowflake.reading import read_rows
from etl_snowflake.rejected import keep
from etl_snowflake.windows import clip, due, extend

__all__ = ["Merge", "clip", "due", "extend", "merge"]

#: Rows that are removed with one statement.
_MANY = 1000


def merge(
    session: Session, names: Names, pipeline: str, fence: str, kept: Kept, upto: str, *, task: bool = False
) -> tuple[Kept, list[Rejected]]:
    """Merge what is landed up to a seq at which all is complete; return what is now kept, and rows refused.

    Each window is a transaction of its own, in which the refused rows are kept, too. One that was committed,
    though nobody heard of it, is not merged again. `task`: one merges the stream, too.
    """
    rejected: list[Rejected] = []
    for window in due(kept, upto):
        rest = [each for each in kept.windows if each.upto > window.upto]
        mark = session, names, pipeline, kept.stream, window.upto, rest
        with control.transaction(session, names, pipeline, fence):
            if not task or control.merged(*mark):  # a task changes that first, too
                refused = _window(session, Merge(names, kept), window)
                keep(session, names, pipeline, refused)
                rejected += refused
            if not task:
                control.merged(*mark)
        kept = attrs.evolve(kept, merged=window.upto, windows=rest)
    return kept, rejected


def _window(session: Session, merge: Merge, window: Window) -> list[Rejected]:
    binds = (merge.kept.merged or "", window.upto)
    rejected = _reject(session, merge, binds) if window.partial else []
    session.execute(merge.statement(partial=window.partial), binds)
    session.execute(merge.clear(), (window.upto,))
    return rejected


def _reject(session: Session, merge: Merge, binds: tuple[str, str]) -> list[Rejected]:
    """Take the rows out of the window that build on a row that is not there."""
    rows = read_rows(session, merge.names, merge.kept, merge.lacking(), binds)
    if not rows.num_rows:
        return []
    seqs = [seq.hex() for seq in rows.column(SEQ).to_pylist()]
    for start in range(0, len(seqs), _MANY):
        part = seqs[start : start + _MANY]
        session.execute(merge.discard(len(part)), part)
    return [Rejected(merge.kept.stream, rows, "no_base_row")]
