"""Inputs for the fuzzer of csrc/fuzz/target.c to begin with: `python fuzz_seeds.py DIRECTORY` writes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from decoder_layouts import SAMPLES
from decoder_streams import stream
from wire_messages import copied_row, copy_header, encode, frame, in_progress, keepalive, notice, wal

from etl_postgres_cdc.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Logical,
    Message,
    Origin,
    Relation,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Update,
    Values,
)

__all__ = ["seeds"]

#: The columns of the target's first table, by `enum form`.
FORMS = (
    *("text", "bool", "int2", "int4", "int8", "oid", "real", "double", "decimal"),
    *("date", "time", "timestamp", "timestamptz", "uuid", "bytes", "jsonb"),
)
#: Relations whose changes the target sends to its tables of sixteen columns, of one and of none, and nowhere.
WIDE, NARROW, COLUMNLESS, NOWHERE = 4, 5, 6, 7
ROWS: list[Values] = [
    [SAMPLES[form].samples[number % len(SAMPLES[form].samples)] for form in FORMS] for number in range(7)
]
NULLS: Values = [None] * len(FORMS)
TOASTED: Values = [UNCHANGED if number % 2 else "1" for number in range(len(FORMS))]
CHANGES: list[Message] = [
    *(Insert(WIDE, row) for row in ROWS),
    Insert(WIDE, NULLS),
    Insert(WIDE, TOASTED),
    Update(WIDE, None, False, TOASTED),
    Update(WIDE, ROWS[0], True, TOASTED),
    Update(WIDE, [None, "t", "1", *NULLS[3:]], False, ROWS[1]),
    Delete(WIDE, [None, "t", "1", *NULLS[3:]], False),
    Delete(WIDE, ROWS[2], True),
    Insert(NARROW, ["x" * 40]),
    Delete(NARROW, ["é"], True),
    Insert(COLUMNLESS, []),
    Insert(NOWHERE, ["a", None]),
    Truncate((WIDE, NARROW), 1),
    Relation(WIDE, "public", "t", "d", ()),
    Origin(1, "o"),
    Logical(1, "m", b"content"),
]
SUBXID = 12
BINARY: tuple[bytes | None, ...] = (
    *(b"text", b"\1", b"\0\7", b"\0\0\0\7", bytes(8), b"\0\0\0\7", b"\x3f\x80\0\0", bytes(8)),
    *(b"\0\2\0\0\0\0\0\3\0\5\4\xd2", b"\0\0\0\7", bytes(8), bytes(8), bytes(8), bytes(16)),
    *(b"\xff\0", b"\1{}"),
)
#: Rows of copies of the target's tables.
COPIES: tuple[list[tuple[bytes | None, ...]], ...] = ([BINARY, (None,) * len(BINARY)], [(b"x",)], [()])


def whole() -> list[bytes]:
    """A transaction as payloads."""
    return [encode(message) for message in (Begin(7, 0, 1), *CHANGES, Commit(7, 8, 0))]


def blocks() -> list[bytes]:
    """One in progress: two blocks, a part that is rolled back, the commit."""
    first = [in_progress(SUBXID if number % 3 else 10, change) for number, change in enumerate(CHANGES)]
    start, stop = encode(StreamStart(10, True)), encode(StreamStop())
    end = [encode(StreamAbort(10, SUBXID)), encode(StreamCommit(10, 7, 8, 0))]
    return [start, *first, stop, encode(StreamStart(10, False)), *first[:3], stop, *end]


def framed(payloads: list[bytes]) -> bytes:
    """Put messages behind lengths, as far as those reach."""
    return b"".join(bytes([len(data)]) + data for data in payloads if len(data) < 256)


def streams() -> Iterator[tuple[str, bytes]]:
    for limits in (0, 5, 0x85):
        for piece in (0, 7):
            head = bytes([piece, 0, limits])
            yield f"whole-{limits}-{piece}", b"\1" + head + framed(whole())
            yield f"blocks-{limits}-{piece}", b"\1" + head + framed(blocks())
            wire = keepalive(5, answer=True) + notice() + b"".join(map(wal, whole() + blocks()))
            yield f"wire-{limits}-{piece}", b"\0" + head + wire
    for failing in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
        yield f"memory-{failing}", bytes([1, 0, failing, 15]) + framed(whole() + blocks())
    full = [encode(Begin(7, 0, 1)), *[encode(Insert(NARROW, ["x" * 240]))] * 12]
    yield "full", b"\1\0\0\x0f" + framed(full)  # more than offsets reach, as the target is compiled
    for number in range(5):
        yield f"made-{number}", b"\0\0\0\7" + stream(number, 6).data


def copies() -> Iterator[tuple[str, bytes]]:
    end = frame(b"c", b"") + frame(b"C", b"COPY\0") + frame(b"Z", b"I")
    for table, rows in enumerate(COPIES):
        bodies = [copy_header(), *map(copied_row, rows), copied_row(rows[0]) * 2, b"\xff\xff"]
        wire = frame(b"H", b"") + b"".join(frame(b"d", body) for body in bodies) + end
        for skip in (0, 0x40):
            yield f"copy-{table}-{skip}", bytes([3, 0, 0, table | skip]) + framed(bodies)
            yield f"copied-{table}-{skip}", bytes([2, 9, 0, table | skip]) + wire


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield names and inputs."""
    yield from streams()
    yield from copies()


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in seeds():
        (directory / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
