"""Cut, changed and invented input: both decoders refuse it or agree; nothing crashes or fills the memory."""

from __future__ import annotations

import struct
from random import Random

import pytest
from decoder_driver import BOTH, Driver, Kind, Plan, resident, same_batches, transcript
from decoder_layouts import LAYOUTS, SAMPLES
from decoder_streams import PLANS, Stream, chunks_of, stream, streams
from hypothesis import event, given, settings
from hypothesis import strategies as st
from wire_messages import copied_row, copy_header, encode, frame, wal

from etl_core import FatalError, SchemaError
from etl_postgres_cdc import _wire
from etl_postgres_cdc.compiled import CompiledRows
from etl_postgres_cdc.events import Event
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import Begin, Delete, Insert, Relation, Update

ERRORS = {"refused", "misfit"}
MESSAGES_LETTERS = b"BCIUDTRYOMSEcAtnuKON\x00\xff"


def error_of(driver: Driver) -> str | None:
    """How it ended, if with an error."""
    last = driver.seen[-1][0] if driver.seen else None
    return last if last in ERRORS else None


def assert_alike(plan: Plan, chunks: list[bytes]) -> None:
    """Both took the same, or both failed, not always at the same place.

    Of text that PostgreSQL never prints the compiled one takes less: `1 2` is hexadecimal in Python.
    """
    found, expected = (transcript(kind, plan, chunks) for kind in BOTH)
    event(str(error_of(expected)))
    if error_of(found) != "misfit":
        assert bool(error_of(found)) == bool(error_of(expected))
    if not error_of(found):
        assert found.seen == expected.seen
        assert same_batches(found.batches, expected.batches)


def corrupted(random: Random, data: bytes) -> bytes:
    """Change a stream: a byte, a bit, a letter, a length, something left out or put in."""
    changed = bytearray(data)
    at = random.randrange(len(changed))
    match random.randrange(7):
        case 0:
            changed[at] = random.randrange(256)
        case 1:
            changed[at] ^= 1 << random.randrange(8)
        case 2:
            changed[at] = random.choice(MESSAGES_LETTERS)
        case 3:
            length = random.choice([0, 3, 4, 5, 100, 2**16, 2**30, 2**31, 2**32 - 1])
            changed[at : at + 4] = struct.pack(">I", length)[: len(changed) - at]
        case 4:
            del changed[at : at + random.randrange(1, 20)]
        case 5:
            changed[at:at] = random.randbytes(random.randrange(1, 20))
        case 6:
            del changed[at:]
    return bytes(changed)


def corrupted_frame(random: Random, data: Stream) -> bytes:
    """Change one message and give it the length that it has now: what is wrong lies deeper."""
    frames = list(data.frames)
    at = random.randrange(len(frames))
    kind, body = frames[at][:1], frames[at][5:]
    frames[at] = frame(kind, body[:25] + corrupted(random, body[25:]) if len(body) > 25 else body)
    return b"".join(frames)


SEEDS = st.integers(0, 2**32)


@settings(max_examples=300)
@given(streams(), PLANS, SEEDS, st.sampled_from([0, 50]))
def test_corrupt_streams(stream: Stream, plan: Plan, seed: int, chunk: int) -> None:
    assert_alike(plan, chunks_of(corrupted(Random(seed), stream.data or b"\0"), chunk))


@settings(max_examples=300)
@given(streams(), PLANS, SEEDS)
def test_corrupt_messages(stream: Stream, plan: Plan, seed: int) -> None:
    if stream.frames:
        assert_alike(plan, [corrupted_frame(Random(seed), stream)])


@given(st.binary(max_size=200), st.booleans())
def test_random_bytes(data: bytes, framed: bool) -> None:
    assert_alike(Plan(), [frame(b"d", b"w" + bytes(24) + data) if framed else data])


@given(streams(), st.data())
def test_a_cut_stream_waits_for_more(stream: Stream, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(stream.data)))
    assert_alike(Plan(), [stream.data[:cut]])


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "data",
    [
        b"d\0\0\0\3",  # no room for its own length
        b"d\x7f\xff\xff\xff",  # more than any message has
        b"Q\0\0\0\4",  # nothing that a server sends
        frame(b"d", b""),
        frame(b"d", b"k" + bytes(16)),
        frame(b"d", b"w" + bytes(24)),
        frame(b"d", b"x" + bytes(30)),
        wal(b"I\0\0\0\1N\0\0"),  # outside of a transaction
        wal(b"T\0\0\0\0\0"),
        wal(b"C" + bytes(25)),
        wal(b"B" + bytes(19)),
        wal(b"B" + bytes(20)) * 2,
        wal(b"B" + bytes(20)) + wal(b"I\0\0"),
        wal(b"R\0\0"),
        wal(b"B" + bytes(20)) + wal(b"C" + bytes(24)),
    ],
)
def test_what_no_server_sends(kind: Kind, data: bytes) -> None:
    decoder = kind.decoder(1, 10, 1000)
    decoder.feed(data)
    for _ in range(2):  # it stays refused
        with pytest.raises(ValueError, match=r"."):
            decoder.run()


TEXT = SAMPLES["text"].kind
BEGIN = wal(encode(Begin(1, 0, 1)))


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "change",
    [
        encode(Insert(1, ["a"])),  # other widths
        encode(Insert(1, ["a", "b", "c"])),
        encode(Update(1, ["a"], True, ["a", "b"])),
        encode(Update(1, ["a", "b"], True, ["a"])),
        encode(Delete(1, ["a"], False)),
        encode(Insert(1, ["a", "b"]))[:-1],
        encode(Insert(1, ["a", "b"])) + b"x",
        encode(Update(1, ["a", "b"], True, ["a", "b"])) + b"x",
        encode(Delete(1, ["a", "b"], False)) + b"x",
        encode(Insert(1, ["a", "b"])).replace(b"N", b"K"),
        encode(Delete(1, ["a", "b"], True)).replace(b"O", b"N"),
        b"U\0\0\0\1",
        b"U\0\0\0\1K\0\0",
        b"I\0\0\0\1N\0\2tt",
        b"I\0\0\0\1N\0\2n",
        b"I\0\0\0\1N\0\2nx",
        b"I\0\0\0\1N\0\2nt\xff\xff\xff\xff",
        b"I\0\0\0\1N\0\2nt\0\0\0\1\xff",  # no UTF-8
        b"U\0\0\0\1O\0\2nt\0\0\0\1\xffN\0\2nn",
        b"D\0\0\0\1O\0\2nt\0\0\0\1\xff",
        b"I\0\0\0\1N\0\2ut\0\0\0\1\xff",
    ],
)
def test_rows_that_no_server_sends(kind: Kind, change: bytes) -> None:
    decoder, rows = kind.decoder(1, 10, 1000), kind.rows(Layout(("a", "b"), (TEXT, TEXT), (0,)))
    decoder.route(1, rows, 0, 0)
    decoder.feed(BEGIN + wal(change) + wal(encode(Insert(1, ["c", "d"]))))
    with pytest.raises((ValueError, FatalError)):
        decoder.run()
    with pytest.raises((ValueError, FatalError)):
        decoder.run()


def test_rows_of_which_one_was_taken_by_half_are_not_handed_out() -> None:
    decoder, rows = _wire.Decoder(1, 10, 1000), CompiledRows(Layout(("a", "b"), (TEXT, TEXT), ()))
    decoder.route(1, rows, 0, 0)
    decoder.feed(BEGIN + wal(b"I\0\0\0\1N\0\2t\0\0\0\1at\0\0\0\1\xff"))
    with pytest.raises(ValueError, match="cannot be read"):
        decoder.run()
    again = _wire.Decoder(1, 10, 1000)
    del decoder
    with pytest.raises(ValueError, match="cannot be read"):
        rows.finish()
    again.route(1, rows, 0, 0)
    again.feed(BEGIN + wal(encode(Insert(1, ["c", "d"]))))
    with pytest.raises(ValueError, match="cannot be read"):
        again.run()


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
def test_a_length_alone_takes_no_memory(kind: Kind) -> None:
    gigabyte = struct.pack(">I", 1 << 30)
    before = resident()
    waiting = kind.decoder(1, 10, 1000)
    waiting.feed(b"d" + gigabyte)
    assert waiting.run() is None
    decoder = kind.decoder(1, 10, 1000)
    decoder.route(1, kind.rows(LAYOUTS["pair"]), 0, 0)
    decoder.feed(BEGIN + wal(b"I\0\0\0\1N\0\3t" + gigabyte + b"x"))
    with pytest.raises(ValueError, match=r"."):
        decoder.run()
    assert resident() - before < 16 << 20


# --- a binary copy ----------------------------------------------------------------------------------------


def copy(data: bytes, chunk: int = 0) -> int | None:
    """Take a copy of the table `pair`; return how many rows it had, None if it has not all come."""
    rows = CompiledRows(LAYOUTS["pair"])
    copier = _wire.Copier(rows, 1, 2, 3, 0, 1 << 20, 1 << 30)
    for piece in chunks_of(data, chunk):
        copier.feed(piece)
        while happening := copier.run():
            if happening[0] in (Event.ENDED, Event.FAILED):
                batch = rows.finish()
                batch.validate(full=True)
                return int(batch.num_rows)
    return None


def whole_copy(random: Random) -> bytes:
    values = [
        [random.choice([None, b"a", b""]), random.choice([None, b"\0\0\0\1"]), random.choice([None, b"\1"])]
        for _ in range(random.randrange(4))
    ]
    rows = b"".join(frame(b"d", copied_row(row)) for row in values)
    end = frame(b"d", b"\xff\xff") + frame(b"c", b"") + frame(b"C", b"COPY 1\0") + frame(b"Z", b"I")
    return frame(b"H", b"\1\0\3\0\1\0\1\0\1") + frame(b"d", copy_header()) + rows + end


@settings(max_examples=300)
@given(SEEDS, st.sampled_from([0, 1, 10]))
def test_corrupt_copies(seed: int, chunk: int) -> None:
    random = Random(seed)
    data = whole_copy(random)
    assert copy(data, chunk) is not None
    try:
        copy(corrupted(random, data), chunk)
    except (ValueError, SchemaError) as error:
        event(type(error).__name__)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"PGCOPY",
        copy_header()[:-1],
        copy_header(b"x" * 5)[:-1],
        copy_header(flags=1 << 16),  # with oids, as before PostgreSQL 12
        b"PGCOPY\n\xff\r\n\1" + bytes(8),
        copy_header() + b"\0",
        copy_header() + copied_row([b"a", None]),
        copy_header() + copied_row([b"a", None, None, None]),
        copy_header() + copied_row([b"a", None, None])[:-1],
        copy_header() + b"\0\3\x40\0\0\0",
        copy_header() + copied_row([b"\xff", None, None]),
        copy_header() + b"\xff\xff\0",
    ],
)
def test_copies_that_no_server_sends(body: bytes) -> None:
    rows = CompiledRows(LAYOUTS["pair"])
    copier = _wire.Copier(rows, 1, 2, 3, 0, 10, 1000)
    copier.feed(frame(b"d", body))
    for _ in range(2):
        with pytest.raises(ValueError, match="cannot be read"):
            copier.run()


def test_a_copy_that_ends_before_its_end() -> None:
    for data in (frame(b"Z", b"I"), frame(b"d", copy_header()) + frame(b"Z", b"I"), frame(b"Q", b"")):
        with pytest.raises(ValueError, match="cannot be read"):
            copy(data)


def test_a_value_of_another_size_does_not_fit() -> None:
    for row in ([None, b"\0\0\0", None], [None, None, b"\0\0"]):
        data = frame(b"d", copy_header() + copied_row(row)) + frame(b"d", b"\xff\xff") + frame(b"Z", b"I")
        with pytest.raises(SchemaError):
            copy(data)


def test_seeds_of_streams_stay_what_they_are() -> None:
    """The corpus of the fuzzer is made of them."""
    assert stream(1, 5) == stream(1, 5)
    assert Relation(1, "public", "pair", "d", ()).name in LAYOUTS
