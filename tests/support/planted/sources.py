"""A right source over a file of transactions, and wrong ones that differ from it in one thing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
from support.planted.source_settings import LedgerSettings

from etl_core import (
    OP,
    SEQ,
    AuthError,
    Batch,
    Context,
    FatalError,
    Kind,
    PositionLostError,
    RetryableError,
    Source,
    Stream,
    StreamInfo,
    pack_seq,
)

STREAM = Stream("", "ledger")
SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string())])
PASSWORD = "correct horse"

Transaction = list[list[Any]]

#: Set by tests when they have seen what was left behind.
released = threading.Event()
kept: list[Any] = []


def _write(slot: Path, number: int) -> None:
    """Write a slot at once: whoever is killed leaves the old number or the new."""
    fresh = slot.with_suffix(".new")
    fresh.write_text(str(number))
    fresh.replace(slot)


class Ledger(Source):
    """Tells the transactions of a file, one change per batch; a position is how many it has told.

    What it makes in its system is a slot: a file that says how many need not be told again.
    """

    def __init__(self, config: LedgerSettings) -> None:
        self.config = config
        self.lock = threading.Lock()
        self.slot: Path | None = None

    def check(self, ctx: Context) -> None:
        if self.config.password.reveal() != PASSWORD:
            raise AuthError("the password is wrong")

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        return [StreamInfo(STREAM, SCHEMA, ("id",), stable_seq=True)]

    def latest(self, ctx: Context) -> Any:
        return len(self.transactions()) if self.config.endless else None

    def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
        rows = [change[1:] for transaction in self.transactions() for change in transaction][:n]
        return pa.table([[row[0] for row in rows], [row[1] for row in rows]], schema=SCHEMA)

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        told = self.begin(ctx, resume)
        while not ctx.cancel.is_set():
            for number, changes in enumerate(self.transactions()[told:], told):
                yield from self.batches(ctx, number, changes)
                told = number + 1
            if not self.config.endless or self.reached(told, until):
                return
            yield from self.idle(ctx, told)

    def ack(self, value: Any) -> None:
        with self.lock:
            if self.slot and self.slot.exists():
                _write(self.slot, max(value, int(self.slot.read_text())))

    def teardown(self, ctx: Context) -> Sequence[str]:
        if not self.slot_of(ctx).exists():
            return []
        self.slot_of(ctx).unlink()
        return ["the slot"]

    def transactions(self) -> list[Transaction]:
        return [json.loads(line) for line in self.config.path.read_text().splitlines()]

    def slot_of(self, ctx: Context) -> Path:
        return self.config.path.with_name(f"{ctx.pipeline}.slot")

    def begin(self, ctx: Context, resume: Any) -> int:
        self.slot = self.slot_of(ctx)
        if resume is None:
            _write(self.slot, 0)
            return 0
        if type(resume) is not int or not 0 <= resume <= len(self.transactions()):
            raise PositionLostError("the ledger has no such place")
        if not self.slot.exists() or int(self.slot.read_text()) > resume:
            raise PositionLostError("this part of the ledger is gone")
        return resume

    def reached(self, told: int, until: Any) -> bool:
        return until is not None and told >= until

    def idle(self, ctx: Context, told: int) -> Iterator[None]:
        ctx.cancel.wait(ctx.poll_interval)
        yield None

    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Batch]:
        for place, change in enumerate(changes, 1):
            last = place == len(changes)
            rows = self.rows(self.seq(ctx, number, place), *change)
            yield Batch.of(STREAM, rows, self.value(number + 1) if last else None, complete=last)

    def seq(self, ctx: Context, number: int, place: int) -> bytes | None:
        return pack_seq(ctx.epoch, number + 1, place)

    def value(self, told: int) -> Any:
        return told

    def rows(self, seq: bytes | None, op: str, id: int | None, name: str | None) -> pa.RecordBatch:
        data = [pa.array([id], pa.int64()), pa.array([name], pa.string())]
        return pa.record_batch(
            [*data, pa.array([op]), pa.array([seq], pa.binary(20))], names=[*SCHEMA.names, OP, SEQ]
        )


class Copying(Ledger):
    """Copies the table first, in parts, then follows. A copy that was not finished is begun anew."""

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        if resume is not None and not isinstance(resume, dict):
            raise PositionLostError("not a place in the ledger")
        if resume is not None and not resume.get("copied", True):
            resume = None
        told = None
        if resume is None:
            told = self.begin(ctx, None) or len(self.transactions())
            yield from self.copy(ctx, told)
        follow = told if told is not None else self.begin(ctx, resume.get("told", -1))
        yield from super().read(ctx, follow, until)

    def begin(self, ctx: Context, resume: Any) -> int:
        if resume is None and self.slot_of(ctx).exists():
            self.slot_of(ctx).unlink()
        return super().begin(ctx, resume)

    def copy(self, ctx: Context, told: int) -> Iterator[Batch]:
        def seq(place: int) -> bytes:
            return pack_seq(ctx.epoch, told, 1_000 + place)

        table: dict[int, str | None] = {}
        for op, key, name in (change for one in self.transactions()[:told] for change in one):
            table.pop(key, None)
            if op != "d":
                table[key] = name
        yield Batch(Kind.SNAPSHOT_BEGIN, STREAM, schema=SCHEMA, key=("id",), seq=seq(0))
        for place, (key, name) in enumerate(table.items(), 1):
            yield Batch.of(STREAM, self.rows(seq(place), "r", key, name), {"told": told, "copied": False})
        position = {"told": told, "copied": True}
        yield Batch(Kind.SNAPSHOT_END, STREAM, seq=seq(len(table) + 1), position=position)

    def value(self, told: int) -> Any:
        return {"told": told, "copied": True}

    def ack(self, value: Any) -> None:
        super().ack(value["told"])


class Plain(Ledger):
    """Knows no reserved columns; every run reads to the end."""

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        return [StreamInfo(STREAM, SCHEMA)]

    def rows(self, seq: bytes | None, op: str, id: int | None, name: str | None) -> pa.RecordBatch:
        return pa.record_batch([[id], [name]], schema=SCHEMA)


class Whole(Plain):
    """Has no positions."""

    def value(self, told: int) -> Any:
        return None


class ResumesTooFar(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        told = super().begin(ctx, resume)
        return min(told + 1, len(self.transactions())) if resume else told


class ResumesTooEarly(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        return max(0, super().begin(ctx, resume) - 1)


class GoesOnFromMemory(Ledger):
    """Looks at `resume` once. Then it knows how much it has told, which may be more than became durable."""

    told: int | None = None

    def begin(self, ctx: Context, resume: Any) -> int:
        asked = super().begin(ctx, resume)
        self.told = asked if self.told is None else self.told
        return self.told

    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Batch]:
        for batch in super().batches(ctx, number, changes):
            self.told = number if batch.position is None else number + 1
            yield batch


class ResumesFromItself(Ledger):
    told = 0

    def begin(self, ctx: Context, resume: Any) -> int:
        return max(super().begin(ctx, resume), self.told)

    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Batch]:
        self.told = number + 1
        return super().batches(ctx, number, changes)


class AcksWhatItReads(Ledger):
    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Batch]:
        yield from super().batches(ctx, number, changes)
        self.ack(number + 1)


class Reorders(Ledger):
    """Its own numbers hide that it begins with what is left of the file's end."""

    def transactions(self) -> list[Transaction]:
        return [one[::-1] for one in super().transactions()] if self.resumed else super().transactions()

    resumed = False

    def begin(self, ctx: Context, resume: Any) -> int:
        self.resumed = bool(resume)
        return super().begin(ctx, resume)


class GoesOnAfterCancel(Ledger):
    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        yield from super().read(ctx, resume, until)
        while until is None:
            time.sleep(ctx.poll_interval)
            yield None


class SwallowsCancel(Ledger):
    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        try:
            yield from super().read(ctx, resume, until)
        except BaseException:
            if not ctx.cancel.is_set():
                raise
            yield None


class NeverIdles(Ledger):
    def idle(self, ctx: Context, told: int) -> Iterator[None]:
        while not ctx.cancel.is_set() and len(self.transactions()) == told:
            ctx.cancel.wait(ctx.poll_interval)
        yield from ()


class LooksOnce(Ledger):
    """Once there is nothing, it never looks again."""

    def idle(self, ctx: Context, told: int) -> Iterator[None]:
        while not ctx.cancel.is_set():
            yield from super().idle(ctx, told)


class LeavesThreads(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        threading.Thread(target=released.wait, name="forgotten", daemon=True).start()
        return super().begin(ctx, resume)


class LeavesFiles(Ledger):
    """Closes its file at the end of a read only."""

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        file = self.config.path.open()
        kept.append(file)
        yield from super().read(ctx, resume, until)
        file.close()


class LogsItsPassword(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        ctx.logger.info("opened with {key}", key=self.config.password.reveal())
        return super().begin(ctx, resume)


class TellsThePassword(Ledger):
    def check(self, ctx: Context) -> None:
        if self.config.password.reveal() != PASSWORD:
            raise AuthError("the password is wrong", found=self.config.password.reveal())


class WrongReservedType(Ledger):
    def rows(self, *row: Any) -> pa.RecordBatch:
        rows = super().rows(*row)
        ops = rows.column(OP).cast(pa.large_string())
        return rows.set_column(rows.schema.get_field_index(OP), OP, ops)


class RepeatsItsSequence(Ledger):
    def seq(self, ctx: Context, number: int, place: int) -> bytes | None:
        return super().seq(ctx, number, 1)


class SequencesFall(Ledger):
    def seq(self, ctx: Context, number: int, place: int) -> bytes | None:
        return super().seq(ctx, 1_000 - number, place)


class SequencesByTime(Ledger):
    def seq(self, ctx: Context, number: int, place: int) -> bytes | None:
        return super().seq(ctx, time.time_ns(), place)


class NoSequences(Ledger):
    def seq(self, ctx: Context, number: int, place: int) -> bytes | None:
        return None


class KeyIsElsewhere(Ledger):
    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        return [attrs.evolve(info, key=("id", "number")) for info in super().streams(ctx)]


class DeletesWithoutKey(Ledger):
    def rows(self, seq: bytes | None, op: str, id: int | None, name: str | None) -> pa.RecordBatch:
        return super().rows(seq, op, None if op == "d" else id, name)


class AckWaits(Ledger):
    """Holds its lock as long as it reads."""

    def __init__(self, config: LedgerSettings) -> None:
        super().__init__(config)
        self.reading = threading.Lock()

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        with self.reading:
            yield from super().read(ctx, resume, until)

    def ack(self, value: Any) -> None:
        with self.reading:
            super().ack(value)


class PassesUntil(Ledger):
    def reached(self, told: int, until: Any) -> bool:
        return told == until


class EndsTooEarly(Ledger):
    """Takes the last transaction for one that is still being written, though nobody writes."""

    limit: int | None = None

    def latest(self, ctx: Context) -> Any:
        return len(self.transactions()) - 1

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        self.limit = until
        yield from super().read(ctx, resume, until)

    def transactions(self) -> list[Transaction]:
        return super().transactions()[: self.limit]


class PositionIsATuple(Ledger):
    def value(self, told: int) -> Any:
        return (told,)

    def begin(self, ctx: Context, resume: Any) -> int:
        own = isinstance(resume, list) and len(resume) == 1
        return super().begin(ctx, resume[0] if own else resume)

    def ack(self, value: Any) -> None:
        super().ack(value[0])


class PositionIsBytes(Ledger):
    def value(self, told: int) -> Any:
        return told.to_bytes(8, "big")

    def ack(self, value: Any) -> None:
        super().ack(int.from_bytes(value, "big"))


class TriesForeignAgain(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        try:
            return super().begin(ctx, resume)
        except PositionLostError:
            raise RetryableError("perhaps it comes back") from None


class YieldsItsRows(Ledger):
    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Any]:
        for batch in super().batches(ctx, number, changes):
            yield batch.rows


class YieldsEmptyBatches(Ledger):
    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Batch]:
        for batch in super().batches(ctx, number, changes):
            yield attrs.evolve(batch, rows=None)


class NamesNoStream(Ledger):
    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Batch]:
        for batch in super().batches(ctx, number, changes):
            yield attrs.evolve(batch, stream=None)


class StartsOverInSilence(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        return super().begin(ctx, resume if isinstance(resume, int) else None)


class SkipsWhatIsToCome(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        far = isinstance(resume, int) and resume > len(self.transactions())
        return super().begin(ctx, len(self.transactions()) if far else resume)


class FailsWithoutAWord(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        return super().begin(ctx, None if resume is None else resume + 0)


class StartsOverAfterTeardown(Ledger):
    def begin(self, ctx: Context, resume: Any) -> int:
        gone = type(resume) is int and not self.slot_of(ctx).exists()
        return super().begin(ctx, None if gone else resume)


class TearsDownOnce(Ledger):
    def teardown(self, ctx: Context) -> Sequence[str]:
        if not self.slot_of(ctx).exists():
            raise FatalError("there is no slot")
        return super().teardown(ctx)


class SamplesEverything(Ledger):
    def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
        return super().sample(ctx, stream, 1_000)


class SampleMovesTheSlot(Ledger):
    def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
        self.slot_of(ctx).write_text("1")
        return super().sample(ctx, stream, n)
