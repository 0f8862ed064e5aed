"""What this connector keeps for itself: pipelines with their fences, streams with their marks.

Every transaction that commits rows ends with `require`: whoever opened last wins. An opener either comes
before it, and nothing is committed, or waits for the COMMIT and then reads the marks. It comes last because
Snowflake locks the table, not the row: pipelines of a landing schema would wait for each other's COPYs. For
the same reason a transaction changes ETL_STREAMS late, but where a task merges: that changes it first, and
so does whoever must not come between a task's statements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from etl_core import AuthError, SchemaError, StateError, Stream, unpack_seq
from etl_snowflake import control_sql
from etl_snowflake.client import Session
from etl_snowflake.control_sql import (
    PIPELINES,
    STREAMS,
    TABLES,
    Statement,
    create_schema,
    schema_there,
    table_there,
    tables_there,
)
from etl_snowflake.kept import Kept, Window, columns, read
from etl_snowflake.names import Names, landing_name

__all__ = [
    "PIPELINES",
    "STREAMS",
    "TABLES",
    "Kept",
    "Statement",
    "Window",
    "add",
    "advance",
    "answered",
    "check_epoch",
    "claim",
    "columns",
    "create_schema",
    "find",
    "hold",
    "install",
    "load",
    "merged",
    "progress",
    "ready",
    "require",
    "require_alone",
    "reshape",
    "schema_there",
    "streamed",
    "table_there",
    "tables_there",
    "told",
    "transaction",
]


def install(session: Session, names: Names) -> None:
    """Create the landing schema and the control tables. Needs no right to where they are there."""
    if not session.execute(*schema_there(names, names.landing_schema)):
        session.execute(create_schema(names, names.landing_schema))
    there = {row[0] for row in session.execute(*tables_there(names))}
    for name in sorted(TABLES.keys() - there):
        session.execute(control_sql.create_control(names, name))


def claim(session: Session, names: Names, pipeline: str, fence: str) -> None:
    """Make `fence` the one that commits of `pipeline` require."""
    session.execute(*control_sql.claiming(names, pipeline, fence))


def require(session: Session, names: Names, pipeline: str, fence: str) -> None:
    """Raise StateError when the fence is another's; in a transaction nobody else takes it until its end."""
    if session.changed(*control_sql.requiring(names, pipeline, fence)) != 1:
        raise StateError(
            "another copy of the pipeline has opened the destination",
            "let one copy run; give pipelines that share a landing schema different names",
            pipeline=pipeline,
        )


@contextmanager
def transaction(session: Session, names: Names, pipeline: str, fence: str) -> Iterator[None]:
    """Run a block in one transaction, which commits if the fence is ours then. StateError, if it is not."""
    try:
        with session.transaction():
            yield
            require(session, names, pipeline, fence)
    except (AuthError, SchemaError):  # another copy may have changed the tables under this one
        require(session, names, pipeline, fence)
        raise


def load(session: Session, names: Names, pipeline: str) -> dict[Stream, Kept]:
    """Return what is kept with each stream of a pipeline."""
    rows = session.execute(*control_sql.loading(names, pipeline))
    return {kept.stream: kept for kept in map(read, rows)}


def told(session: Session, names: Names, pipeline: str, kept: Kept) -> str | None:
    """Return how a stream's key and columns are written, if they are these; a release may write others."""
    sql, binds = control_sql.loading(names, pipeline)
    rows = session.execute(f"{sql} AND STREAM = ?", (*binds, str(kept.stream)))
    there = read(rows[0]) if rows else None
    if there is None or (there.key, there.columns, there.adding) != (kept.key, kept.columns, kept.adding):
        return None
    return f"{rows[0][4]}{rows[0][6]}"


def find(session: Session, names: Names, pipeline: str, stream: Stream) -> Kept | None:
    """Return what is kept with a stream."""
    sql, binds = control_sql.loading(names, pipeline)
    rows = session.execute(f"{sql} AND STREAM = ?", (*binds, str(stream)))
    return read(rows[0]) if rows else None


def add(
    session: Session, names: Names, pipeline: str, fence: str, stream: Stream, *, alone: bool = False
) -> Kept:
    """Keep a new stream; its landing table's name is decided here, for good.

    Whoever decides meanwhile waits: all change the same rows first. Raises SchemaError when it is to be
    `alone` in its table, and another pipeline is there.
    """
    schema, table = names.place(stream)
    with transaction(session, names, pipeline, fence):
        session.execute(f"UPDATE {names.ours(PIPELINES)} SET OPENED_AT = OPENED_AT")
        if alone:
            require_alone(session, names, pipeline, stream)
        taken = {row[0] for row in session.execute(f"SELECT LANDING FROM {names.ours(STREAMS)}")}
        taken |= {row[0] for row in session.execute(*tables_there(names))}
        kept = Kept(stream, schema, table, landing_name(pipeline, schema, table, taken))
        session.execute(*control_sql.adding(names, pipeline, kept))
    return kept


def require_alone(session: Session, names: Names, pipeline: str, stream: Stream) -> None:
    """Raise SchemaError when another pipeline loads a stream's table."""
    others = session.execute(*control_sql.sharing(names, pipeline, *names.place(stream)))
    if others:
        raise SchemaError(
            "another pipeline loads this table, and the rows of a history do not say whose they are",
            "set another destination.schema; where that pipeline is no more, delete its row in ETL_STREAMS",
            stream=str(stream),
            pipeline=others[0][0],
        )


def reshape(session: Session, names: Names, pipeline: str, kept: Kept) -> None:
    """Put a stream's key, columns and schema seq into the open transaction."""
    session.execute(*control_sql.reshaping(names, pipeline, kept))


def progress(session: Session, names: Names, pipeline: str, kept: Kept) -> None:
    """Put how far a stream is into the open transaction, whatever was there."""
    session.execute(*control_sql.progressing(names, pipeline, kept))


def advance(
    session: Session, names: Names, pipeline: str, stream: Stream, mark: str, windows: Sequence[Window]
) -> None:
    """Put a stream's mark, with the windows of what is landed, into the open transaction."""
    session.execute(*control_sql.advancing(names, pipeline, stream, mark, windows))


def merged(
    session: Session, names: Names, pipeline: str, stream: Stream, upto: str, windows: Sequence[Window]
) -> bool:
    """Say in the open transaction how far rows are merged; False when they were so before."""
    return session.changed(*control_sql.merging(names, pipeline, stream, upto, windows)) == 1


def ready(session: Session, names: Names, pipeline: str, stream: Stream, upto: str) -> None:
    """Let a stream's task merge up to a seq."""
    session.execute(*control_sql.readying(names, pipeline, stream, upto))


def hold(session: Session, names: Names, pipeline: str, stream: Stream) -> None:
    """Let a stream's task merge no further; waits for one that runs."""
    session.execute(*control_sql.holding(names, pipeline, stream))


def answered(session: Session, names: Names, pipeline: str, stream: Stream, errors: int) -> None:
    """Say in the open transaction how many refused rows of a stream's channel were found and kept."""
    session.execute(*control_sql.answering(names, pipeline, stream, errors))


def streamed(session: Session, names: Names, pipeline: str, stream: Stream, generation: int) -> None:
    """Say in the open transaction that a generation's channel is opened: it may have rows from then on."""
    session.execute(*control_sql.streaming(names, pipeline, stream, generation))


def check_epoch(kept: Kept, epoch: int) -> None:
    """Raise StateError when what is there is of a later epoch than the run."""
    found = unpack_seq(bytes.fromhex(kept.mark))[0] if kept.mark else 0
    if found > epoch:
        raise StateError(
            "the destination holds rows of a later epoch than the run",
            "an older record of the pipeline was restored: reset the pipeline, or restore the newer one",
            stream=str(kept.stream),
            epoch=epoch,
            found=found,
        )
