"""What an observer may be shown: facts of every event, batches of every kind, records of any format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import pyarrow as pa
from attrs import evolve

from etl_core.events import Event
from etl_core.model import Batch, Kind, Stream, pack_seq
from etl_core.testing.stories import altered, truncated, wandering

__all__ = ["FACTS", "batches", "event", "newer", "payloads", "usual", "usual_batches"]

_LAG = {"bytes": 4096, "seconds": 0.5, "retained_bytes": 1 << 20, "remaining_bytes": 1 << 30}
_THROUGHPUT = {
    "rows_read": 10,
    "rows_written": 9,
    "rows_read_per_second": 5.0,
    "rows_written_per_second": 4.5,
    "phase": "snapshot",
    "snapshot_rows": 10,
    "snapshot_estimate": None,
}
_REJECTED = {"stream": "public.orders", "rows": 2, "code": "bad_amount", "stage": "transform:tidy"}

#: Facts of every event of `etl_core.events.EVENTS`: the usual ones, then those that are rarer.
FACTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "run_started": [{"once": True}, {"once": False}],
    "batch_read": [
        {"stream": "public.orders", "rows": 10, "bytes": 800, "snapshot_rows": None},
        {"stream": '"a.b"."with ""quotes"" and \u00fcmlaut"', "rows": 0, "bytes": 0, "snapshot_rows": 10**12},
    ],
    "batch_written": [
        {"stream": "public.orders", "rows": 10, "bytes": 800, "mode": mode}
        for mode in ("append", "merge", "replace")
    ],
    "snapshot_started": [
        {"stream": "public.orders", "estimate": 1000},
        {"stream": "public.orders", "estimate": None, "reason": "rewritten"},
    ],
    "snapshot_finished": [{"stream": "public.orders"}],
    "schema_changed": [
        {"stream": "public.orders", "changes": ["AddColumn('a')"]},
        {"stream": "x", "changes": []},
    ],
    "column_discarded": [{"stream": "public.orders", "column": "note"}],
    "truncated": [{"stream": "public.orders"}],
    "rows_rejected": [_REJECTED, {**_REJECTED, "stage": "destination"}],
    "committed": [{"epoch": 1700000000, "n": 1}, {"epoch": 2**32 - 1, "n": 10**15}],
    "retrying": [
        {"error": "RetryableError", "message": "the source is away", "attempt": 1, "wait_seconds": 0.1},
        {"error": "RetryableError", "message": "", "attempt": 10**6, "wait_seconds": 0.0},
    ],
    "epoch_raised": [{"epoch": 1700000000, "reason": "a new snapshot"}],
    "throughput": [
        {"seconds": 2.0, "streams": {"public.orders": _THROUGHPUT}},
        {"seconds": 10.0, "streams": {}},
        {"seconds": 0.0, "streams": {"x": {**_THROUGHPUT, "phase": "changes", "snapshot_rows": None}}},
    ],
    "lag": [
        {**_LAG, "status": "reserved"},
        {**dict.fromkeys(_LAG), "status": None},
        {**dict.fromkeys(_LAG), "status": None, "error": "RetryableError"},
    ],
    "metric": [
        {"metric": "source.bytes", "value": 1, "kind": "count", "labels": {}},
        {"metric": "pool.size", "value": 1.5, "kind": "gauge", "labels": {"pool": "a", "zone": "\u00fc"}},
    ],
    "observer_overrun": [{"observer": "other", "left_out": 1}],
    "run_finished": [
        {"status": "ok", "error": None, "rows_read": 10, "rows_written": 9, "seconds": 1.5},
        {"status": "failed", "error": "FatalError", "rows_read": 0, "rows_written": 0, "seconds": 0.0},
        {"status": "cancelled", "error": None, "rows_read": 1, "rows_written": 0, "seconds": 0.1},
    ],
}


def event(name: str, facts: Mapping[str, Any], at: float = 1_700_000_000.25) -> Event:
    """Return an event of a pipeline, with facts of its own."""
    return Event(name, "conformance", at, deepcopy(dict(facts)))


def usual() -> Iterator[Event]:
    """Yield each event once, with its usual facts."""
    for name, facts in FACTS.items():
        yield event(name, facts[0])


def newer() -> Iterator[Event]:
    """Yield events as a newer core has them: unknown ones, and known ones with more facts."""
    yield event("something_new", {})
    yield event("something_else", {"stream": "public.orders", "nested": {"list": [1, None, {"a": "b"}]}})
    for name, facts in FACTS.items():
        yield event(name, {**facts[0], "something_more": {"of": ["a", "newer", "core"]}})


def usual_batches() -> Iterator[Batch]:
    """Yield a snapshot and changes."""
    yield from wandering(Stream("public", "orders"), 3).batches(1)


def batches() -> Iterator[tuple[str, Batch]]:
    """Yield batches by what is special about them."""
    stream = Stream("public", "orders")
    for script in (wandering(stream, 1), truncated(stream), altered(stream)):
        for batch in script.batches(1):
            yield batch.kind.value, evolve(batch, position={"n": 1})
            if isinstance(batch.rows, pa.RecordBatch):
                yield "rows without any", evolve(batch, rows=batch.rows.slice(0, 0))
                yield "a slice", evolve(batch, rows=batch.rows.slice(1))
    gathered = [batch.rows for batch in wandering(stream, 2).batches(1) if batch.kind is Kind.ROWS]
    yield "a table of several chunks", Batch(Kind.ROWS, stream, pa.Table.from_batches(gathered))
    yield (
        "rows without reserved columns",
        Batch.of(stream, pa.record_batch({"id": [1, None], "n": ["a", None]})),
    )
    yield "no columns", Batch.of(stream, pa.RecordBatch.from_arrays([], names=[]))
    yield (
        "many columns",
        Batch.of(stream, pa.record_batch({f"c{n}": pa.array([n, None]) for n in range(500)})),
    )
    yield "nested and unusual types", Batch.of(stream, _unusual())
    yield "a position without rows", Batch.progress({"lsn": "0/0"})
    yield "a marker without facts", Batch(Kind.TRUNCATE, Stream("", "odd name."), seq=pack_seq(1, 2, 3))


def _unusual() -> pa.RecordBatch:
    return pa.record_batch(
        {
            "list": pa.array([[1, None], None], pa.list_(pa.int64())),
            "struct": pa.array(
                [{"a": 1, "b": None}, None], pa.struct([("a", pa.int64()), ("b", pa.string())])
            ),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
            "words": pa.array(["x", None]).dictionary_encode(),
            "bytes": pa.array([b"\x00\xff", None]),
            "large": pa.array(["x" * 5000, None], pa.large_string()),
            "at": pa.array([2**62, None], pa.timestamp("ns", "UTC")),
            "nothing": pa.nulls(2),
            "\u00fcmlaut and spaces": pa.array([float("nan"), float("inf")]),
        }
    )


def payloads() -> Iterator[tuple[Stream, str, Any, Sequence[Any]]]:
    """Yield encoded records: of known and unknown formats, none, and in every sort of buffer."""
    stream = Stream("public", "orders")
    yield stream, "json", None, [b'{"id": 1}']
    for form in ("json", "protobuf", "arrow-ipc", "a format of tomorrow"):
        buffers = [b'{"id": 1}', bytearray(b"\x00\x01"), memoryview(b"abc"), pa.py_buffer(b"def")]
        yield stream, form, None, buffers
        yield stream, form, pa.schema([("id", pa.int64())]), []
        yield Stream("", "odd name."), form, {"fields": ["id"]}, [b""]
