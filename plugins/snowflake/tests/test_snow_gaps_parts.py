"""Parts of the way in, without an account: the worker, what is durable, values that are refused."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pyarrow as pa
import pytest

from etl_core import AuthError, ConfigError, Position, Rejected, RetryableError, SchemaError, Secret, Stream
from etl_snowflake import refusing, rejected, rest
from etl_snowflake.breaker import breaker
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.durability import Durability
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.errors import translated
from etl_snowflake.gathering import End, Job, Jobs, Mark
from etl_snowflake.lengths import longest_line
from etl_snowflake.marks import REJECTED, Outstanding
from etl_snowflake.streaming import Channel, ChannelState, Place
from etl_snowflake.types import described
from etl_snowflake.worker import Worker

ORDERS = Stream("s", "orders")


def _position(number: int) -> Position:
    return Position(1, number, number)


def _mark(number: int, *ends: End) -> Mark:
    return Mark(_position(number), {}, ends)


def _spawn(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _worker(step: Callable[[Sequence[Job]], None]) -> Worker:
    return Worker(Jobs(1), _spawn, step, lambda: False)


class Panic(BaseException):
    """What the vendor's clients raise when they break down."""


def test_a_client_that_breaks_down_fails_the_run() -> None:
    def step(jobs: Sequence[Job]) -> None:
        if jobs:
            raise Panic

    worker = _worker(step)
    worker.add(_mark(1))
    with pytest.raises(RetryableError, match="broke down"):
        worker.drain()
    with pytest.raises(RetryableError, match="broke down"):
        worker.wait_for(lambda: False)
    worker.stop()
    worker.check()


def test_a_worker_that_is_gone_is_not_replaced() -> None:
    worker = Worker(Jobs(1), lambda work, name: _spawn(lambda: None, name), lambda jobs: None, lambda: False)
    with pytest.raises(RetryableError, match="has ended"):
        for _ in range(1000):
            worker.add(_mark(1))
            worker.wait_for(lambda: False)


def test_stopping_waits_for_what_is_being_done() -> None:
    going, seen = threading.Event(), threading.Event()
    done: list[int] = []

    def step(jobs: Sequence[Job]) -> None:
        if jobs:
            seen.set()
            going.wait(10)
            done.append(len(jobs))

    worker = _worker(step)
    worker.add(_mark(1), _mark(2))
    assert seen.wait(10)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    assert wait_until(lambda: worker.ending)
    going.set()
    stopping.join(10)
    assert done == [1], "the second mark was begun, though all was to end"


def test_a_wait_is_given_up() -> None:
    worker = _worker(lambda jobs: None)
    worker.given_up.set()
    with pytest.raises(RetryableError, match="gave up"):
        worker.wait_for(lambda: False)


def test_what_is_durable_is_told_once_and_saved_when_the_run_goes_on() -> None:
    durability = Durability()
    one = End(ORDERS, 1)
    durability.mark(_mark(1, one))
    durability.mark(_mark(2))
    durability.reach(landed=_position(2), streamed=None)
    assert durability.tell() is None
    durability.reach(landed=None, streamed=_position(1))
    assert (durability.tell(), durability.tell()) == (_position(1), None)
    assert durability.take_saved() == []
    durability.forget()  # as by an abort, after which the run goes on
    durability.go_on()
    assert (durability.take_saved(), durability.take_saved()) == ([one], [])
    durability.reach(landed=_position(2), streamed=_position(2))
    assert durability.tell() is None, "a mark of before"


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        (['{"a": 1}', "[1, 2]", '"x"', "null", None, '{\n"a": 1\n}'], []),
        (["{nonsense", '{"a": NaN}', "", "1 2", "[1", "2],3", '{"a": 1}'], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_what_is_no_json_is_refused(values: list[str | None], bad: list[int]) -> None:
    column = pa.ExtensionArray.from_storage(pa.json_(), pa.array(values))
    _refused(column, "not_json", bad)


def test_what_is_no_text_is_refused() -> None:
    texts = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"ok"]).buffers())
    _refused(texts, "not_text", [0])
    _refused(pa.ListArray.from_arrays([0, 1, 2], texts), "not_text", [0])


def test_values_that_are_too_long_are_found_behind_their_types() -> None:
    long = "x" * ((16 << 20) + 1)
    _refused(pa.array(["a", long, None]).dictionary_encode(), "too_long", [1])
    _refused(pa.array([["a"], [long], None]), "too_long", [1])
    _refused(pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", f'"{long}"'])), "too_long", [1])


def _refused(values: pa.Array, code: str, bad: list[int]) -> None:
    rows = pa.table({"n": range(len(values)), "v": values})
    kept, refused = refusing.accept(ORDERS, rows, ())
    assert [(each.code, each.rows.column("n").to_pylist()) for each in refused] == (
        [(code, bad)] if bad else []
    )
    assert kept.num_rows == len(values) - len(bad)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["", 'a"\x01', None]),
        pa.array([b"\x00\xff", b"", None]),
        pa.array(["\x01\x02", None], pa.string_view()),
        pa.array([b"\x00\xff", None], pa.binary_view()),
        pa.array(["a", "bcd", None]).dictionary_encode(),
        pa.array([["a", "b" * 50], [], None]),
        pa.array([{"x": 1, "y": "\x01\x02"}, None]),
        pa.array([[("k", "v" * 9)], None], pa.map_(pa.string(), pa.string())),
        pa.array([-(2**62), 5]),
        pa.array([], pa.string()),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])),
    ],
)
def test_no_line_is_longer_than_it_is_said_to_be(column: pa.Array) -> None:
    from etl_snowflake.encoding import ndjson

    rows = pa.table({'na"me': column})
    lines = ndjson(rows).splitlines()
    assert max((len(line) for line in lines), default=0) <= longest_line(rows)


def test_refused_rows_are_kept_whole_in_pieces_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only of a row that does not fit alone the longest columns are left out."""
    monkeypatch.setattr(rejected, "_MOST", 2500)
    chance = random.Random(1)
    names = [chance.randbytes(100).hex() for _ in range(50)]
    rows = pa.table({"id": range(50), "name": names, "_etl_seq": [bytes([n]) * 20 for n in range(50)]})
    long = pa.table({"id": [50], "name": ["short"], "big": [chance.randbytes(3000).hex()]})
    statements: list[Any] = []

    class Session:
        def execute(self, sql: str, binds: Any) -> list[Any]:
            statements.append(binds)
            return [binds[1:] for binds in statements] if sql.startswith("SELECT") else []

    from etl_snowflake.names import Names

    session: Any = Session()
    who = (session, Names("D", "L"), "p")
    rejected.keep(*who, [Rejected(ORDERS, rows, "one"), Rejected(ORDERS, long, "two")])
    found = [rejected._unpacked(*row[2:]) for row in statements]
    assert len(found) > 2
    assert pa.concat_tables([each.rows for each in found if each.code == "one"]).equals(rows)
    (last,) = [each.rows for each in found if each.code == "two"]
    assert last.to_pylist()[0]["id"] == 50


@pytest.fixture
def resting() -> Iterator[Callable[..., Any]]:
    """Send requests whose answers are told; give what was waited for."""
    waits: list[float] = []
    key: dict[str, Any] = {
        "account": "a-b",
        "user": "u",
        "database": "d",
        "warehouse": "w",
        "host": "breaker.test",
    }

    def send(*answers: httpx.Response, give_up: bool = False) -> list[float]:
        left = iter(answers)
        waits.clear()

        def wait(seconds: float) -> bool:
            waits.append(seconds)
            breaker("breaker.test:443")._until -= seconds
            return give_up

        config = SnowflakeConfig(private_key=Secret("x"), **key)
        rest.RestWriter(config, Place("d", "s", "t"), "c", wait)._repeated(lambda: next(left))
        return list(waits)

    yield send
    breaker("breaker.test:443").answered()


def test_who_is_asked_to_wait_makes_all_wait(resting: Callable[..., Any]) -> None:
    busy = httpx.Response(429, headers={"Retry-After": "30"})
    with pytest.raises(RetryableError) as caught:
        resting(busy, give_up=True)
    assert caught.value.retry_after == 30
    assert 0 < breaker("breaker.test:443").rest() <= 30
    assert resting(httpx.Response(200)), "another channel asks, though the service wanted rest"
    assert breaker("breaker.test:443").rest() == 0
    assert resting(httpx.Response(200)) == []


def test_a_service_that_only_fails_is_left_alone(resting: Callable[..., Any]) -> None:
    once, fine = httpx.Response(503), httpx.Response(200)
    assert len(resting(once, fine)) == 1
    service = breaker("breaker.test:443")
    service.failed(60, asked=False)
    service.failed(60, asked=False)
    assert service.rest() == 0
    service.failed(60, asked=False)
    with pytest.raises(RetryableError, match="left alone"):
        resting(fine, give_up=True)


def test_types_that_we_do_not_know_are_texts() -> None:
    assert described("GEOGRAPHY", None, None) == described("VECTOR", None, None) == pa.string()


class _Service:
    """A channel whose state is told by the test."""

    def __init__(self, committed: str | None = None, errors: int = 0) -> None:
        self.now = ChannelState(committed, errors)

    def open(self) -> ChannelState:
        return self.now

    def state(self) -> ChannelState:
        return self.now

    def append(self, lines: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        return


class _Told(Exception):
    errno, sqlstate = 904, "42000"

    def __init__(self, text: str, sfqid: str | None) -> None:
        super().__init__(text)
        self.sfqid = sfqid


def test_errors_are_not_told_by_words_of_a_statement() -> None:
    assert isinstance(translated(_Told("invalid peer certificate", None)), ConfigError)
    assert isinstance(translated(_Told("invalid identifier 'certificate'", "01")), SchemaError)
    assert isinstance(translated(RuntimeError("of the streaming client")), RetryableError)


def test_a_channel_that_cannot_be_opened_leaves_no_client() -> None:
    class Refused(_Service):
        closed = False

        def open(self) -> ChannelState:
            raise AuthError("no")

        def close(self) -> None:
            self.closed = True

    service = Refused()
    with pytest.raises(AuthError):
        _channel(service)
    assert service.closed


def _seq(number: int) -> str:
    return f"{number:040x}"


def _rows(*numbers: int) -> tuple[pa.Table, pa.Array]:
    return pa.table({"id": numbers}), pa.array([_seq(n) for n in numbers])


def _channel(service: Any) -> Channel:
    return Channel(service, "c", wait=lambda _: None, patience=0)


def test_a_count_of_errors_that_is_ahead_of_its_token() -> None:
    service = _Service()
    channel = _channel(service)
    marks = Outstanding(lambda *range: [_seq(n) for n in (1, 2, 4)])
    marks.sent(ORDERS, channel, *_rows(1, 2, 3, 4))
    service.now = ChannelState(_seq(2), 1)
    marks.poll()
    assert marks.found() == ([], {})
    service.now = ChannelState(_seq(4), 1)
    marks.poll()
    found, answers = marks.found()
    assert [(each.code, each.rows.column("id").to_pylist()) for each in found] == [(REJECTED, [3])]
    assert answers == {ORDERS: 1}
    assert marks.found() == ([], {})


def test_errors_are_answered_for_when_all_that_was_sent_before_has_come_again() -> None:
    service = _Service(_seq(4), 2)
    channel = _channel(service)
    marks = Outstanding(lambda *range: [], merged=lambda stream: _seq(1))
    marks.replayed(ORDERS, channel, *_rows(1, 2))
    marks.poll()
    found, answers = marks.found()
    assert [each.rows.column("id").to_pylist() for each in found] == [[2]], "1 was merged by a task"
    assert answers == {}
    marks.replayed(ORDERS, channel, *_rows(3, 4))
    marks.poll()
    found, answers = marks.found()
    assert [each.rows.num_rows for each in found] == [2]
    assert answers == {ORDERS: 2}
