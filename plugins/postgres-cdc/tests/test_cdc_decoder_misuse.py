"""What the compiled module is called with by mistake raises; it neither crashes nor takes a remainder."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest
from decoder_driver import BOTH, Kind
from decoder_layouts import LAYOUTS, SAMPLES
from wire_messages import copied_row, copy_header, encode, frame, wal

from etl_postgres_cdc import _wire
from etl_postgres_cdc.compiled import CompiledRows
from etl_postgres_cdc.events import Event
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import Begin, Commit, Insert

TEXT = Layout(("v",), (SAMPLES["text"].kind,), ())
CHANGES = b"".join(wal(encode(message)) for message in (Begin(1, 0, 1), Insert(1, ["a"]), Commit(1, 2, 0)))
WRONG: Any = "wrong"


class Pretender:
    """Says that it is Rows, and is not."""

    __class__ = _wire.Rows  # type: ignore[assignment]


PRETENDER: Any = Pretender()


def decoder() -> _wire.Decoder:
    return _wire.Decoder(1, 10, 1000)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: _wire.Decoder(1 << 32, 1, 1), OverflowError),
        (lambda: _wire.Decoder(-1, 1, 1), OverflowError),
        (lambda: _wire.Decoder(WRONG, 1, 1), TypeError),
        (lambda: _wire.Decoder(1, 0, 1), ValueError),
        (lambda: _wire.Decoder(1, 1, 0), ValueError),
        (lambda: _wire.Decoder(1, 1, 1 << 70), OverflowError),
        (lambda: decoder().__init__(1, 10, 1000), ValueError),  # type: ignore[misc]
        (lambda: _wire.Decoder.__new__(_wire.Decoder).run(), ValueError),
        (lambda: _wire.Decoder.__new__(_wire.Decoder).feed(b"x"), ValueError),
        (lambda: decoder().feed(WRONG), TypeError),
        (lambda: decoder().feed(None), TypeError),
        (lambda: decoder().route(1 << 32, None, 0, 0), OverflowError),
        (lambda: decoder().route(1, WRONG, 0, 0), TypeError),
        (lambda: decoder().route(1, PRETENDER, 0, 0), TypeError),
        (lambda: decoder().route(1, None, 1 << 64, 0), OverflowError),
        (lambda: decoder().route(1, None, 0, -1), OverflowError),
        (lambda: decoder().skip(1 << 64, 0), OverflowError),
        (lambda: decoder().skip(0, -1), OverflowError),
        (lambda: decoder().release(1, 0), ValueError),
        (lambda: decoder().release(0, 1), ValueError),
        (lambda: decoder().release(-1, 0), ValueError),
        (lambda: decoder().begin(1 << 64, 0, 1, b""), OverflowError),
        (lambda: decoder().begin(1, 1 << 63, 1, b""), OverflowError),
        (lambda: decoder().begin(1, 0, 1 << 32, b""), OverflowError),
        (lambda: decoder().begin(1, 0, 1, bytearray(4)), TypeError),
        (lambda: decoder().begin(1, 0, 1, b"abc"), ValueError),
        (lambda: decoder().commit(1, 0), ValueError),
        (lambda: decoder().pump(WRONG, 0, 0), TypeError),
        (lambda: decoder().pump(-1, 1, 0), OSError),
        (lambda: decoder().pump(1 << 40, 1, 0), OverflowError),
        (lambda: setattr(decoder(), "due", WRONG), TypeError),
        (lambda: setattr(decoder(), "lsn", 1), AttributeError),
        (lambda: _wire.Rows(b"\x10", b"\0", b"\0", ()), ValueError),
        (lambda: _wire.Rows(b"\x08", b"\x27", b"\0", ()), ValueError),
        (lambda: _wire.Rows(b"\x08", b"\x05", b"\x06", ()), ValueError),
        (lambda: _wire.Rows(b"\0", b"", b"\0", ()), ValueError),
        (lambda: _wire.Rows(b"\0", b"\0", b"\0", (1,)), ValueError),
        (lambda: _wire.Rows(b"\0", b"\0", b"\0", (-1,)), OverflowError),
        (lambda: _wire.Rows(b"\0", b"\0", b"\0", (1 << 80,)), OverflowError),
        (lambda: _wire.Rows(b"\0", b"\0", b"\0", (WRONG,)), TypeError),
        (lambda: _wire.Rows(b"\0", b"\0", b"\0", WRONG), TypeError),
        (lambda: CompiledRows(TEXT).__init__(TEXT), ValueError),  # type: ignore[misc]
        (lambda: _wire.Copier(WRONG, 1, 1, 1, 0, 1, 1), TypeError),
        (lambda: _wire.Copier(CompiledRows(TEXT), 1 << 32, 1, 1, 0, 1, 1), OverflowError),
        (lambda: _wire.Copier(CompiledRows(TEXT), 1, 1, 1, -1, 1, 1), ValueError),
        (lambda: _wire.Copier(CompiledRows(TEXT), 1, 1, 1, 0, 0, 1), ValueError),
        (lambda: _wire.Copier.__new__(_wire.Copier).run(), ValueError),
        (lambda: _wire.Copier.__new__(_wire.Copier).feed(b""), ValueError),
        (_wire.Buffer, TypeError),
    ],
)
def test_wrong_calls_raise(call: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call()


def test_rows_that_were_not_made_are_empty() -> None:
    rows = _wire.Rows.__new__(_wire.Rows)
    with pytest.raises(ValueError, match="key"):
        rows.__init__(b"", b"", b"", (0,))  # type: ignore[misc]
    assert (len(rows), rows.size, rows.take()[0]) == (0, 0, 0)
    rows.__init__(b"\0", b"\0", b"\0", (0,))  # type: ignore[misc]
    assert len(rows.take()[1]) == 1


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
def test_transactions_do_not_lie_in_one_another(kind: Kind) -> None:
    inner = kind.decoder(1, 10, 1000)
    inner.begin(1, 0, 1, b"")
    with pytest.raises(ValueError, match=r"."):
        inner.begin(1, 0, 1, b"")
    inner.feed(b"d\0")
    with pytest.raises(ValueError, match=r"."):
        inner.commit(1, 0)
    outer = kind.decoder(1, 10, 1000)
    outer.feed(wal(encode(Begin(1, 0, 1))))
    outer.run()
    with pytest.raises(ValueError, match=r"."):
        outer.begin(1, 0, 1, b"")


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
def test_no_more_is_released_than_was_gathered(kind: Kind) -> None:
    decoder, rows = kind.decoder(1, 10, 1000), kind.rows(TEXT)
    decoder.route(1, rows, 0, 0)
    decoder.feed(CHANGES)
    decoder.run()
    for count, size in ((2, 0), (1, decoder.size + 1), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="more than was gathered"):
            decoder.release(count, size)
    decoder.release(1, decoder.size)
    assert (decoder.rows, decoder.size) == (0, 0)


def test_times_that_are_no_times_are_long_or_none() -> None:
    inner = decoder()
    for due in (float("inf"), float("nan"), 1e300):
        inner.due = due
        inner.feed(CHANGES[: len(wal(encode(Begin(1, 0, 1))))] + wal(encode(Commit(1, 2, 0))))
        assert inner.run() is None, "never due"
    inner.due = 1e-3
    assert inner.due == pytest.approx(1e-3)
    here, there = socket.socketpair()
    with here, there:
        for timeout in (-1.0, float("-inf"), -1e300):
            assert inner.pump(here.fileno(), timeout, timeout)[0] == Event.IDLE
        there.sendall(frame(b"c", b"") * 3)
        for timeout in (float("inf"), float("nan"), 1e300):
            assert inner.pump(here.fileno(), timeout, timeout)[0] == Event.ENDED


def test_rows_are_either_copied_or_changes() -> None:
    rows = CompiledRows(TEXT)
    copier = _wire.Copier(rows, 1, 1, 1, 0, 10, 1000)
    row = frame(b"d", copy_header() + copied_row([b"a"]))
    copier.feed(row)
    assert copier.run() is None
    with pytest.raises(ValueError, match="another decoder"):
        decoder().route(1, rows, 0, 0)
    del copier
    other = decoder()
    other.route(1, rows, 0, 0)
    other.feed(CHANGES)
    with pytest.raises(ValueError, match="cannot be read"):
        other.run()


def test_no_copy_follows_changes() -> None:
    rows, first = CompiledRows(TEXT), decoder()
    first.route(1, rows, 0, 0)
    first.feed(CHANGES)
    first.run()
    del first
    copier = _wire.Copier(rows, 1, 1, 1, 0, 10, 1000)
    copier.feed(frame(b"d", copy_header() + copied_row([b"a"])))
    with pytest.raises(ValueError, match="cannot be read"):
        copier.run()


@contextmanager
def pumping(target: _wire.Decoder | _wire.Copier) -> Iterator[socket.socket]:
    """Have another thread inside `pump`; it ends when the server's side, which is given, says so."""
    here, there = socket.socketpair()
    with here, there:
        thread = threading.Thread(target=target.pump, args=(here.fileno(), 30, 0))
        thread.start()
        try:
            _wait_until_inside(target)
            yield there
        finally:
            there.sendall(frame(b"E", b"\0"))
            thread.join(30)
            assert not thread.is_alive()


def _wait_until_inside(target: _wire.Decoder | _wire.Copier) -> None:
    for _ in range(1_000_000):
        try:
            target.feed(b"")
        except RuntimeError:
            return
    pytest.fail("no thread went inside")


def test_calls_while_another_thread_is_inside_raise() -> None:
    inner, rows = decoder(), CompiledRows(TEXT)
    inner.route(1, rows, 0, 0)
    calls: list[Callable[[], object]] = [
        inner.run,
        lambda: inner.pump(0, 1, 0),
        lambda: inner.feed(b"x"),
        lambda: inner.route(2, None, 0, 0),
        inner.forget,
        lambda: inner.skip(1, 1),
        lambda: inner.release(0, 0),
        lambda: inner.begin(1, 0, 1, b""),
        lambda: inner.commit(1, 0),
        inner.ended,
        lambda: setattr(inner, "due", 5),
        rows.take,
        rows.finish,
    ]
    with pumping(inner) as server:
        server.sendall(CHANGES)
        for call in calls:
            with pytest.raises(RuntimeError, match="one thread"):
                call()
        assert isinstance(inner.rows, int)
    inner.forget()
    assert rows.finish().num_rows == 1


def test_a_copy_while_another_thread_is_inside() -> None:
    rows = CompiledRows(TEXT)
    copier = _wire.Copier(rows, 1, 1, 1, 0, 10, 1000)
    with pumping(copier):
        for call in (copier.run, rows.take, lambda: copier.pump(0, 1, 0), lambda: copier.feed(b"")):
            with pytest.raises(RuntimeError, match="one thread"):
                call()


def test_what_was_handed_over_outlives_all() -> None:
    inner, rows = decoder(), CompiledRows(LAYOUTS["pair"])
    inner.route(1, rows, 0, 0)
    inner.feed(wal(encode(Begin(1, 0, 1))) + wal(encode(Insert(1, ["a" * 100, "7", "t"]))))
    inner.run()
    batch = rows.finish()
    del inner, rows
    taken = [pa.array(["x" * 100] * 100) for _ in range(100)]
    batch.validate(full=True)
    assert (batch.column(0)[0].as_py(), len(taken)) == ("a" * 100, 100)
    with pytest.raises((TypeError, ValueError, pa.ArrowInvalid)):
        struct.pack_into(">B", batch.column(0).buffers()[2], 0, 1)
