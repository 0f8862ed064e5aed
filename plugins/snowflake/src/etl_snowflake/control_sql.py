"""Statements about the control tables: text, and what is bound where it says `?`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from etl_core import Stream
from etl_snowflake.kept import IDENTITY, PROGRESS, SHAPE, Kept, Window, progress, shape, windows_text
from etl_snowflake.names import Names
from etl_snowflake.sql import Statement

__all__ = [
    "PIPELINES",
    "REJECTED",
    "STREAMS",
    "TABLES",
    "Statement",
    "adding",
    "advancing",
    "answering",
    "claiming",
    "create_control",
    "create_schema",
    "forgetting",
    "holding",
    "loading",
    "merging",
    "progressing",
    "readying",
    "refused",
    "refusing",
    "requiring",
    "reshaping",
    "schema_there",
    "sharing",
    "streaming",
    "superseding",
    "table_there",
    "tables_there",
]


PIPELINES, STREAMS, REJECTED = "ETL_PIPELINES", "ETL_STREAMS", "ETL_REJECTED"
TABLES = {
    PIPELINES: "PIPELINE VARCHAR NOT NULL, FENCE VARCHAR NOT NULL, OPENED_AT TIMESTAMP_LTZ NOT NULL",
    STREAMS: "PIPELINE VARCHAR NOT NULL, STREAM VARCHAR NOT NULL, TARGET_SCHEMA VARCHAR NOT NULL,"
    " TARGET_TABLE VARCHAR NOT NULL, LANDING VARCHAR NOT NULL, KEY VARCHAR, MARK VARCHAR(40),"
    " MERGED VARCHAR(40), READY VARCHAR(40), SCHEMA_SEQ VARCHAR(40), GENERATION NUMBER(19,0),"
    " STAGING VARCHAR, WINDOWS VARCHAR, ERRORS NUMBER(19,0), STREAMED NUMBER(19,0), ENDED VARCHAR,"
    " COLUMNS VARCHAR",
    REJECTED: "PIPELINE VARCHAR NOT NULL, ID VARCHAR NOT NULL, STREAM VARCHAR NOT NULL,"
    " CODE VARCHAR NOT NULL, CONTENT VARCHAR NOT NULL",
}
_OF_STREAM = " WHERE PIPELINE = ? AND STREAM = ?"


def schema_there(names: Names, schema: str) -> Statement:
    """Say whether a schema is there."""
    view = names.table("INFORMATION_SCHEMA", "SCHEMATA")
    return f"SELECT SCHEMA_NAME FROM {view} WHERE SCHEMA_NAME = ?", (schema,)


def tables_there(names: Names) -> Statement:
    """Name the tables of the landing schema."""
    view = names.table("INFORMATION_SCHEMA", "TABLES")
    return f"SELECT TABLE_NAME FROM {view} WHERE TABLE_SCHEMA = ?", (names.landing_schema,)


def table_there(names: Names, name: str) -> Statement:
    """Say whether a table of the landing schema is there."""
    sql, binds = tables_there(names)
    return f"{sql} AND TABLE_NAME = ?", (*binds, name)


def create_schema(names: Names, schema: str) -> str:
    """Create a schema."""
    return f"CREATE SCHEMA IF NOT EXISTS {names.schema(schema)}"


def create_control(names: Names, name: str) -> str:
    """Create one of the control tables."""
    return f"CREATE TABLE IF NOT EXISTS {names.ours(name)} ({TABLES[name]})"


def claiming(names: Names, pipeline: str, fence: str) -> Statement:
    """Put the fence in its place."""
    sql = (
        f"MERGE INTO {names.ours(PIPELINES)} AS t USING (SELECT ? AS PIPELINE, ? AS FENCE) AS s"
        " ON t.PIPELINE = s.PIPELINE"
        " WHEN MATCHED THEN UPDATE SET FENCE = s.FENCE, OPENED_AT = CURRENT_TIMESTAMP()"
        " WHEN NOT MATCHED THEN INSERT (PIPELINE, FENCE, OPENED_AT)"
        " VALUES (s.PIPELINE, s.FENCE, CURRENT_TIMESTAMP())"
    )
    return sql, (pipeline, fence)


def requiring(names: Names, pipeline: str, fence: str) -> Statement:
    """Touch the fence, if it is ours."""
    sql = f"UPDATE {names.ours(PIPELINES)} SET FENCE = FENCE WHERE PIPELINE = ? AND FENCE = ?"
    return sql, (pipeline, fence)


def loading(names: Names, pipeline: str) -> Statement:
    """Read the streams of a pipeline."""
    wanted = ", ".join(("STREAM", *IDENTITY, *SHAPE, *PROGRESS))
    return f"SELECT {wanted} FROM {names.ours(STREAMS)} WHERE PIPELINE = ?", (pipeline,)


def sharing(names: Names, pipeline: str, schema: str, table: str) -> Statement:
    """Name the other pipelines that load a table."""
    where = "TARGET_SCHEMA = ? AND TARGET_TABLE = ? AND PIPELINE <> ?"
    return f"SELECT PIPELINE FROM {names.ours(STREAMS)} WHERE {where}", (schema, table, pipeline)


def adding(names: Names, pipeline: str, kept: Kept) -> Statement:
    """Put a stream's row."""
    columns = ("PIPELINE", "STREAM", *IDENTITY, *SHAPE, *PROGRESS)
    values = (
        pipeline,
        str(kept.stream),
        kept.schema,
        kept.table,
        kept.landing,
        *shape(kept),
        *progress(kept),
    )
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {names.ours(STREAMS)} ({', '.join(columns)}) VALUES ({marks})", values


def reshaping(names: Names, pipeline: str, kept: Kept) -> Statement:
    """Put a stream's key, columns and schema seq."""
    return _updating(names, pipeline, kept.stream, SHAPE, shape(kept))


def progressing(names: Names, pipeline: str, kept: Kept) -> Statement:
    """Put how far a stream is, whatever was there."""
    return _updating(names, pipeline, kept.stream, PROGRESS, progress(kept))


def _updating(
    names: Names, pipeline: str, stream: Stream, columns: Sequence[str], values: tuple[Any, ...]
) -> Statement:
    changes = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE {names.ours(STREAMS)} SET {changes}{_OF_STREAM}", (*values, pipeline, str(stream))


def advancing(names: Names, pipeline: str, stream: Stream, mark: str, windows: Sequence[Window]) -> Statement:
    """Raise the mark: never lower it."""
    sql = f"UPDATE {names.ours(STREAMS)} SET MARK = GREATEST(COALESCE(MARK, ''), ?), WINDOWS = ?{_OF_STREAM}"
    return sql, (mark, windows_text(windows), pipeline, str(stream))


def merging(names: Names, pipeline: str, stream: Stream, upto: str, windows: Sequence[Window]) -> Statement:
    """Raise MERGED, unless it is there already."""
    sql = (
        f"UPDATE {names.ours(STREAMS)} SET MERGED = ?, READY = GREATEST(COALESCE(READY, ''), ?),"
        f" WINDOWS = ?{_OF_STREAM} AND COALESCE(MERGED, '') < ?"
    )
    return sql, (upto, upto, windows_text(windows), pipeline, str(stream), upto)


def readying(names: Names, pipeline: str, stream: Stream, upto: str) -> Statement:
    """Raise READY."""
    sql = f"UPDATE {names.ours(STREAMS)} SET READY = GREATEST(COALESCE(READY, ''), ?){_OF_STREAM}"
    return sql, (upto, pipeline, str(stream))


def holding(names: Names, pipeline: str, stream: Stream) -> Statement:
    """Lower READY to what is merged."""
    return f"UPDATE {names.ours(STREAMS)} SET READY = MERGED{_OF_STREAM}", (pipeline, str(stream))


def answering(names: Names, pipeline: str, stream: Stream, errors: int) -> Statement:
    """Raise ERRORS."""
    sql = f"UPDATE {names.ours(STREAMS)} SET ERRORS = GREATEST(COALESCE(ERRORS, 0), ?){_OF_STREAM}"
    return sql, (errors, pipeline, str(stream))


def streaming(names: Names, pipeline: str, stream: Stream, generation: int) -> Statement:
    """Say that the channel of a generation is opened."""
    sql = f"UPDATE {names.ours(STREAMS)} SET STREAMED = ?{_OF_STREAM}"
    return sql, (generation, pipeline, str(stream))


def refusing(names: Names, row: tuple[str, ...]) -> Statement:
    """Put rows that were refused."""
    sql = f"INSERT INTO {names.ours(REJECTED)} (PIPELINE, ID, STREAM, CODE, CONTENT) VALUES (?, ?, ?, ?, ?)"
    return sql, row


def refused(names: Names, pipeline: str) -> Statement:
    """Read the refused rows of a pipeline."""
    return f"SELECT ID, STREAM, CODE, CONTENT FROM {names.ours(REJECTED)} WHERE PIPELINE = ?", (pipeline,)


def superseding(names: Names, pipeline: str, stream: Stream) -> Statement:
    """Remove the refused rows of a stream."""
    return f"DELETE FROM {names.ours(REJECTED)}{_OF_STREAM}", (pipeline, str(stream))


def forgetting(names: Names, pipeline: str, ids: Sequence[str]) -> Statement:
    """Remove refused rows."""
    marks = ", ".join("?" for _ in ids)
    return f"DELETE FROM {names.ours(REJECTED)} WHERE PIPELINE = ? AND ID IN ({marks})", (pipeline, *ids)
