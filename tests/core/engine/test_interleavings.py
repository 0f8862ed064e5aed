"""Failures, cancels and ends at moments that are easy to overlook: nothing lost, twice, or left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from support.connectors import (
    ORDERS,
    SCHEMA,
    Collector,
    ListSource,
    MemoryDestination,
    PlainDestination,
    changes,
    marker,
    positioned,
    rows,
)

from etl_core.config import BatchPolicy, CommitPolicy, Duration, LoadSettings, Resources, RetryPolicy
from etl_core.engine.pipeline import Pipeline
from etl_core.errors import Cancelled, ConfigError, FatalError, RetryableError, StateError
from etl_core.interfaces import Context
from etl_core.loaders.append import Append
from etl_core.loaders.replace import Replace
from etl_core.loaders.upsert import Upsert
from etl_core.model import (
    AddColumn,
    Batch,
    Delivery,
    Kind,
    Mode,
    Position,
    Rejected,
    Step,
    Stream,
    Write,
)
from etl_core.state.memory import MemoryStore

FAST = RetryPolicy(attempts=3, base=Duration(0.001), cap=Duration(0.002))
AT_ONCE = LoadSettings(commit=CommitPolicy(max_wait=Duration(0)), batch=BatchPolicy(max_rows=1))
WIDER = pa.schema([*SCHEMA, pa.field("extra", pa.float64())])


def pipeline(source: Any, destination: Any, **options: Any) -> Pipeline:
    options.setdefault("retry", FAST)
    return Pipeline("p", source, destination, **options)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name.startswith("etl-")] == []


class FailingWrite(MemoryDestination):
    """Fails once with a passing error when a write of this step comes."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.steps = [step]

    def write(self, write: Write) -> Sequence[Rejected] | None:
        if write.step in self.steps:
            self.steps.clear()
            raise RetryableError("cut")
        return super().write(write)


class Paced(ListSource):
    """Yields a batch only once the one before it is durable."""

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        for batch in super().read(ctx, resume, until):
            yield batch
            while batch and batch.position and batch.position not in self.acked and not ctx.cancel.is_set():
                yield None


def snapshot() -> list[Batch]:
    return [
        marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA, key=("id",), position=1),
        Batch.of(ORDERS, rows(1), position=2),
        Batch.of(ORDERS, rows(2)),
        marker(Kind.SNAPSHOT_END, position=4),
        Batch.of(ORDERS, changes(1, 9, "i", [3]), position=5),
    ]


@pytest.mark.parametrize("loader", [Append, Upsert])
@pytest.mark.parametrize("step", list(Step))
def test_a_snapshot_is_whole_whichever_of_its_writes_fails(step: Step, loader: Any) -> None:
    destination = FailingWrite(step)
    pipeline(Paced(snapshot()), destination, loader=loader(), load=AT_ONCE).run()
    assert destination.ids() == [1, 2, 3]


def test_a_rewrite_inside_a_transaction_repeats_nothing_of_it() -> None:
    class Source(ListSource):
        def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
            self.batches[2] = Batch.of(ORDERS, rows(3), position=3)
            return value

    rewrite = AddColumn("extra", pa.float64(), None, rewrites=True)
    batches = [
        Batch.of(ORDERS, rows(1), position=1),
        Batch.of(ORDERS, rows(2), position=2, complete=False),
        marker(Kind.SCHEMA, schema=WIDER, changes=(rewrite,), position=2, complete=False),
    ]
    load = LoadSettings(
        commit=CommitPolicy(max_wait=Duration(0), whole_transactions=True),
        batch=BatchPolicy(max_rows=1),
        on_rewrite="resnapshot",
    )
    destination = MemoryDestination()
    pipeline(Source(batches), destination, load=load).run()
    assert destination.ids() == [1, 2, 3]


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.timeout(20)
def test_a_source_that_raises_cancelled_ends_the_run(cancelled: bool) -> None:
    cancel = threading.Event()

    class Source(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            yield from super().read(ctx, resume, until)
            if cancelled:
                cancel.set()
                assert ctx.cancel.wait(10)
            raise Cancelled

    destination = MemoryDestination()
    load = LoadSettings(commit=CommitPolicy(max_wait=Duration(60)))
    with pytest.raises(Cancelled):
        pipeline(Source(positioned(rows(1))), destination, load=load).run(cancel=cancel)
    assert destination.ids() == [1]


@pytest.mark.parametrize("error", [RetryableError("closed"), OSError("closed")])
def test_what_an_interrupted_source_raises_is_no_failure(error: Exception) -> None:
    cancel, interrupted = threading.Event(), threading.Event()

    class Source(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            ctx.on_cancel(interrupted.set)
            yield from super().read(ctx, resume, until)
            cancel.set()
            assert interrupted.wait(10)
            raise error

    destination = MemoryDestination()
    load = LoadSettings(commit=CommitPolicy(max_wait=Duration(60)))
    with pytest.raises(Cancelled):
        pipeline(Source(positioned(rows(1))), destination, load=load).run(cancel=cancel)
    assert destination.ids() == [1]


def test_a_passing_failure_while_cancelled_is_a_cancel() -> None:
    cancel = threading.Event()
    destination = MemoryDestination()
    destination.hook = lambda call: cancel.set() if call == "flush" else None
    destination.fail["flush"] = [RetryableError("cut")]
    with pytest.raises(Cancelled):
        pipeline(ListSource(positioned(rows(1))), destination).run(cancel=cancel)


def test_a_cancel_during_the_last_flush_is_no_success() -> None:
    cancel, destination = threading.Event(), MemoryDestination()
    destination.hook = lambda call: cancel.set() if call == "flush" else None
    with pytest.raises(Cancelled):
        pipeline(ListSource(positioned(rows(1))), destination).run(cancel=cancel)
    assert destination.ids() == [1]


def test_a_thread_of_the_destination_may_fail_and_the_run_go_on() -> None:
    class Threaded(MemoryDestination):
        opened = 0

        def open(self, ctx: Context, fence: str) -> None:
            super().open(ctx, fence)
            self.opened += 1
            self.ctx = ctx
            if self.opened == 1:
                ctx.spawn(self.fail_once, name="sender")

        def fail_once(self) -> None:
            raise RetryableError("cut")

    class Slow(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            for _ in range(5):
                ctx.cancel.wait(0.01)
                yield None
            yield from super().read(ctx, resume, until)

    destination = Threaded()
    result = pipeline(Slow(positioned(rows(1))), destination).run()
    assert destination.ids() == [1]
    assert (result.retries, destination.opened) == (1, 2)


def test_a_destinations_threads_of_one_attempt_end_with_it() -> None:
    alive: list[int] = []

    class Threaded(MemoryDestination):
        def open(self, ctx: Context, fence: str) -> None:
            alive.append(sum(t.name.endswith("-sender") for t in threading.enumerate()))
            super().open(ctx, fence)
            ctx.spawn(ctx.cancel.wait, name="sender")

    source = ListSource(positioned(rows(1)), fail={0: RetryableError("cut")})
    pipeline(source, Threaded()).run()
    assert alive == [0, 0]


def test_a_failing_before_run_leaves_nothing_behind() -> None:
    heard, ended = Collector(), []

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pipeline(
            ListSource([]),
            MemoryDestination(),
            observers=[("c", heard)],
            before_run=fail,
            after_run=lambda: ended.append(1),
        ).run()
    assert heard.closed
    assert ended == [1]


def test_a_second_run_of_an_object_that_runs_leaves_the_first_alone() -> None:
    cancel = threading.Event()
    source, destination = ListSource(positioned(rows(1)), endless=True), MemoryDestination()
    made = pipeline(source, destination)

    def run() -> None:
        with pytest.raises(Cancelled):
            made.run(cancel=cancel)

    first = threading.Thread(target=run)
    first.start()
    assert source.idle.wait(10)
    with pytest.raises(StateError):
        made.run()
    closed = source.closed
    cancel.set()
    first.join(10)
    assert closed == 0
    assert destination.ids() == [1]


@pytest.mark.parametrize("error", [SystemExit(3), Cancelled()])
def test_a_failing_close_does_not_keep_the_rest_from_closing(error: BaseException) -> None:
    class Source(ListSource):
        def close(self) -> None:
            raise error

    state, heard = MemoryStore(), Collector()
    pipeline(Source(positioned(rows(1))), MemoryDestination(), state=state, observers=[("c", heard)]).run()
    assert state.holder("p") is None
    assert heard.closed


class Once(PlainDestination):
    """Pipelined, and keeps the position: what was marked becomes durable when asked, or at a flush."""

    keeps_position = True

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[tuple[Position, list[Write]]] = []

    def mark(self, position: Position) -> None:
        self._call("mark")
        self.groups.append((position, list(self.accepted)))
        self.accepted.clear()

    def durable(self) -> tuple[Position, None] | None:
        return None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self.accepted = [w for _, group in self.groups for w in group] + self.accepted
        self.groups.clear()
        return super().flush(position)

    def abort(self) -> None:
        super().abort()
        self.groups.clear()


def test_a_stop_between_positions_flushes_nothing_behind_the_last_one() -> None:
    batches = [
        Batch.of(ORDERS, rows(1), position=1),
        Batch.of(ORDERS, rows(2)),
        Batch.of(ORDERS, rows(3), position=3),
    ]
    destination, state, cancel = Once(), MemoryStore(), threading.Event()

    class Source(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            self.reads.append(resume)
            yield self.batches[0]
            yield self.batches[1]
            while sum(call == "write" for call in destination.calls) < 2:
                yield None
            cancel.set()
            ctx.cancel.wait(10)
            yield None

    with pytest.raises(Cancelled):
        pipeline(Source(batches), destination, state=state, load=AT_ONCE).run(cancel=cancel)

    class Rest(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            yield from batches[(resume or 0) :]

    pipeline(Rest(batches), destination, state=state).run()
    assert destination.ids() == [1, 2, 3]


@pytest.mark.parametrize("announced", [False, True])
def test_what_came_before_is_flushed_before_a_table_changes(announced: bool) -> None:
    batches = [
        *positioned(rows(1)),
        *([marker(Kind.SCHEMA, schema=WIDER, position=1)] if announced else []),
        Batch.of(ORDERS, rows(2, extra=[1.5]), position=3),
    ]
    destination = PlainDestination()
    pipeline(ListSource(batches), destination).run()
    calls = [call for call in destination.calls if call in ("ensure", "write", "flush")]
    assert calls == ["ensure", "write", "flush", "ensure", "write", "flush"]


def test_what_came_before_is_flushed_before_another_table_is_made() -> None:
    batches = [Batch.of(ORDERS, rows(1), position=1), Batch.of(Stream("a", "b"), rows(2), position=2)]
    destination = PlainDestination()
    pipeline(ListSource(batches), destination).run()
    calls = [call for call in destination.calls if call in ("ensure", "write", "flush")]
    assert calls == ["ensure", "write", "flush", "ensure", "write", "flush"]


class Deduplicating(PlainDestination):
    """Keeps no position; skips rows at or below the highest sequence that is there."""

    def delivery(self, mode: Mode) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def __init__(self) -> None:
        super().__init__()
        self.high = b""

    def _apply(self, write: Write) -> None:
        assert write.rows is not None
        new = [n for n, seq in enumerate(write.rows.column("_etl_seq").to_pylist()) if seq > self.high]
        self.high = max(self.high, write.seq or b"")
        super()._apply(
            Write(write.stream, write.mode, write.rows.take(pa.array(new, pa.int64())), seq=write.seq)
        )


class Sequenced(ListSource):
    """Has stable sequences, which carry the engine's epoch."""

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        yield from positioned(*[changes(ctx.epoch, n, "i", [n]) for n in (1, 2)])[resume or 0 :]


def test_a_first_flush_whose_position_was_not_saved_is_not_repeated_by_the_next_run() -> None:
    class Broken(MemoryStore):
        broken = True

        def save(self, fence: str, position: Position) -> None:
            if self.broken and position.n:
                self.broken = False
                raise StateError("disk full")
            super().save(fence, position)

    destination, state = Deduplicating(), Broken()
    with pytest.raises(StateError):
        pipeline(Sequenced([]), destination, state=state, load=AT_ONCE).run()
    assert destination.ids()
    pipeline(Sequenced([]), destination, state=state, load=AT_ONCE).run()
    assert destination.ids() == [1, 2]


class Refusing(MemoryDestination):
    def write(self, write: Write) -> Sequence[Rejected] | None:
        super().write(write)
        assert write.rows is not None
        return [Rejected(write.stream, write.rows.slice(0, 1), "bad")]


def test_a_row_rejected_again_before_anything_was_durable_is_one_dead_letter() -> None:
    destination, state = Refusing(), MemoryStore()
    destination.fail["flush"] = [RetryableError("cut")]
    load = LoadSettings(on_error="dead-letter")
    pipeline(Sequenced([]), destination, state=state, load=load).run()
    assert len(state.dead_letters("p")) == 1


def test_a_second_run_of_an_object_does_not_inherit_an_open_snapshot() -> None:
    class Source(ListSource):
        def close(self) -> None:
            self.batches = positioned(rows(7))

    destination = MemoryDestination()
    made = pipeline(Source(snapshot()[:2], fail={2: FatalError("x")}), destination)
    made.source.batches.append(Batch.progress(3))  # type: ignore[attr-defined]
    with pytest.raises(FatalError):
        made.run()
    made.run()
    assert destination.ids() == [7]


@pytest.mark.timeout(20)
def test_a_source_is_not_read_anew_while_a_thread_of_the_last_read_lives() -> None:
    release = threading.Event()

    class Stubborn(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            self.reads.append(resume)
            ctx.spawn(release.wait, name="stubborn")
            yield from ()
            raise RetryableError("cut")

    source = Stubborn([])
    made = pipeline(source, MemoryDestination())
    made.grace = 0.2
    with pytest.raises(FatalError, match="did not end"):
        made.run()
    release.set()
    for thread in threading.enumerate():
        if thread.name.endswith("stubborn"):
            thread.join(5)
    assert source.reads == [None]


@pytest.mark.parametrize("call", ["table", "fold", "stored", "delivery"])
def test_a_destination_that_breaks_at_a_marker_gives_a_typed_error(call: str) -> None:
    class Broken(MemoryDestination):
        armed = False

        def write(self, write: Write) -> Sequence[Rejected] | None:
            return super().write(write)

    def fail(*args: Any) -> Any:
        raise ValueError("secret")

    destination, state = Broken(), MemoryStore()
    batches = [*positioned(changes(1, 1, "i", [1])), marker(Kind.TRUNCATE, position=2)]
    pipeline(ListSource(batches[:1]), destination, state=state, loader=Upsert()).run()
    setattr(destination, call, fail)
    if call == "delivery":
        destination.keeps_position = False  # type: ignore[misc]
    if call == "stored":
        batches[1] = Batch.of(ORDERS, changes(1, 2, "i", [2]), position=2)
    with pytest.raises(FatalError) as caught:
        pipeline(ListSource(batches), destination, state=state, loader=Upsert()).run()
    assert caught.value.facts["stage"] == "destination"


def test_a_loader_that_breaks_after_a_resume_inside_a_snapshot_is_named() -> None:
    class Broken(Append):
        def plan(self, batch: Batch) -> Any:
            raise ZeroDivisionError

    destination, state = MemoryDestination(), MemoryStore()
    source = Paced(snapshot(), fail={2: FatalError("stop")})
    with pytest.raises(FatalError):
        pipeline(source, destination, state=state, load=AT_ONCE).run()
    with pytest.raises(FatalError) as caught:
        pipeline(ListSource(snapshot()), destination, state=state, loader=Broken()).run()
    assert caught.value.facts["stage"] == "loader"


def test_a_state_store_that_breaks_is_named() -> None:
    class Broken(MemoryStore):
        def load(self, pipeline: str) -> Position | None:
            raise KeyError

    with pytest.raises(FatalError) as caught:
        pipeline(ListSource([]), MemoryDestination(), state=Broken()).run()
    assert caught.value.facts["stage"] == "state"


@pytest.mark.parametrize("destination", [MemoryDestination, PlainDestination])
def test_a_transaction_that_the_read_leaves_open_is_not_made_visible(
    destination: Any, tmp_path: Path
) -> None:
    batches = [
        Batch.of(ORDERS, rows(1), position=1),
        Batch.of(ORDERS, rows(2), position=2, complete=False),
    ]
    load = LoadSettings(commit=CommitPolicy(max_wait=Duration(0), whole_transactions=True))
    state, made = MemoryStore(), destination()
    pipeline(ListSource(batches), made, state=state, load=load, resources=Resources(spill=tmp_path)).run()
    assert made.ids() == [1]
    assert state.load("p").value == 1
    batches.append(Batch.of(ORDERS, rows(3), position=3))
    pipeline(ListSource(batches), made, state=state, load=load, resources=Resources(spill=tmp_path)).run()
    assert made.ids() == [1, 2, 3]


def test_rows_after_a_snapshot_do_not_replace_it() -> None:
    batches = [
        marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA, key=("id",)),
        Batch.of(ORDERS, rows(1)),
        marker(Kind.SNAPSHOT_END),
        Batch.of(ORDERS, rows(2)),
    ]
    with pytest.raises(ConfigError):
        pipeline(ListSource(batches), MemoryDestination(), loader=Replace()).run()


def test_progress_that_names_a_stream_is_progress() -> None:
    batches = [*positioned(rows(1)), Batch(Kind.PROGRESS, ORDERS, position=2)]
    destination = MemoryDestination()
    pipeline(ListSource(batches), destination, loader=Upsert()).run()
    assert [write.rows is None for write in destination.writes] == [False]
    assert destination.position is not None
    assert destination.position.value == 2


class Counting(PlainDestination):
    """Pipelined; a mark is durable at once."""

    keeps_position: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.marked: Position | None = None
        self.asked = 0

    def mark(self, position: Position) -> None:
        super().flush(position)
        self.marked = position

    def durable(self) -> tuple[Position, None] | None:
        self.asked += 1
        found, self.marked = self.marked, None
        return (found, None) if found else None


def test_an_idle_pipelined_destination_is_not_asked_for_ever() -> None:
    destination, cancel = Counting(), threading.Event()
    source = ListSource(positioned(rows(1)), endless=True)
    threading.Timer(0.6, cancel.set).start()
    with pytest.raises(Cancelled):
        pipeline(source, destination, load=AT_ONCE).run(cancel=cancel)
    assert destination.asked < 5
