from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pytest

from etl_core import Position, Rejected, RetryableError, StateError, Stream
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.encoding import Binary, Lines
from etl_snowflake.marks import REJECTED, Outstanding
from etl_snowflake.streaming import Channel, ChannelState, Place, writer

ORDERS, ITEMS = Stream("s", "orders"), Stream("s", "items")


def seq(number: int) -> str:
    return f"{number:040x}"


def position(n: int) -> Position:
    return Position(1, n, n)


class Writer:
    """A channel whose commits are told by the test."""

    binary: Binary | None = None

    def __init__(self, committed: str | None = None, errors: int = 0) -> None:
        self.now = ChannelState(committed, errors)
        self.error: Exception | None = None

    def open(self) -> ChannelState:
        return self.now

    def append(self, lines: Lines) -> None:
        raise NotImplementedError

    def state(self) -> ChannelState:
        if self.error is not None:
            raise self.error
        return self.now

    def drop(self) -> None:
        return

    def close(self) -> None:
        return


class Table:
    """What is in the tables, for those that look."""

    def __init__(self) -> None:
        self.lost: set[str] = set()
        self.asked: list[tuple[Stream, str, str]] = []

    def find(self, stream: Stream, first: str, last: str) -> Sequence[str]:
        self.asked.append((stream, first, last))
        return [
            seq(number) for number in range(int(first, 16), int(last, 16) + 1) if seq(number) not in self.lost
        ]


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def marks(table: Table) -> Outstanding:
    return Outstanding(table.find, patience=60)


def channel(writer: Writer) -> Channel:
    return Channel(writer, "c", wait=lambda _: False, patience=0)


def rows(first: int, last: int) -> tuple[pa.Table, pa.ChunkedArray]:
    numbers = range(first, last + 1)
    return pa.table({"n": numbers}), pa.chunked_array([[seq(number) for number in numbers]])


def told(rejected: Sequence[Rejected]) -> list[tuple[Stream, list[int], str]]:
    return [(each.stream, each.rows["n"].to_pylist(), each.code) for each in rejected]


def test_a_mark_is_durable_when_every_channel_has_reached_it(marks: Outstanding, table: Table) -> None:
    orders, items = Writer(), Writer()
    one, two = channel(orders), channel(items)
    marks.sent(ORDERS, one, *rows(1, 5))
    marks.sent(ITEMS, two, *rows(1, 2))
    marks.mark(position(1))
    marks.sent(ORDERS, one, *rows(6, 9))
    marks.mark(position(2))
    kept = marks.bytes
    assert marks.durable() is None
    orders.now = ChannelState(seq(7), 0)
    marks.poll()
    assert marks.durable() is None
    assert 0 < marks.bytes < kept
    items.now = ChannelState(seq(2), 0)
    marks.poll()
    assert marks.durable() == (position(1), [])
    assert marks.durable() is None
    orders.now = ChannelState(seq(9), 0)
    marks.poll()
    assert marks.durable() == (position(2), [])
    assert (marks.bytes, marks.waiting, table.asked) == (0, False, [])


def test_the_last_of_several_marks_is_told(marks: Outstanding) -> None:
    orders = Writer()
    one = channel(orders)
    for number in range(1, 4):
        marks.sent(ORDERS, one, *rows(number, number))
        marks.mark(position(number))
    orders.now = ChannelState(seq(2), 0)
    marks.poll()
    assert marks.durable() == (position(2), [])


def test_a_mark_without_rows_is_durable_after_those_before_it(marks: Outstanding) -> None:
    marks.mark(position(1))
    assert marks.durable() == (position(1), [])
    orders = Writer()
    marks.sent(ORDERS, channel(orders), *rows(1, 1))
    marks.mark(position(2))
    marks.mark(position(3))
    assert marks.durable() is None
    orders.now = ChannelState(seq(1), 0)
    marks.poll()
    assert marks.durable() == (position(3), [])


def test_rows_refused_without_a_word_are_found(marks: Outstanding, table: Table) -> None:
    orders = Writer()
    one = channel(orders)
    marks.sent(ORDERS, one, *rows(1, 5))
    marks.mark(position(1))
    marks.sent(ORDERS, one, *rows(6, 9))
    marks.mark(position(2))
    table.lost = {seq(2), seq(4), seq(8)}
    orders.now = ChannelState(seq(6), 2)
    marks.poll()
    found = marks.durable()
    assert found is not None
    assert (found[0], told(found[1])) == (position(1), [(ORDERS, [2, 4], REJECTED)])
    assert table.asked == [(ORDERS, seq(1), seq(5)), (ORDERS, seq(6), seq(6))]
    orders.now = ChannelState(seq(9), 3)
    marks.poll()
    found = marks.durable()
    assert found is not None
    assert (found[0], told(found[1])) == (position(2), [(ORDERS, [8], REJECTED)])


def test_errors_before_the_channel_was_opened_are_not_these(marks: Outstanding, table: Table) -> None:
    orders = Writer(seq(3), 7)
    one = channel(orders)
    marks.sent(ORDERS, one, *rows(4, 5))
    orders.now = ChannelState(seq(5), 7)
    assert marks.settle(lambda _: True) == []
    assert table.asked == []


def test_rows_that_come_again_are_looked_for_where_some_were_refused(
    marks: Outstanding, table: Table
) -> None:
    table.lost = {seq(2)}
    orders, items = Writer(seq(3), 1), Writer(seq(3), 0)
    marks.replayed(ORDERS, channel(orders), *rows(1, 3))
    marks.replayed(ITEMS, channel(items), *rows(1, 3))
    marks.mark(position(1))
    assert marks.durable() is None
    marks.poll()
    found = marks.durable()
    assert found is not None
    assert told(found[1]) == [(ORDERS, [2], REJECTED)]
    assert [stream for stream, _, _ in table.asked] == [ORDERS]


def test_settling_waits_for_what_is_not_marked_too(marks: Outstanding) -> None:
    orders = Writer()
    marks.sent(ORDERS, channel(orders), *rows(1, 2))

    def commit(seconds: float) -> bool:
        orders.now = ChannelState(seq(2), 0)
        return False

    assert marks.settle(commit) == []
    marks.mark(position(1))
    assert marks.durable() == (position(1), [])


def test_settling_is_given_up(marks: Outstanding) -> None:
    marks.sent(ORDERS, channel(Writer()), *rows(1, 2))
    with pytest.raises(RetryableError, match="gave up"):
        marks.settle(lambda _: True)


def test_commits_that_never_come(table: Table) -> None:
    marks = Outstanding(table.find, patience=0.0)
    marks.sent(ORDERS, channel(Writer()), *rows(1, 2))
    time.sleep(0.001)
    with pytest.raises(RetryableError, match="not committed in time"):
        marks.settle(lambda _: False)


def test_what_goes_wrong_is_raised_where_it_can_be(marks: Outstanding) -> None:
    orders = Writer()
    marks.sent(ORDERS, channel(orders), *rows(1, 2))
    orders.error = StateError("taken over")
    marks.poll()
    with pytest.raises(StateError, match="taken over"):
        marks.durable()
    marks.clear()
    assert marks.durable() is None
    assert not marks.waiting


def test_asking_beside_sending(marks: Outstanding, table: Table) -> None:
    """A thread asks all the time, as a run's does, while groups are sent and commits come in pieces."""
    orders = Writer()
    one = channel(orders)
    table.lost = {seq(number) for number in range(1, 2000, 97)}
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            marks.poll()

    thread = threading.Thread(target=ask)
    thread.start()
    found: list[tuple[Position, Sequence[Rejected]]] = []
    for group in range(400):
        marks.sent(ORDERS, one, *rows(group * 5 + 1, group * 5 + 5))
        marks.mark(position(group))
        reached = seq(group * 5 + group % 5)
        orders.now = ChannelState(reached, sum(lost <= reached for lost in table.lost))
        found += filter(None, [marks.durable()])
    orders.now = ChannelState(seq(2000), len(table.lost))
    rejected = list(marks.settle(lambda _: False))
    over.set()
    thread.join()
    found += filter(None, [marks.durable()])
    rejected += [each for _, refused in found for each in refused]
    assert {seq(number) for _, numbers, _ in told(rejected) for number in numbers} == table.lost
    assert found[-1][0] == position(399)
    assert [each[0].n for each in found] == sorted({each[0].n for each in found})
    assert marks.bytes == 0


def test_no_rows_are_nothing_to_wait_for(marks: Outstanding) -> None:
    marks.sent(ORDERS, channel(Writer()), *rows(1, 0))
    assert marks.settle(lambda _: True) == []


@pytest.fixture
def opened(session: Session, config: SnowflakeConfig, schema: str) -> Iterator[Callable[[], Channel]]:
    session.execute(f'CREATE TABLE "{schema}"."LAND" ("n" INT, "_ETL_SEQ" VARCHAR(40))')
    made: list[Channel] = []

    def one() -> Channel:
        found = writer(config, Place(config.database, schema, "LAND"), "c", lambda _: False)
        made.append(Channel(found, "c", wait=lambda _: False, patience=0))
        return made[-1]

    yield one
    for each in made:
        each.close()


def test_a_refused_row_is_found_in_the_account(
    session: Session, schema: str, opened: Callable[[], Channel], emulator: Emulator
) -> None:
    def find(stream: Stream, first: str, last: str) -> list[str]:
        seqs = session.execute(
            f'SELECT "_ETL_SEQ" FROM "{schema}"."LAND" WHERE "_ETL_SEQ" BETWEEN ? AND ?', (first, last)
        )
        return [row[0] for row in seqs]

    def send(marks: Outstanding, channel: Channel, first: int, last: int) -> None:
        table, seqs = rows(first, last)
        channel.append(table.append_column("_ETL_SEQ", seqs), seqs)
        marks.sent(ORDERS, channel, table, seqs)

    def pause(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    emulator.switch(reject=[{"table": "LAND", "column": "n", "matching": "^[37]$"}])
    marks, one = Outstanding(find), opened()
    send(marks, one, 1, 5)
    marks.mark(position(1))
    assert told(marks.settle(pause)) == [(ORDERS, [3], REJECTED)]
    one.close()
    again = opened()
    assert again.opened == ChannelState(seq(5), 1)
    marks = Outstanding(find)
    marks.replayed(ORDERS, again, *rows(1, 5))
    send(marks, again, 6, 8)
    marks.mark(position(2))
    assert [numbers for _, numbers, _ in told(marks.settle(pause))] == [[3], [7]]
