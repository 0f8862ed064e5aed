"""What flows through a pipeline: streams, batches, positions, writes.

Plain values, without I/O. Arrow objects are carried, never looked into: importing this module does not
import pyarrow. `etl_core.schema` holds what needs it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from etl_core.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "COMMIT_TS",
    "DELETED",
    "OLD_KEY",
    "OP",
    "RESERVED",
    "SEQ",
    "UNCHANGED",
    "AddColumn",
    "Batch",
    "Change",
    "Delivery",
    "DropColumn",
    "Kind",
    "Lag",
    "Mode",
    "Position",
    "Rejected",
    "RenameColumn",
    "Step",
    "Stream",
    "StreamInfo",
    "TableSchema",
    "Transformed",
    "WidenColumn",
    "Write",
    "pack_seq",
    "unpack_seq",
]

OP = "_etl_op"
SEQ = "_etl_seq"
COMMIT_TS = "_etl_commit_ts"
UNCHANGED = "_etl_unchanged"
OLD_KEY = "_etl_old_key"
DELETED = "_etl_deleted"
RESERVED = (OP, SEQ, COMMIT_TS, UNCHANGED, OLD_KEY)

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@frozen(order=True)
class Stream:
    """A table or topic: `(namespace, name)`. Its text form quotes like PostgreSQL."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{_quote(self.namespace)}.{_quote(self.name)}" if self.namespace else _quote(self.name)

    @classmethod
    def parse(cls, text: str) -> Stream:
        """Read the text form: ``public.orders``, ``"a.b".c``, or a bare ``orders``.

        Raises ConfigError when the text is not one or two identifiers.
        """
        parts: list[str] = []
        rest = text
        while match := _PART.match(rest):
            parts.append(match[1].replace('""', '"') if match[1] is not None else match[2])
            rest = rest[match.end() :]
            if not rest.startswith("."):
                break
            rest = rest[1:]
        if rest or not 1 <= len(parts) <= 2 or text.endswith("."):
            raise ConfigError(
                "not a stream name",
                'write namespace.name, and quote parts that hold dots: "a.b".c',
                found=text,
            )
        return cls(parts[0], parts[1]) if len(parts) == 2 else cls("", parts[0])


def _quote(part: str) -> str:
    return part if _PLAIN.match(part) else '"' + part.replace('"', '""') + '"'


class Kind(enum.Enum):
    """What a batch is: rows, or one of the markers."""

    ROWS = "rows"
    SCHEMA = "schema"
    SNAPSHOT_BEGIN = "snapshot_begin"
    SNAPSHOT_END = "snapshot_end"
    TRUNCATE = "truncate"
    PROGRESS = "progress"


class Mode(enum.Enum):
    """What a write does to its table."""

    APPEND = "append"
    MERGE = "merge"
    TRUNCATE = "truncate"
    REPLACE = "replace"


class Step(enum.Enum):
    """The part of a staged snapshot a write is; its rows become visible together at END."""

    BEGIN = "begin"
    ROWS = "rows"
    END = "end"


class Delivery(enum.Enum):
    """What a destination promises for a mode."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def pack_seq(epoch: int, lsn: int, ordinal: int) -> bytes:
    """Pack a change's 20-byte sequence: epoch u32, LSN u64, ordinal u64, big-endian.

    Byte order is order. Raises OverflowError when a part does not fit.
    """
    return epoch.to_bytes(4, "big") + lsn.to_bytes(8, "big") + ordinal.to_bytes(8, "big")


def unpack_seq(seq: bytes) -> tuple[int, int, int]:
    """Return `(epoch, lsn, ordinal)` of a packed sequence."""
    return (
        int.from_bytes(seq[:4], "big"),
        int.from_bytes(seq[4:12], "big"),
        int.from_bytes(seq[12:20], "big"),
    )


@frozen
class AddColumn:
    """A column was added. `default` is the value that stored rows have in it (a Python value or None)."""

    name: str
    type: pa.DataType
    default: Any = None
    rewrites: bool = False


@frozen
class RenameColumn:
    """A column got another name; its values stay."""

    old: str
    new: str
    rewrites: bool = False


@frozen
class WidenColumn:
    """A column's type changed to `type`; unless `rewrites`, every stored value keeps its meaning.

    With `nulls` the column takes nulls from here on; then `type` may be the one it has.
    """

    name: str
    type: pa.DataType
    rewrites: bool = False
    nulls: bool = False


@frozen
class DropColumn:
    """A column was dropped."""

    name: str
    rewrites: bool = False


#: One schema change. `rewrites` says that stored values changed without being sent.
Change = AddColumn | RenameColumn | WidenColumn | DropColumn


@frozen
class StreamInfo:
    """What a source says about one of its streams.

    `key` names the columns that identify a row (empty: none). `stable_seq` says that reading the same
    change again gives the same `_etl_seq`. `estimate` is about how many rows a snapshot of it has, for
    people to see how far one is; None: not known.
    """

    stream: Stream
    schema: pa.Schema
    key: tuple[str, ...] = field(default=(), converter=_names)
    stable_seq: bool = False
    estimate: int | None = None


@frozen
class Batch:
    """What a source yields: rows of one stream, or a marker.

    `rows` (kind ROWS) is a RecordBatch of one schema, with or without the reserved columns. Loaders are
    handed rows gathered from several such batches, as a chunked Table with all reserved columns.
    `schema`, `key` and `changes` belong to SCHEMA and SNAPSHOT_BEGIN: the stream's columns from here on
    (without reserved columns) and how they differ from before. `estimate`, of a SNAPSHOT_BEGIN, is about how
    many rows follow, where that is known better than `StreamInfo` said.
    `position` is a JSON value the source can resume from: it covers every row of every stream yielded
    before and in this batch, except for SCHEMA, where it lies just before the change.
    `complete` says that no source transaction is open at `position`.
    `seq` is set on every marker but PROGRESS by sources that have sequences.
    """

    kind: Kind
    stream: Stream | None = None
    rows: pa.RecordBatch | pa.Table | None = None
    schema: pa.Schema | None = None
    key: tuple[str, ...] | None = None
    changes: tuple[Change, ...] = ()
    seq: bytes | None = None
    position: Any = None
    complete: bool = True
    estimate: int | None = None

    @classmethod
    def of(cls, stream: Stream, rows: pa.RecordBatch, position: Any = None, complete: bool = True) -> Batch:
        """Make a batch of rows."""
        return cls(Kind.ROWS, stream, rows, position=position, complete=complete)

    @classmethod
    def progress(cls, position: Any) -> Batch:
        """Make a position without rows: idle acknowledgement or heartbeat, no transaction open."""
        return cls(Kind.PROGRESS, position=position)


@frozen
class Position:
    """Where a source can resume, ordered by the engine through `(epoch, n)` alone.

    `snapshots` names the streams whose snapshot is open here: rows of it that come after a resume belong
    to the run that was begun before.
    """

    epoch: int
    n: int
    value: Any
    complete: bool = True
    snapshots: tuple[Stream, ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        return (self.epoch, self.n)

    def to_json(self) -> dict[str, Any]:
        data = {"epoch": self.epoch, "n": self.n, "value": self.value, "complete": self.complete}
        if self.snapshots:
            data["snapshots"] = [str(stream) for stream in self.snapshots]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Position:
        snapshots = tuple(Stream.parse(text) for text in data.get("snapshots", ()))
        return cls(int(data["epoch"]), int(data["n"]), data["value"], bool(data["complete"]), snapshots)


@frozen
class Lag:
    """How far a system is ahead of a position of its source; None where the source cannot say.

    `bytes` of the system's log come after the position. It is `seconds` since the position last covered
    all that was committed; 0 when nothing comes after it. The system keeps `retained_bytes` of its log for
    this pipeline, and `remaining_bytes` more before it gives up; `status` is its own word for that.
    """

    bytes: int | None = None
    seconds: float | None = None
    retained_bytes: int | None = None
    remaining_bytes: int | None = None
    status: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@frozen
class TableSchema:
    """A table as a loader wants it, or as a destination has it.

    `columns` are the source's, `control` are ours (reserved columns of a history, `_etl_deleted`),
    `key` identifies rows under MERGE. `seq` is that of the last schema change it includes, if known.
    """

    stream: Stream
    columns: pa.Schema
    key: tuple[str, ...] = field(default=(), converter=_names)
    control: pa.Schema | None = None
    seq: bytes | None = None


@frozen
class Write:
    """One unit of work for a destination.

    `rows` is a chunked table with the columns of the TableSchema last ensured for the stream (control
    columns included); under MERGE also the reserved columns. TRUNCATE, BEGIN and END carry no rows.
    `seq` is the marker's, or the highest of the rows; None when the source has none.
    """

    stream: Stream
    mode: Mode
    rows: pa.Table | None = None
    step: Step | None = None
    seq: bytes | None = None


@frozen
class Rejected:
    """Rows a stage refused, as they were handed to it (reserved columns included where known)."""

    stream: Stream
    rows: pa.Table
    code: str
    column: str | None = None
    stage: str = "destination"


@frozen
class Transformed:
    """A transform's output with, for each output row, the index of the input row it came from."""

    rows: pa.RecordBatch
    origin: Sequence[int] | pa.Array
