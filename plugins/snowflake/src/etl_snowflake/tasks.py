"""Merging by a task of Snowflake's, with `task_schedule_minutes`: it goes on when no pipeline runs.

A task merges whole rows only, up to READY, which the pipeline raises when all below it is complete and
durable. Rows that build on the row in the table (columns left out, a changed key) are merged by the pipeline,
window by window; READY is never raised across them. The task is a block of Snowflake Scripting, one
transaction with the statements that the pipeline would send; both first change the stream's row in
ETL_STREAMS, so that one waits for the other.

A task merges by the key and the columns that there were when it was made. One that outlives them, or that a
copy of the pipeline made which had lost its fence, finds no row in ETL_STREAMS with these, and does nothing.
"""

from __future__ import annotations

import hashlib

import attrs

from etl_core import Rejected
from etl_snowflake import control
from etl_snowflake.client import Session
from etl_snowflake.control import STREAMS, Kept
from etl_snowflake.kept import written
from etl_snowflake.merging import Merge, due, merge
from etl_snowflake.names import Names, literal, quote, task_name

__all__ = ["body", "create", "drop", "hand_over", "install", "remove", "resume", "there"]


def body(names: Names, pipeline: str, kept: Kept, told: str | None = None) -> str:
    """Return what the task does; `told`: how the key and the columns are written in ETL_STREAMS."""
    streams = names.ours(STREAMS)
    where = (
        f"WHERE PIPELINE = {literal(pipeline)} AND STREAM = {literal(str(kept.stream))}"
        f" AND MD5(CONCAT(KEY, COLUMNS)) = {literal(_digest(told or written(kept)))}"
    )
    low = f"(SELECT COALESCE(MERGED, '') FROM {streams} {where})"
    high = f"(SELECT COALESCE(READY, '') FROM {streams} {where})"
    merging = Merge(names, kept)
    statements = (
        "BEGIN TRANSACTION",
        f"UPDATE {streams} SET MERGED = MERGED {where}",
        merging.statement(partial=False, low=low, high=high),
        merging.clear(high),
        f"UPDATE {streams} SET MERGED = GREATEST(COALESCE(MERGED, ''), COALESCE(READY, '')) {where}",
        "COMMIT",
    )
    done = ";\n".join(statements)
    return f"BEGIN\n{done};\nEXCEPTION\nWHEN OTHER THEN\nROLLBACK;\nRAISE;\nEND"


def _digest(text: str) -> str:
    """Return what Snowflake's MD5 gives."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def create(
    names: Names, pipeline: str, kept: Kept, warehouse: str, minutes: int, told: str | None = None
) -> str:
    """Return the statement that makes the task, suspended."""
    task = names.ours(task_name(kept.landing))
    return (
        f"CREATE OR REPLACE TASK {task} WAREHOUSE = {quote(warehouse)} SCHEDULE = '{minutes} MINUTES'"
        f" AS\n{body(names, pipeline, kept, told)}"
    )


def resume(names: Names, kept: Kept) -> str:
    """Return the statement that lets the task run."""
    return f"ALTER TASK {names.ours(task_name(kept.landing))} RESUME"


def drop(names: Names, kept: Kept) -> str:
    """Return the statement that drops the task."""
    return f"DROP TASK IF EXISTS {names.ours(task_name(kept.landing))}"


def install(
    session: Session, names: Names, pipeline: str, fence: str, kept: Kept, *, warehouse: str, minutes: int
) -> None:
    """Make the task of a stream as its columns are now, and let it run. After every `ensure`."""
    control.require(session, names, pipeline, fence)
    told = control.told(session, names, pipeline, kept)
    session.execute(create(names, pipeline, kept, warehouse, minutes, told))
    session.execute(resume(names, kept))


def remove(session: Session, names: Names, pipeline: str, fence: str, kept: Kept) -> None:
    """Drop the task of a stream, before its tables change or when none is wanted. Waits while it runs."""
    control.require(session, names, pipeline, fence)
    session.execute(drop(names, kept))
    with control.transaction(session, names, pipeline, fence):
        control.hold(session, names, pipeline, kept.stream)


def there(session: Session, names: Names) -> set[str]:
    """Name the tasks of the landing schema that the role may see."""
    schema = names.schema(names.landing_schema)
    return {str(row[1]) for row in session.execute(f"SHOW TASKS IN SCHEMA {schema}")}


def hand_over(
    session: Session, names: Names, pipeline: str, fence: str, kept: Kept, upto: str
) -> tuple[Kept, list[Rejected]]:
    """Let the task merge what is landed up to a seq; what it cannot, and all before that, is merged here."""
    there = control.find(session, names, pipeline, kept.stream)
    kept = attrs.evolve(kept, merged=there.merged if there else kept.merged)
    mine = [window.upto for window in due(kept, upto) if window.partial]
    rejected: list[Rejected] = []
    if mine:
        kept, rejected = merge(session, names, pipeline, fence, kept, mine[-1], task=True)
    if due(kept, upto):
        with control.transaction(session, names, pipeline, fence):
            control.ready(session, names, pipeline, kept.stream, upto)
        kept = attrs.evolve(kept, ready=upto)
    return kept, rejected
