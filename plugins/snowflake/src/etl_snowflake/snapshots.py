"""Snapshots: the rows of a run in a staging table, which the target takes over in one step.

BEGIN makes a new table, whose name nobody else uses, and only then lets the stream point at it: so a copy of
the pipeline that lost its fence can neither empty nor drop the table of the one that has it.

Where a task merges, each transaction first changes the stream's row in ETL_STREAMS, as the task does: one
waits for the other, and neither for what the other has. Else it does so late, so that nobody waits for long.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from etl_core import OP, SEQ, Mode, StateError
from etl_snowflake import control, control_sql, sql
from etl_snowflake.client import Session
from etl_snowflake.control import Kept
from etl_snowflake.names import Names, staging_name
from etl_snowflake.target import ORDER, staging_columns

__all__ = [
    "appear",
    "begin",
    "below",
    "come_again",
    "confirm",
    "count",
    "end",
    "noted",
    "staging",
    "truncate",
]

#: Hex digits of a seq's epoch.
_EPOCH = 8


def below(seq: bytes) -> str:
    """Return the seq just below one, as hex."""
    return (int.from_bytes(seq, "big") - 1).to_bytes(len(seq), "big").hex() if any(seq) else seq.hex()


@contextmanager
def _moving(
    session: Session, names: Names, pipeline: str, fence: str, kept: Kept, *, task: bool
) -> Iterator[None]:
    """Run a block in a transaction with what is kept after it; `task`: one merges the stream."""
    with control.transaction(session, names, pipeline, fence):
        if task:
            control.progress(session, names, pipeline, kept)
        yield
        if not task:
            control.progress(session, names, pipeline, kept)


def begin(
    session: Session,
    names: Names,
    pipeline: str,
    fence: str,
    kept: Kept,
    seq: bytes | None,
    *,
    task: bool = False,
) -> Kept:
    """Start a run; an unfinished one, and what is landed, is discarded. Return what is now kept.

    Nothing may be on its way into the landing table. The stream's mark is set to just below `seq`.
    """
    left_over = _left_over(session, names, kept)
    staging = staging_name(kept.landing, uuid.uuid4().hex[:8])
    session.execute(sql.create_passing(names.ours(staging), staging_columns(names, kept)))
    mark = below(seq) if seq else None
    begun = attrs.evolve(
        kept,
        staging=staging,
        generation=kept.generation + 1,
        mark=mark,
        merged=_again_from(kept, mark) if OP in kept.control else mark,
        ready=mark,
        windows=(),
        errors=0,
        ended=None,
    )
    with _moving(session, names, pipeline, fence, begun, task=task):
        _clear_landing(session, names, kept)
        _supersede(session, names, pipeline, kept)
    for name in left_over:
        session.execute(sql.drop_table(names.ours(name)))
    return begun


def _again_from(kept: Kept, mark: str | None) -> str | None:
    """Return above which seq the rows of a history come again.

    An end that is not saved (see `confirm`) is one that never was: a source that was killed before takes the
    snapshot anew, maybe later in time, and tells nothing that the first one had.
    """
    before = kept.merged
    if not mark or not before or before[:_EPOCH] != mark[:_EPOCH]:
        return mark
    return min(before, mark)


def _left_over(session: Session, names: Names, kept: Kept) -> list[str]:
    """Return the staging tables of runs before; asked for before the fence is, none is a later opener's."""
    prefix, length = staging_name(kept.landing, ""), len(staging_name(kept.landing, "01234567"))
    rows = session.execute(*control.tables_there(names))
    return [row[0] for row in rows if row[0].startswith(prefix) and len(row[0]) == length]


def _clear_landing(session: Session, names: Names, kept: Kept) -> None:
    """Discard what is landed; a history lands in its target, and a replaced table has none."""
    if OP not in kept.control and session.execute(*control.table_there(names, kept.landing)):
        session.execute(sql.empty(names.ours(kept.landing)))


def _supersede(session: Session, names: Names, pipeline: str, kept: Kept) -> None:
    """Forget which rows of a mirror were refused: none of them is to be in it any more."""
    if OP not in kept.control:
        session.execute(*control_sql.superseding(names, pipeline, kept.stream))


def staging(names: Names, kept: Kept) -> str:
    """Return the quoted name of the table of the unfinished run. Raises StateError when there is none."""
    if kept.staging is None:
        raise StateError(
            "rows of a snapshot whose beginning the destination does not have",
            "the account was restored, or the position does not belong to it: reset the pipeline",
            stream=str(kept.stream),
        )
    return names.ours(kept.staging)


def count(session: Session, names: Names, kept: Kept) -> int:
    """Return how many rows the unfinished run has; the next ones are numbered from there."""
    return int(session.execute(f"SELECT COUNT(*) FROM {staging(names, kept)}")[0][0])


def end(
    session: Session,
    names: Names,
    pipeline: str,
    fence: str,
    kept: Kept,
    mode: Mode,
    seq: bytes | None,
    above: str | None = None,
    *,
    task: bool = False,
) -> Kept:
    """Let the rows of the run appear: added under APPEND, else as the whole table. Return what is kept.

    A history loses what is of this epoch and `above` a seq (None: as it is kept): it has come again.
    """
    staged, mark = staging(names, kept), seq.hex() if seq else kept.mark
    merged = kept.merged if OP in kept.control else mark
    ended = attrs.evolve(kept, staging=None, mark=mark, merged=merged, ready=mark, windows=(), ended=None)
    with _moving(session, names, pipeline, fence, ended, task=task):
        again = above or kept.merged
        if mode is Mode.APPEND and OP in kept.control and again and mark:
            session.execute(*come_again(names, kept, again, mark))
        session.execute(appear(names, kept, mode))
    session.execute(sql.drop_table(staged))
    return ended


def come_again(names: Names, kept: Kept, begun: str, ended: str) -> control.Statement:
    """Remove from a history what an earlier end of this snapshot added, and what came after it."""
    seq, last = names.column(SEQ), ended[:_EPOCH] + "f" * (len(ended) - _EPOCH)
    above = f"{seq} > TO_BINARY(?, 'HEX') AND {seq} <= TO_BINARY(?, 'HEX')"
    return f"DELETE FROM {kept.target(names)} WHERE {above}", (begun, last)


def appear(names: Names, kept: Kept, mode: Mode) -> str:
    """Return the statement that moves staged rows into the target; in a mirror a key's last row wins."""
    columns = names.columns(kept.columns.names)
    word = "INSERT INTO" if mode is Mode.APPEND else "INSERT OVERWRITE INTO"
    last = ""
    if mode is Mode.MERGE and kept.key:
        keys = names.columns(kept.key)
        last = f' QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY "{ORDER}" DESC) = 1'
    return f"{word} {kept.target(names)} ({columns}) SELECT {columns} FROM {staging(names, kept)}{last}"


def confirm(
    session: Session, names: Names, pipeline: str, fence: str, kept: Kept, merged: str | None = None
) -> Kept:
    """Keep that the end of a history's snapshot is saved: a new one is added to it.

    `merged` is just below the beginning of one that began since.
    """
    return _progressed(session, names, pipeline, fence, attrs.evolve(kept, merged=merged, ended=None))


def noted(session: Session, names: Names, pipeline: str, fence: str, kept: Kept, ended: str | None) -> Kept:
    """Keep which position is the first after the end of a history's snapshot, before it can be saved."""
    return _progressed(session, names, pipeline, fence, attrs.evolve(kept, ended=ended))


def _progressed(session: Session, names: Names, pipeline: str, fence: str, kept: Kept) -> Kept:
    with control.transaction(session, names, pipeline, fence):
        control.progress(session, names, pipeline, kept)
    return kept


def truncate(
    session: Session,
    names: Names,
    pipeline: str,
    fence: str,
    kept: Kept,
    seq: bytes | None,
    *,
    task: bool = False,
) -> Kept:
    """Empty the table, and what is landed: all of it comes before, merged or not. Return what is now kept."""
    mark = seq.hex() if seq else kept.mark
    emptied = attrs.evolve(kept, mark=mark, merged=mark, ready=mark, windows=())
    with _moving(session, names, pipeline, fence, emptied, task=task):
        session.execute(sql.empty(kept.target(names)))  # target before landing, as a merge does
        _clear_landing(session, names, kept)
        _supersede(session, names, pipeline, kept)
    return emptied
