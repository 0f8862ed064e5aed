"""The comparisons: encoding alone, and whole loads into the emulator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.speed.asking import Group, alternated
from benchmarks.speed.results import Conditions, Result, Row
from benchmarks.warehouse.bench import Bench

__all__ = ["GROUPS"]

#: A fifth of the control's CPU, for encoding alone: the rest of a load is the same for both.
_BAR = 0.2
_MEMORY = Conditions(transport="none: memory", tls="-", fsync="-")
_SERVED = Conditions(tls="yes", fsync="-", durability="committed by the emulator")
_ENCODER = "to_pylist, and the dicts encoded by msgspec, as the vendor's client does it"
_DICTS = "to_pylist, and the dicts to append_rows of the vendor's client"


def _encoding(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    arms = {row.name: bench.encode(row.name) for row in rows}
    control = bench.encode("encode-dicts")
    return alternated(rows, control, arms, bench.encoded, bench.pairs, bench.note)


def _loads(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    arms = {row.name: bench.load(row.name.removeprefix("load-")) for row in rows}
    control = bench.load("sdk-dicts")
    return alternated(rows, control, arms, bench.loaded, bench.pairs, bench.note)


def _encode(name: str, work: str) -> Row:
    return Row(name, work, _ENCODER, _BAR, _MEMORY, by="cpu")


def _load(name: str, work: str) -> Row:
    return Row(f"load-{name}", work, _DICTS, None, _SERVED, by="cpu")


GROUPS: list[Group[Bench]] = [
    Group(
        _encoding,
        _encode("encode-columns", "Arrow to NDJSON, as the REST protocol is handed it"),
        _encode("encode-columns-sdk", "Arrow to NDJSON through append_rows' own encoder, a Raw for each row"),
    ),
    Group(
        _loads,
        _load("sdk", "streaming: sdk; all rows committed"),
        _load("rest", "streaming: rest; all rows committed"),
        _load("rest-dicts", "the same protocol, with to_pylist and msgspec in place of our encoder"),
        _load("bulk", "Parquet, PUT and COPY"),
    ),
]
