"""Sources with other positions than the ledger's numbers, right ones and wrong ones, and wrong epochs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from support.planted.source_settings import LedgerSettings
from support.planted.sources import SCHEMA, STREAM, Copying, Ledger, Plain, Transaction, released

from etl_core import Batch, Context, PositionLostError, Source, StreamInfo, pack_seq


class Texts(Plain):
    """Right: its positions are texts; it knows no reserved columns."""

    def value(self, told: int) -> Any:
        return f"{told:08}"

    def begin(self, ctx: Context, resume: Any) -> int:
        if resume is not None and not (isinstance(resume, str) and resume.isdigit()):
            raise PositionLostError("no place in the ledger")
        return super().begin(ctx, None if resume is None else int(resume))

    def ack(self, value: Any) -> None:
        super().ack(int(value))


class AnyTextStartsOver(Texts):
    def begin(self, ctx: Context, resume: Any) -> int:
        known = not isinstance(resume, str) or resume.isdigit()
        return super().begin(ctx, resume if known else None)


class ByPartition(Ledger):
    """Right: its positions are `{partition: offset}`, of which the empty one is the beginning."""

    def value(self, told: int) -> Any:
        return {"0": told}

    def begin(self, ctx: Context, resume: Any) -> int:
        if resume is None:
            return super().begin(ctx, None)
        if not isinstance(resume, dict) or set(resume) - {"0"}:
            raise PositionLostError("no place in the ledger")
        return super().begin(ctx, resume.get("0", 0))

    def ack(self, value: Any) -> None:
        super().ack(value.get("0", 0))


class ById(Source):
    """Right: asks a table for the rows with a higher id; those with the highest ones may be gone by then."""

    def __init__(self, config: LedgerSettings) -> None:
        self.config = config

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        return [StreamInfo(STREAM, SCHEMA, ("id",))]

    def latest(self, ctx: Context) -> Any:
        return max(self.ids())

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        if resume is not None and type(resume) is not int:
            raise PositionLostError("no id")
        last = resume or 0
        while not ctx.cancel.is_set():
            for found in [each for each in self.ids() if each > last]:
                yield Batch.of(STREAM, pa.record_batch([[found], ["row"]], schema=SCHEMA), found)
                last = found
            if until is not None and last >= until:
                return
            ctx.cancel.wait(ctx.poll_interval)
            yield None

    def ids(self) -> list[int]:
        lines = self.config.path.read_text().splitlines()
        return sorted({change[1] for line in lines for change in json.loads(line)})


class KeepsItsEpoch(Ledger):
    """Takes the epoch of its first read for that of every other."""

    epoch: int | None = None

    def seq(self, ctx: Context, number: int, place: int) -> bytes | None:
        self.epoch = self.epoch or ctx.epoch
        return pack_seq(self.epoch, number + 1, place)


class Beats(Ledger):
    """Tells while idle where it is, but reads on behind the transaction that comes next."""

    def idle(self, ctx: Context, told: int) -> Iterator[Any]:
        yield Batch.progress({"told": told})
        yield from super().idle(ctx, told)

    def begin(self, ctx: Context, resume: Any) -> int:
        beat = isinstance(resume, dict) and set(resume) == {"told"}
        return super().begin(ctx, resume["told"]) + 1 if beat else super().begin(ctx, resume)

    def ack(self, value: Any) -> None:
        super().ack(value["told"] if isinstance(value, dict) else value)


class BeatsAhead(Ledger):
    """Tells while idle where the ledger ends now, whether or not it was read that far."""

    def idle(self, ctx: Context, told: int) -> Iterator[Any]:
        ctx.cancel.wait(ctx.poll_interval)
        yield Batch.progress(len(self.transactions()))
        yield None


class AcksWhileIdle(Ledger):
    def idle(self, ctx: Context, told: int) -> Iterator[None]:
        self.ack(told)
        yield from super().idle(ctx, told)


class AckAsksFirst(Ledger):
    def ack(self, value: Any) -> None:
        time.sleep(0.6)
        super().ack(value)


class StuckInNext(Ledger):
    """Notices a cancel that comes between two changes of a transaction by waiting for ever."""

    def batches(self, ctx: Context, number: int, changes: Transaction) -> Iterator[Batch]:
        for batch in super().batches(ctx, number, changes):
            yield batch
            if ctx.cancel.is_set():
                released.wait()


class PositionHasThePassword(Ledger):
    def value(self, told: int) -> Any:
        return [told, self.config.password.reveal()]

    def begin(self, ctx: Context, resume: Any) -> int:
        own = isinstance(resume, list) and len(resume) == 2
        return super().begin(ctx, resume[0] if own else resume)

    def ack(self, value: Any) -> None:
        super().ack(value[0])


class DoneIsDone(Plain):
    """Once it has read everything it never reads anything again."""

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        if resume != "done":
            yield from super().read(ctx, resume, until)

    def value(self, told: int) -> Any:
        return "done" if told == len(self.transactions()) else told

    def ack(self, value: Any) -> None:
        return None


class CopiesAgain(Copying):
    """Copies everything in every run, wherever it was."""

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        if resume is not None and (not isinstance(resume, dict) or "told" not in resume):
            raise PositionLostError("not a place in the ledger")
        yield from self.copy(ctx, time.time_ns() // 1_000)

    def ack(self, value: Any) -> None:
        return None
