"""Decoders that read a socket themselves: pieces of any size, ends, errors, waits, more than one can send."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest
from decoder_driver import BOTH, COMPILED, Kind
from decoder_layouts import SAMPLES
from wire_messages import copied_row, copy_header, encode, frame, keepalive, notice, wal

from etl_postgres_cdc import _wire
from etl_postgres_cdc.compiled import CompiledRows
from etl_postgres_cdc.events import Event, Happening
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import Begin, Commit, Insert

Pair = tuple[socket.socket, socket.socket]
LAYOUT = Layout(("v",), (SAMPLES["text"].kind,), ())
LONG = 30.0


def unix() -> Pair:
    return socket.socketpair()


def tcp() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    return here, there


@pytest.fixture(params=[unix, tcp], ids=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Our end and the server's."""
    here, there = request.param()
    with here, there:
        yield here, there


kinds = pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)


class Writer:
    """Sends on a thread of its own, in pieces."""

    def __init__(self, to: socket.socket, pieces: Iterator[bytes]) -> None:
        self._to, self._pieces = to, pieces
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        for piece in self._pieces:
            self._to.sendall(piece)
        self._to.shutdown(socket.SHUT_WR)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *unused: object) -> None:
        self._thread.join(LONG)
        assert not self._thread.is_alive()


def changes(count: int) -> bytes:
    rows = b"".join(wal(encode(Insert(1, [f"row {number}"]))) for number in range(count))
    return wal(encode(Begin(5, 0, 1))) + rows + notice() + wal(encode(Commit(5, 6, 0)))


def choppy(data: bytes, slow: bool) -> Iterator[bytes]:
    random = Random(7)
    at = 0
    while at < len(data):
        size = random.choice([1, 2, 5, 100, 1000])
        yield data[at : at + size]
        at += size
        if slow and random.random() < 0.05:
            time.sleep(0.001)  # so that the reader finds nothing and waits


def decoder_of(kind: Kind, max_rows: int = 1 << 20) -> tuple[Any, Any]:
    decoder, rows = kind.decoder(1, max_rows, 1 << 30), kind.rows(LAYOUT)
    decoder.route(1, rows, 0, 0)
    return decoder, rows


def until(pump: Callable[[], Happening], wanted: Event) -> Happening:
    """Go on until an event, over IDLE ones."""
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        happening = pump()
        if happening[0] == wanted:
            return happening
        assert happening[0] == Event.IDLE
    pytest.fail("nothing came")


@kinds
@pytest.mark.parametrize("nap", [0.0, 0.0005])
def test_a_server_that_is_slow_and_choppy(kind: Kind, pair: Pair, nap: float) -> None:
    here, there = pair
    decoder, rows = decoder_of(kind)
    with Writer(there, choppy(changes(500) + keepalive(77, answer=True), slow=True)):
        keep = until(lambda: decoder.pump(here.fileno(), 0.05, nap), Event.KEEPALIVE)
        with pytest.raises(EOFError):
            decoder.pump(here.fileno(), LONG, nap)
    assert keep == (Event.KEEPALIVE, 77, None, True)
    assert rows.finish().column(0).to_pylist() == [f"row {number}" for number in range(500)]


@kinds
def test_more_than_a_reader_takes_at_once(kind: Kind, pair: Pair) -> None:
    """The compiled one naps over TCP while this comes."""
    here, there = pair
    count = 100_000 if kind is COMPILED else 5_000
    decoder, rows = decoder_of(kind, 1000)
    found: list[str] = []
    with Writer(there, iter([changes(count), frame(b"c", b"")])):
        event = Event.FULL
        while event != Event.ENDED:
            event = Event(decoder.pump(here.fileno(), LONG, 0.0005)[0])
            if event in (Event.FULL, Event.COMMITTED):
                decoder.release(len(rows), rows.size)
                found += rows.finish().column(0).to_pylist()
    found += rows.finish().column(0).to_pylist()
    assert found == [f"row {number}" for number in range(count)]


@kinds
def test_the_time_is_over(kind: Kind, pair: Pair) -> None:
    here, there = pair
    decoder, _ = decoder_of(kind)
    assert decoder.pump(here.fileno(), 0.0, 0.0) == (Event.IDLE, 0, None, False)
    assert decoder.pump(here.fileno(), 0.02, 0.0) == (Event.IDLE, 0, None, False)
    there.sendall(keepalive(1)[:10])
    assert decoder.pump(here.fileno(), 0.2, 0.0) == (Event.IDLE, 0, None, True), "part of a message came"
    assert decoder.pump(here.fileno(), 0.02, 0.0) == (Event.IDLE, 0, None, False)
    there.sendall(keepalive(1)[10:])
    assert decoder.pump(here.fileno(), LONG, 0.0) == (Event.KEEPALIVE, 1, None, False)


@kinds
def test_a_commit_that_is_due_ends_the_wait(kind: Kind, pair: Pair) -> None:
    here, there = pair
    decoder, rows = decoder_of(kind)
    decoder.due = time.monotonic() - 1
    there.sendall(changes(3))
    assert decoder.pump(here.fileno(), LONG, 0.0)[0] == Event.COMMITTED
    assert len(rows) == 3
    assert (decoder.ended(), decoder.ended()) == (6, 0)


@kinds
def test_an_error_and_the_end(kind: Kind, pair: Pair) -> None:
    here, there = pair
    decoder, rows = decoder_of(kind)
    there.sendall(changes(2) + frame(b"E", b"SFATAL\0C57P01\0\0") + frame(b"C", b"COPY 0\0"))
    there.close()
    assert decoder.pump(here.fileno(), LONG, 0.0) == (Event.FAILED, 0, b"SFATAL\0C57P01\0\0", False)
    assert decoder.pump(here.fileno(), LONG, 0.0) == (Event.ENDED, 0, None, False)
    for _ in range(2):
        with pytest.raises(EOFError):
            decoder.pump(here.fileno(), LONG, 0.0)
    assert len(rows) == 2


@kinds
def test_a_connection_that_is_cut(kind: Kind) -> None:
    here, there = tcp()
    decoder, _ = decoder_of(kind)
    with here:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        there.close()  # a reset, no end
        with pytest.raises(ConnectionResetError):
            decoder.pump(here.fileno(), LONG, 0.0)


@kinds
def test_a_descriptor_above_1023(kind: Kind) -> None:
    """As processes with many connections have; `select` would refuse it."""
    here, there = unix()
    with here, there:
        high = os.dup2(here.fileno(), 1500)
        decoder, _ = decoder_of(kind)
        there.sendall(keepalive(3))
        try:
            assert decoder.pump(high, LONG, 0.0)[:2] == (Event.KEEPALIVE, 3)
            assert decoder.pump(high, 0.01, 0.0)[0] == Event.IDLE
        finally:
            os.close(high)


@kinds
def test_what_the_socket_has_is_not_all_that_there_is(kind: Kind, pair: Pair) -> None:
    """What was fed comes first, what is left over stays."""
    here, there = pair
    decoder, rows = decoder_of(kind)
    data = changes(10)
    decoder.feed(data[:100])
    there.sendall(data[100:] + keepalive(9))
    assert decoder.pump(here.fileno(), LONG, 0.0)[:2] == (Event.KEEPALIVE, 9)
    assert len(rows) == 10


@pytest.mark.parametrize("nap", [0.0, 0.0005])
def test_a_copy(pair: Pair, nap: float) -> None:
    here, there = pair
    rows, count = CompiledRows(LAYOUT), 50_000
    copier = _wire.Copier(rows, 1, 2, 10, 5, 10_000, 1 << 30)
    data = b"".join(frame(b"d", copied_row([f"row {number}".encode()])) for number in range(count))
    end = frame(b"d", b"\xff\xff") + frame(b"c", b"") + frame(b"C", b"COPY\0") + frame(b"Z", b"I")
    found: list[str] = []
    with Writer(there, iter([frame(b"d", copy_header()), data[:1001], data[1001:], end])):
        event = int(Event.IDLE)
        while event != Event.ENDED:
            event, *_ = copier.pump(here.fileno(), LONG, nap)
            if len(rows):
                found += rows.finish().column(0).to_pylist()
        with pytest.raises(EOFError):
            copier.pump(here.fileno(), LONG, nap)
    assert found == [f"row {number}" for number in range(5, count)]


def test_a_copy_that_fails_or_waits(pair: Pair) -> None:
    here, there = pair
    copier = _wire.Copier(CompiledRows(LAYOUT), 1, 2, 10, 5, 10_000, 1 << 30)
    assert copier.pump(here.fileno(), 0.01, 0.0)[0] == Event.IDLE
    there.sendall(frame(b"E", b"C57014\0\0"))
    assert copier.pump(here.fileno(), LONG, 0.0) == (Event.FAILED, 0, b"C57014\0\0", False)
    there.sendall(b"?" + bytes(4))
    with pytest.raises(ValueError, match="cannot be read"):
        copier.pump(here.fileno(), LONG, 0.0)
    with closing(there):
        pass
