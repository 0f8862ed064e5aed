from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pyarrow as pa
import pytest
from support.connectors import (
    ORDERS,
    SCHEMA,
    Collector,
    ListSource,
    MemoryDestination,
    PlainDestination,
    Upper,
    changes,
    marker,
    positioned,
    rows,
)

from etl_core.config import BatchPolicy, CommitPolicy, Duration, LoadSettings, RetryPolicy
from etl_core.engine.pipeline import Pipeline
from etl_core.errors import (
    Cancelled,
    ConfigError,
    FatalError,
    PositionLostError,
    RejectedRowsError,
    RetryableError,
    SchemaError,
    StateError,
)
from etl_core.interfaces import Context
from etl_core.loaders.append import Append
from etl_core.loaders.replace import Replace
from etl_core.loaders.upsert import Upsert
from etl_core.model import AddColumn, Batch, Kind, Mode, Position, Rejected, Step, Stream, StreamInfo, Write
from etl_core.resolve import TransformStep
from etl_core.state.memory import MemoryStore

FAST = RetryPolicy(attempts=3, base=Duration(0.001), cap=Duration(0.002))
AT_ONCE = LoadSettings(commit=CommitPolicy(max_wait=Duration(0)))


def pipeline(source: Any, destination: Any, **options: Any) -> Pipeline:
    options.setdefault("retry", FAST)
    return Pipeline("p", source, destination, **options)


def etl_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("etl-")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert etl_threads() == []


def test_rows_and_position_arrive_and_the_source_is_told() -> None:
    source, destination, state = (
        ListSource(positioned(rows(1, 2), rows(3))),
        MemoryDestination(),
        MemoryStore(),
    )
    result = pipeline(source, destination, state=state).run()
    assert destination.ids() == [1, 2, 3]
    assert result.counts.records_read == result.counts.records_written == 3
    assert source.acked[-1] == 2
    assert state.load("p") == destination.position
    assert result.position == destination.position.to_json()
    assert source.closed == 1


def test_a_second_run_resumes_and_brings_nothing_twice() -> None:
    destination, state = MemoryDestination(), MemoryStore()
    batches = positioned(rows(1), rows(2))
    pipeline(ListSource(batches[:1]), destination, state=state).run()
    source = ListSource(batches)
    pipeline(source, destination, state=state).run()
    assert source.reads == [1]
    assert destination.ids() == [1, 2]
    assert destination.position.n == 2


def test_the_order_is_flush_then_save_then_ack() -> None:
    order: list[str] = []

    class State(MemoryStore):
        def save(self, fence: str, position: Position) -> None:
            order.append(f"save {position.value}")
            super().save(fence, position)

    class Source(ListSource):
        def ack(self, value: Any) -> None:
            order.append(f"ack {value}")

    destination = MemoryDestination()
    destination.hook = lambda call: order.append(call) if call == "flush" else None
    pipeline(Source(positioned(rows(1), rows(2))), destination, state=State(), load=AT_ONCE).run()
    assert order == ["flush", "save 1", "ack 1", "flush", "save 2", "ack 2"]


def test_a_retryable_failure_goes_back_to_the_durable_position() -> None:
    source = ListSource(
        positioned(rows(1), rows(2), rows(3)), fail={2: RetryableError("cut"), 1: RetryableError("cut")}
    )
    destination = MemoryDestination()
    result = pipeline(source, destination).run()
    assert destination.ids() == [1, 2, 3]
    assert result.retries == 2
    assert "abort" in destination.calls


@pytest.mark.parametrize("call", ["open", "table", "ensure", "write", "flush", "resume_position"])
def test_a_destination_that_fails_once_anywhere_loses_and_repeats_nothing(call: str) -> None:
    source, destination = ListSource(positioned(rows(1), rows(2), rows(3))), MemoryDestination()
    destination.fail[call] = [RetryableError("cut")]
    pipeline(source, destination, load=AT_ONCE).run()
    assert destination.ids() == [1, 2, 3]


@pytest.mark.parametrize("call", ["open", "table", "ensure", "write", "flush", "resume_position", "abort"])
def test_a_destination_that_breaks_anywhere_gives_a_typed_error_with_its_stage(call: str) -> None:
    destination = MemoryDestination()
    destination.fail[call] = [ValueError("secret row value")]
    source = ListSource(positioned(rows(1)), fail={0: FatalError("x")} if call == "abort" else None)
    with pytest.raises(FatalError) as caught:
        pipeline(source, destination).run()
    assert "secret" not in str(caught.value)
    if call != "abort":
        assert caught.value.facts["stage"] == "destination"
    assert destination.ids() == []


@pytest.mark.parametrize("error", [FatalError("gone"), SchemaError("x"), RetryableError("again")])
def test_a_failing_source_raises_its_own_error(error: Exception) -> None:
    class Source(ListSource):
        def streams(self, ctx: Context) -> Sequence[StreamInfo]:
            raise error

    with pytest.raises(type(error)) as caught:
        pipeline(Source([]), MemoryDestination()).run()
    assert caught.value is error


def test_an_untyped_error_of_a_source_names_its_stage() -> None:
    source = ListSource(positioned(rows(1), rows(2)), fail={1: KeyError("boom")})
    with pytest.raises(FatalError) as caught:
        pipeline(source, MemoryDestination()).run()
    assert caught.value.facts["stage"] == "source"


@pytest.mark.parametrize("yielded", ["text", Batch(Kind.ROWS, None, rows(1)), Batch(Kind.ROWS, ORDERS)])
def test_what_is_no_batch_is_refused(yielded: Any) -> None:
    with pytest.raises(FatalError):
        pipeline(ListSource([yielded]), MemoryDestination()).run()


@pytest.mark.parametrize("call", ["claim", "load", "save", "release"])
def test_a_failing_state_store_stops_the_run_and_loses_nothing(call: str) -> None:
    class Broken(MemoryStore):
        pass

    def fail(*args: Any) -> Any:
        raise StateError("disk full")

    broken = Broken()
    setattr(broken, call, fail)
    source, destination = ListSource(positioned(rows(1))), MemoryDestination()
    if call == "release":
        pipeline(source, destination, state=broken).run()
    else:
        with pytest.raises(StateError, match="disk full"):
            pipeline(source, destination, state=broken).run()
        assert source.acked == []


@pytest.mark.parametrize("method", ["schema", "plan"])
def test_a_failing_loader_is_named(method: str) -> None:
    class Broken(Append):
        pass

    def fail(self: Any, *args: Any) -> Any:
        raise ZeroDivisionError

    setattr(Broken, method, fail)
    with pytest.raises(FatalError) as caught:
        pipeline(ListSource(positioned(rows(1))), MemoryDestination(), loader=Broken()).run()
    assert caught.value.facts["stage"] == "loader"


@pytest.mark.parametrize("method", ["open", "schema", "apply"])
def test_a_failing_transform_is_named(method: str) -> None:
    class Broken(Upper):
        pass

    def fail(self: Any, *args: Any) -> Any:
        raise ZeroDivisionError

    setattr(Broken, method, fail)
    with pytest.raises(FatalError) as caught:
        steps = [TransformStep("upper", Broken())]
        batches = [marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA), *positioned(rows(1))]
        pipeline(ListSource(batches), MemoryDestination(), transforms=steps).run()
    assert caught.value.facts["stage"] == "transform"


class Broken(Collector):
    def on_event(self, event: Any) -> None:
        raise RuntimeError("observer")


def test_a_failing_observer_changes_nothing() -> None:
    destination, heard = MemoryDestination(), Collector()
    pipeline(
        ListSource(positioned(rows(1))), destination, observers=[("bad", Broken()), ("good", heard)]
    ).run()
    assert destination.ids() == [1]
    assert heard.closed
    assert heard.names()[0] == "run_started"
    assert heard.facts("run_finished")[0]["status"] == "ok"


def test_a_cancel_drains_commits_and_is_no_success() -> None:
    source, destination, cancel = (
        ListSource(positioned(rows(1)), endless=True),
        MemoryDestination(),
        threading.Event(),
    )
    threading.Thread(target=lambda: source.idle.wait(10) and cancel.set()).start()
    with pytest.raises(Cancelled) as caught:
        pipeline(source, destination, load=LoadSettings(commit=CommitPolicy(max_wait=Duration(60)))).run(
            cancel=cancel
        )
    assert destination.ids() == [1]
    assert caught.value.result.counts.records_written == 1
    assert source.acked == [1]


def test_cancelled_beforehand_touches_nothing() -> None:
    cancel, destination = threading.Event(), MemoryDestination()
    cancel.set()
    with pytest.raises(Cancelled):
        pipeline(ListSource([]), destination).run(cancel=cancel)
    assert "open" not in destination.calls


def test_a_cancel_interrupts_a_destination_that_blocks_after_the_grace_period() -> None:
    cancel, stuck = threading.Event(), threading.Event()

    class Blocking(MemoryDestination):
        def open(self, ctx: Context, fence: str) -> None:
            super().open(ctx, fence)
            ctx.on_cancel(stuck.set)

        def write(self, write: Write) -> None:
            cancel.set()
            assert stuck.wait(30)

    made = pipeline(ListSource(positioned(rows(1))), Blocking())
    made.grace = 0.3
    with pytest.raises(Cancelled):
        made.run(cancel=cancel)


def test_a_thread_of_the_source_that_fails_fails_the_run() -> None:
    class Source(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            def work() -> None:
                raise RetryableError("feedback cut")

            ctx.spawn(work, name="feedback")
            yield from super().read(ctx, resume, until)

    with pytest.raises(RetryableError, match="feedback"):
        pipeline(Source([], endless=True), MemoryDestination()).run()


def test_rows_are_not_copied_between_source_and_destination() -> None:
    batches = [rows(*range(n * 1000, (n + 1) * 1000)) for n in range(4)]
    destination = MemoryDestination()
    pipeline(ListSource(positioned(*batches)), destination).run()
    chunks = [
        chunk for write in destination.writes if write.rows for chunk in write.rows.column("name").chunks
    ]
    sent = {buffer.address for batch in batches for buffer in batch.column("name").buffers() if buffer}
    assert {buffer.address for chunk in chunks for buffer in chunk.buffers() if buffer} == sent


def test_pluggy_is_not_called_while_batches_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    import pluggy

    calls: list[str] = []
    original = pluggy.PluginManager._hookexec

    def count(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(args[0])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(pluggy.PluginManager, "_hookexec", count)
    pipeline(ListSource(positioned(*[rows(n) for n in range(50)])), MemoryDestination()).run()
    assert calls == []


def test_a_snapshot_is_staged_and_appears_at_its_end() -> None:
    batches = [
        marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA, key=("id",)),
        *positioned(rows(1), rows(2)),
        marker(Kind.SNAPSHOT_END, position=4),
    ]
    destination = MemoryDestination()
    pipeline(ListSource(batches), destination).run()
    assert [write.step for write in destination.writes] == [Step.BEGIN, Step.ROWS, Step.END]
    assert set(destination.writes[1].rows.column("_etl_op").to_pylist()) == {"r"}
    assert destination.ids() == [1, 2]


def test_a_resume_inside_a_snapshot_goes_on_with_it() -> None:
    batches = [
        marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA, key=("id",)),
        Batch.of(ORDERS, rows(1), position=2),
        Batch.of(ORDERS, rows(2), position=3),
        marker(Kind.SNAPSHOT_END, position=4),
    ]
    destination, state = MemoryDestination(), MemoryStore()
    source = ListSource(batches, fail={2: FatalError("stop here")})
    slow = LoadSettings(commit=CommitPolicy(max_wait=Duration(0)), batch=BatchPolicy(max_rows=1))
    with pytest.raises(FatalError):
        run = pipeline(Gate(source, destination), destination, state=state, load=slow)
        run.run()
    assert destination.position.snapshots == (ORDERS,)
    assert destination.ids() == []
    pipeline(ListSource(batches), destination, state=state).run()
    assert destination.ids() == [1, 2]
    assert [write.step for write in destination.writes][-2:] == [Step.ROWS, Step.END]


class Gate(ListSource):
    """Waits before each failure until what was yielded is durable, so that the test knows where it is."""

    def __init__(self, inner: ListSource, destination: MemoryDestination) -> None:
        super().__init__(inner.batches, fail=inner.fail)
        self._durable = threading.Event()
        destination.hook = lambda call: self._durable.set() if call == "flush" else None

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        for number in range(resume or 0, len(self.batches)):
            if number in self.fail:
                while not self.acked:
                    yield None
                raise self.fail.pop(number)
            yield self.batches[number]


def test_a_destination_without_staging_gets_plain_writes() -> None:
    batches = [
        marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA, key=("id",)),
        *positioned(rows(1)),
        marker(Kind.SNAPSHOT_END, position=3),
    ]
    destination = PlainDestination()
    pipeline(ListSource(batches), destination).run()
    assert [(write.mode, write.step) for write in destination.writes] == [(Mode.APPEND, None)]


def test_a_truncate_of_a_mirror_empties_its_table() -> None:
    batches = [*positioned(changes(1, 1, "ii", [1, 2])), marker(Kind.TRUNCATE, position=2)]
    destination = MemoryDestination()
    pipeline(ListSource(batches), destination, loader=Upsert()).run()
    assert destination.ids() == []


def test_a_truncate_of_a_history_is_told_but_removes_nothing() -> None:
    heard, destination = Collector(), MemoryDestination()
    batches = [*positioned(rows(1)), marker(Kind.TRUNCATE, position=2)]
    pipeline(ListSource(batches), destination, observers=[("c", heard)]).run()
    assert destination.ids() == [1]
    assert heard.facts("truncated") == [{"stream": "public.orders"}]


def test_a_schema_change_reaches_the_table_before_its_rows() -> None:
    wider = pa.schema([*SCHEMA, pa.field("extra", pa.float64())])
    batches = [
        *positioned(rows(1)),
        marker(
            Kind.SCHEMA,
            b"\0" * 20,
            schema=wider,
            key=("id",),
            changes=(AddColumn("extra", pa.float64(), 0.5),),
            position=1,
        ),
        Batch.of(ORDERS, rows(2, extra=[1.5]), position=3),
    ]
    destination, heard = MemoryDestination(), Collector()
    pipeline(ListSource(batches), destination, observers=[("c", heard)]).run()
    assert "extra" in destination.tables[ORDERS].columns.names
    assert destination.ids() == [1, 2]
    assert len(heard.facts("schema_changed")) == 1
    assert destination.calls.index("write") < len(destination.calls) - 1 - destination.calls[::-1].index(
        "ensure"
    )


def test_without_transactional_ddl_what_came_before_a_change_is_flushed_first() -> None:
    wider = pa.schema([*SCHEMA, pa.field("extra", pa.float64())])
    batches = [
        *positioned(rows(1)),
        marker(Kind.SCHEMA, schema=wider, changes=(AddColumn("extra", pa.float64()),), position=1),
        Batch.of(ORDERS, rows(2, extra=[1.5]), position=3),
    ]
    destination = PlainDestination()
    pipeline(ListSource(batches), destination).run()
    calls = [call for call in destination.calls if call in ("ensure", "write", "flush")]
    assert calls == ["ensure", "write", "flush", "ensure", "write", "flush"]


REWRITE = AddColumn("extra", pa.float64(), None, rewrites=True)


def rewriting() -> list[Batch]:
    wider = pa.schema([*SCHEMA, pa.field("extra", pa.float64())])
    return [
        *positioned(rows(1)),
        marker(Kind.SCHEMA, schema=wider, changes=(REWRITE,), position=1),
        Batch.of(ORDERS, rows(2, extra=[1.5]), position=3),
    ]


def test_a_rewrite_of_stored_values_stops_by_default() -> None:
    destination = MemoryDestination()
    with pytest.raises(SchemaError) as caught:
        pipeline(ListSource(rewriting()), destination).run()
    assert "resnapshot" in str(caught.value.hint)


def test_a_rewrite_of_stored_values_can_be_read_anew() -> None:
    wider = pa.schema([*SCHEMA, pa.field("extra", pa.float64())])

    class Source(ListSource):
        def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
            assert (value, list(streams)) == (1, [ORDERS])
            self.batches[1:] = [
                Batch(Kind.PROGRESS, position=2),
                Batch.progress(3),
                marker(Kind.SNAPSHOT_BEGIN, schema=wider, key=("id",)),
                Batch.of(ORDERS, rows(1, 2, extra=[9.0, 1.5])),
                marker(Kind.SNAPSHOT_END, position=6),
            ]
            return 3

    load = LoadSettings(on_rewrite="resnapshot")
    source, destination = Source(rewriting()), MemoryDestination()
    pipeline(source, destination, load=load, loader=Upsert()).run()
    assert source.reads == [None, 3]
    assert destination.ids() == [1, 2]


def test_a_lost_position_starts_over_at_a_higher_epoch_where_the_source_may() -> None:
    destination, state = MemoryDestination(), MemoryStore()
    pipeline(ListSource(positioned(rows(1))), destination, state=state).run()
    before = destination.position

    class Lost(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            if resume is not None:
                raise PositionLostError("slot gone", resnapshot=True)
            return super().read(ctx, resume, until)

    pipeline(Lost(positioned(rows(7))), destination, state=state).run()
    assert destination.position.epoch > before.epoch
    assert destination.ids() == [1, 7]


def test_a_lost_position_stops_otherwise() -> None:
    class Lost(ListSource):
        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            raise PositionLostError("slot gone")

    with pytest.raises(PositionLostError):
        pipeline(Lost([]), MemoryDestination()).run()


def test_whole_transactions_are_committed_only_where_they_end() -> None:
    batches = [
        Batch.of(ORDERS, rows(1), position=1, complete=False),
        Batch.of(ORDERS, rows(2), position=2),
        Batch.of(ORDERS, rows(3), position=3, complete=False),
    ]
    load = LoadSettings(commit=CommitPolicy(max_wait=Duration(0), whole_transactions=True))
    destination = MemoryDestination()
    source = Gate(ListSource([*batches, *batches], fail={3: FatalError("cut")}), destination)
    with pytest.raises(FatalError, match="cut"):
        pipeline(source, destination, load=load).run()
    assert destination.position.value == 2
    assert destination.ids() == [1, 2]


def test_replace_takes_a_new_snapshot_of_a_plain_finite_source_each_run() -> None:
    destination, state = MemoryDestination(), MemoryStore()
    for ids in ([1, 2], [3]):
        source = ListSource([Batch.of(ORDERS, rows(*ids))])
        pipeline(source, destination, loader=Replace(), state=state).run()
        assert destination.ids() == ids
    empty = ListSource([])
    pipeline(empty, destination, loader=Replace(), state=state).run()
    assert destination.ids() == []


def test_replace_refuses_a_source_that_goes_on() -> None:
    class Streaming(ListSource):
        def latest(self, ctx: Context) -> Any:
            return 1

    with pytest.raises(ConfigError):
        pipeline(Streaming([]), MemoryDestination(), loader=Replace()).run()


def test_once_stops_at_the_end_as_of_the_start() -> None:
    seen: list[Any] = []

    class Source(ListSource):
        def latest(self, ctx: Context) -> Any:
            return "end"

        def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
            seen.append(until)
            return super().read(ctx, resume)

    pipeline(Source(positioned(rows(1))), MemoryDestination(), once=True).run()
    assert seen == ["end"]


class Refusing(MemoryDestination):
    def write(self, write: Write) -> Sequence[Rejected]:
        assert write.rows is not None
        super().write(Write(write.stream, write.mode, write.rows.slice(1)))
        return [Rejected(write.stream, write.rows.slice(0, 1), "too_long", "name")]


def test_rejected_rows_stop_the_run_by_default() -> None:
    with pytest.raises(RejectedRowsError) as caught:
        pipeline(ListSource(positioned(rows(1, 2))), Refusing()).run()
    assert caught.value.facts["code"] == "too_long"
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(("on_error", "letters"), [("skip", 0), ("dead-letter", 1)])
def test_rejected_rows_are_counted_and_kept_as_told(on_error: Any, letters: int) -> None:
    state, destination, heard = MemoryStore(), Refusing(), Collector()
    result = pipeline(
        ListSource(positioned(rows(1, 2))),
        destination,
        state=state,
        load=LoadSettings(on_error=on_error),
        observers=[("c", heard)],
    ).run()
    assert result.rejected == 1
    assert result.counts.records_written == 1
    assert destination.ids() == [2]
    assert len(state.dead_letters("p")) == letters
    assert heard.facts("rows_rejected")[0]["rows"] == 1


class Pipelined(PlainDestination):
    """Makes marks durable when asked twice."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[Position] = []
        self.asked = 0

    def mark(self, position: Position) -> None:
        self._call("mark")
        self.marks.append(position)

    def durable(self) -> tuple[Position, None] | None:
        self.asked += 1
        if self.asked % 2 or not self.marks:
            return None
        return self.marks[0], None


def test_a_pipelined_destination_gets_marks_and_one_flush_at_the_end() -> None:
    source, destination = ListSource(positioned(rows(1), rows(2), rows(3))), Pipelined()
    pipeline(source, destination, load=AT_ONCE).run()
    assert destination.calls.count("mark") == 3
    assert destination.calls.count("flush") == 1
    assert source.acked[-1] == 3
    assert source.acked == sorted(source.acked)


@pytest.mark.parametrize(
    ("schema", "target"),
    [("landing", Stream("landing", "orders")), ({"public.orders": "a.b"}, Stream("a", "b")), ({}, ORDERS)],
)
def test_streams_land_where_the_document_says(schema: Any, target: Stream) -> None:
    destination = MemoryDestination()
    pipeline(ListSource(positioned(rows(1))), destination, schema=schema).run()
    assert destination.ids(target) == [1]


def test_two_streams_in_one_table_stop_before_a_row_is_written() -> None:
    other = Stream("sales", "orders")
    batches = [Batch.of(ORDERS, rows(1), position=1), Batch.of(other, rows(2), position=2)]
    destination = MemoryDestination()
    with pytest.raises(SchemaError):
        pipeline(ListSource(batches), destination, schema="landing").run()
    assert destination.ids(Stream("landing", "orders")) == []


def test_a_reserved_name_of_a_source_column_is_refused() -> None:
    bad = pa.record_batch({"_etl_mine": pa.array([1])})
    with pytest.raises(SchemaError):
        pipeline(ListSource(positioned(bad)), MemoryDestination()).run()


def test_a_batch_without_rows_still_moves_the_position() -> None:
    source = ListSource(positioned(rows(), rows(1), rows()))
    destination = MemoryDestination()
    pipeline(source, destination).run()
    assert destination.position.value == 3
    assert destination.ids() == [1]


def test_a_source_without_positions_is_committed_at_its_end() -> None:
    source, destination = (
        ListSource([Batch.of(ORDERS, rows(1)), Batch.of(ORDERS, rows(2))]),
        MemoryDestination(),
    )
    pipeline(source, destination, load=AT_ONCE).run()
    assert destination.ids() == [1, 2]
    assert destination.calls.count("flush") == 1


def test_batches_are_shown_to_observers_that_ask() -> None:
    class Watching(Collector):
        stages = frozenset({"source", "transform", "load"})

        def __init__(self) -> None:
            super().__init__()
            self.seen: list[str] = []

        def on_batch(self, stage: str, batch: Batch) -> None:
            self.seen.append(stage)

    watching = Watching()
    steps = [TransformStep("upper", Upper())]
    pipeline(
        ListSource(positioned(rows(1))), MemoryDestination(), observers=[("w", watching)], transforms=steps
    ).run()
    assert watching.seen == ["source", "transform", "load"]


def test_a_marker_for_an_unknown_stream_is_a_typed_error() -> None:
    unknown = Batch(Kind.TRUNCATE, Stream("x", "y"))
    with pytest.raises(FatalError, match="nothing is known"):
        pipeline(ListSource([unknown]), MemoryDestination()).run()


class Late(Pipelined):
    """Refuses a row once it is asked what is durable, and another at the flush; knows its own tables only."""

    def refused(self) -> list[Rejected]:
        (table,) = {write.stream for write in self.writes}
        return [Rejected(table, pa.table(rows(len(self.calls))), "late")]

    def durable(self) -> tuple[Position, Any] | None:
        done = super().durable()
        return done and (done[0], self.refused())

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        super().flush(position)
        return self.refused()


def test_rows_refused_late_are_those_of_the_source_stream() -> None:
    state, destination = MemoryStore(), Late()
    load = attrs.evolve(AT_ONCE, on_error="dead-letter")
    source = ListSource(positioned(rows(1), rows(2), rows(3), rows(4)))
    pipeline(source, destination, load=load, schema="landing", state=state).run()
    letters = state.dead_letters("p")
    assert {letter.stream for letter in letters} == {ORDERS}
    assert len(letters) > 1
