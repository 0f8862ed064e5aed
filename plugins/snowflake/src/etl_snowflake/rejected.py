"""Refused rows as text, in the control table of those that are to be told."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence

import pyarrow as pa

from etl_core import RESERVED, Rejected, Stream
from etl_snowflake import control_sql
from etl_snowflake.client import Session
from etl_snowflake.names import Names

__all__ = ["forget", "keep", "kept"]

#: Characters that a VARCHAR of every account takes.
_MOST = 15 << 20
#: Entries that are removed with one statement.
_MANY = 1000


def keep(session: Session, names: Names, pipeline: str, rejected: Sequence[Rejected]) -> None:
    """Put rows that are to be told into the open transaction."""
    for each in rejected:
        for content in _packed(each.rows):
            row = (pipeline, uuid.uuid4().hex, str(each.stream), each.code, content)
            session.execute(*control_sql.refusing(names, row))


def _packed(rows: pa.Table) -> Iterator[str]:
    """Write rows as text; of a row that is too long the longest columns are left out."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows)
    text = base64.b64encode(sink.getvalue()).decode()
    if len(text) <= _MOST:
        yield text
    elif rows.num_rows > 1:
        half = rows.num_rows // 2
        yield from _packed(rows.slice(0, half))
        yield from _packed(rows.slice(half))
    else:
        names = [name for name in rows.column_names if name not in RESERVED]
        yield from _packed(rows.drop_columns([max(names, key=lambda name: rows.column(name).nbytes)]))


def _unpacked(stream: str, code: str, content: str) -> Rejected:
    with pa.ipc.open_stream(pa.py_buffer(base64.b64decode(content))) as reader:
        return Rejected(Stream.parse(stream), reader.read_all(), code)


def kept(session: Session, names: Names, pipeline: str) -> Iterator[tuple[str, Rejected]]:
    """Give what is kept of a pipeline, each with its number."""
    for number, stream, code, content in session.execute(*control_sql.refused(names, pipeline)):
        yield number, _unpacked(stream, code, content)


def forget(session: Session, names: Names, pipeline: str, ids: Sequence[str]) -> None:
    """Remove what was told."""
    for start in range(0, len(ids), _MANY):
        session.execute(*control_sql.forgetting(names, pipeline, ids[start : start + _MANY]))
