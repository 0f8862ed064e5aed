"""The C value parsers give what the converters of etl_pglib give, or refuse."""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pytest
from cdc_values import SOURCES, Parsers, build
from hypothesis import example, given
from hypothesis import strategies as st

from etl_pglib import numeric, temporal, text
from etl_pglib.testing import Database
from etl_pglib.text import Values

EPOCH_DAYS = 10_957
DAY = 86_400_000_000
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
DIGITS = st.integers(0, 38).flatmap(lambda n: st.integers(-(10**n), 10**n))
#: What PostgreSQL has: 4713 BC to 5874897 and to 294276, in days since 1970.
DAYS = st.integers(-2_440_588, 2_145_042_540) | st.integers(-800_000, 800_000)
STAMP_DAYS = st.integers(-2_440_588, 106_762_000) | st.integers(-800_000, 800_000)
MICROS = st.integers(0, DAY - 1) | st.integers(0, 86_399).map(lambda seconds: seconds * 1_000_000)
ZONES = st.sampled_from(["+00", "+05:30", "-08", "+00:44:30", "-15:59:59", "+14"])
INFINITIES = st.sampled_from(["infinity", "-infinity"])


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> Parsers:
    return Parsers(build(tmp_path_factory.mktemp("values")))


def oracle(convert: Callable[[Values], pa.Array], value: str, storage: pa.DataType | None = None) -> Any:
    """What the Python converter makes of one value; None where it refuses."""
    try:
        array = convert([value])
    except (ValueError, OverflowError):
        return None
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    return (array.cast(storage) if storage else array)[0].as_py()


def cast(value: str, type: pa.DataType) -> Any:
    return oracle(lambda values: numeric.cast(values, type), value)


def unscaled(value: str, precision: int, scale: int) -> int | None:
    found = cast(value, pa.decimal128(precision, scale))
    # Arrow's cast wraps where the scale takes a number beyond 128 bits (35 with 37 places): no server does.
    # Compared without the context of Decimal, which rounds.
    if found is None or found.compare(Decimal(value), Context(prec=200)):
        return None
    return int(f"{found:f}".replace(".", ""))


def same(found: float | None, expected: float | None) -> bool:
    """Also of NaN, and of zeros with their signs."""
    if found is None or expected is None:
        return found is expected
    return struct.pack("d", found) == struct.pack("d", expected) or (
        math.isnan(found) and math.isnan(expected)
    )


def civil(days: int) -> tuple[str, str]:
    """A day as PostgreSQL prints it, and its era. Python's dates serve for one period of 400 years."""
    period, rest = divmod(days + 719_162, 146_097)
    date = dt.date.fromordinal(rest + 1)
    year = date.year + period * 400
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04d}-{date.month:02d}-{date.day:02d}", era


def clock(micros: int) -> str:
    seconds, fraction = divmod(micros, 1_000_000)
    whole = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{whole}.{fraction:06d}".rstrip("0") if fraction else whole


def printed(value: float) -> str:
    """Python's shortest text of a float, with PostgreSQL's names."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return names.get(repr(value)) or repr(value).removesuffix(".0")


# --- text -------------------------------------------------------------------------------------------------


@given(st.text(max_size=3) | st.sampled_from("tf"))
def test_bool(parsers: Parsers, value: str) -> None:
    assert parsers.boolean(value.encode()) is oracle(text.booleans, value)


@given(INT64 | INT32 | st.integers(-70_000, 70_000) | st.integers())
@example(-(2**63))
@example(2**63)
def test_integers_of_every_width(parsers: Parsers, value: int) -> None:
    data = str(value).encode()
    for arrow in pa.int16(), pa.int32(), pa.int64():
        assert parsers.integer(data, arrow.bit_width) == cast(str(value), arrow)
    assert parsers.integer(data, 32, signed=False) == cast(str(value), pa.uint32())


@given(st.floats())
@example(-0.0)
@example(5e-324)
@example(2.2250738585072014e-308)
@example(1.7976931348623157e308)
def test_every_double_comes_back_from_its_shortest_text(parsers: Parsers, value: float) -> None:
    assert same(parsers.float64(printed(value).encode()), value)
    assert same(
        parsers.float64(f"{value:.16e}".replace("nan", "NaN").replace("inf", "Infinity").encode()), value
    )


@given(st.floats(width=32))
@example(3.4028234663852886e38)
@example(1.401298464324817e-45)
@example(1.1754943508222875e-38)
def test_every_float_comes_back(parsers: Parsers, value: float) -> None:
    value_as_text = printed(value) if not math.isfinite(value) else f"{value:.8e}"
    assert same(parsers.float32(value_as_text.encode()), value)
    assert same(parsers.float32(printed(value).encode()), cast(printed(value), pa.float32()))


@given(st.integers(1, 10**19 - 1), st.integers(-90, 90), st.booleans())
@example(9007199254740993, 0, False)  # in the middle of two doubles
@example(4503599627370497500, -3, False)
@example(16777217, 0, False)  # in the middle of two floats
@example(
    3174977912112396474, 44, False
)  # so near the middle that the product cut to 64 bits is below it by two
@example(2877752373260149546, -11, False)
def test_any_decimal_is_rounded_once(parsers: Parsers, digits: int, power: int, negative: bool) -> None:
    value = f"{'-' * negative}{digits}e{power:+03d}"
    expected = cast(value, pa.float32())
    assert same(parsers.float64(value.encode()), float(value))
    assert same(parsers.float32(value.encode()), None if math.isinf(expected) else expected)


@given(st.integers(2**52, 2**53 - 1), st.integers(-2, 6), st.integers(-1, 1))
def test_the_middle_of_two_doubles_is_even_and_beside_it_is_not(
    parsers: Parsers, digits: int, power: int, beside: int
) -> None:
    middle = Decimal(digits * 2 + 1) * Decimal(2) ** power
    value = f"{middle + Decimal(beside).scaleb(min(power, 0)):f}"
    assert same(parsers.float64(value.encode()), float(value))


@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", "1.8e308", "0." + "1" * 20, "1" * 20, "1" * 49, "1e", "1e+", "1.", ".5", "-"]
)
def test_what_is_no_float_of_postgresql_is_refused(parsers: Parsers, value: str) -> None:
    assert parsers.float64(value.encode()) is None
    assert parsers.float32(value.encode()) is None


def test_a_float_beyond_the_largest_is_refused(parsers: Parsers) -> None:
    assert parsers.float32(b"3.4028235e+38") == 2.0**128 - 2.0**104
    assert parsers.float32(b"3.4028236e+38") is None
    assert parsers.float64(b"1.7976931348623159e+308") is None


@given(DIGITS, st.integers(1, 38), st.data())
@example(10**38 - 1, 38, None)
@example(-(10**38) + 1, 38, None)
@example(10**38, 38, None)
@example(10**18 - 1, 18, None)
def test_numerics(parsers: Parsers, digits: int, precision: int, data: st.DataObject | None) -> None:
    scale, printed_scale = (
        (data.draw(st.integers(0, precision)), data.draw(st.integers(0, 38))) if data else (0, 0)
    )
    for places in scale, printed_scale:
        sign, whole = "-" * (digits < 0), f"{abs(digits):0{places + 1}d}"
        value = f"{sign}{whole[:-places]}.{whole[-places:]}" if places else f"{sign}{whole}"
        assert parsers.decimal(value.encode(), precision, scale) == unscaled(value, precision, scale)


def test_the_largest_of_every_precision(parsers: Parsers) -> None:
    for precision in range(1, 39):
        for scale in range(precision + 1):
            nines, beyond = 10**precision - 1, 10**precision
            for value in nines, -nines, beyond:
                whole, part = divmod(abs(value), 10**scale)
                printed = f"{'-' * (value < 0)}{whole}" + (f".{part:0{scale}d}" if scale else "")
                found = parsers.decimal(printed.encode(), precision, scale)
                assert found == (None if value == beyond else value)


@given(DAYS.map(lambda days: "".join(civil(days))) | INFINITIES)
@example("4714-11-24 BC")
@example("5874897-12-31")
@example("0001-02-29 BC")
@example("2000-02-29")
@example("2024-02-29")
def test_dates(parsers: Parsers, value: str) -> None:
    assert parsers.date(value.encode()) == oracle(temporal.dates, value, pa.int32())


@given(STAMP_DAYS.map(civil), MICROS, ZONES)
@example(("294276-12-31", ""), DAY - 1, "+00")
@example(("294247-01-10", ""), 14_454_775_806, "+00")  # the last that is finite
@example(("294247-01-10", ""), 14_454_775_807, "+00")
@example(("4714-11-24", " BC"), 0, "+00")
def test_timestamps(parsers: Parsers, day: tuple[str, str], micros: int, zone: str) -> None:
    plain = f"{day[0]} {clock(micros)}{day[1]}"
    zoned = f"{day[0]} {clock(micros)}{zone}{day[1]}"
    assert parsers.timestamp(plain.encode()) == oracle(temporal.timestamps, plain, pa.int64())
    assert parsers.timestamp_tz(zoned.encode()) == oracle(temporal.timestamps_tz, zoned, pa.int64())
    assert parsers.timestamp(zoned.encode()) is parsers.timestamp_tz(plain.encode()) is None
    assert parsers.time(clock(micros).encode()) == oracle(temporal.times, clock(micros), pa.int64()) == micros


def test_infinite_timestamps(parsers: Parsers) -> None:
    for value in "infinity", "-infinity":
        assert parsers.timestamp(value.encode()) == oracle(temporal.timestamps, value, pa.int64())
        assert parsers.timestamp_tz(value.encode()) == oracle(temporal.timestamps_tz, value, pa.int64())


@pytest.mark.parametrize(
    "value",
    [
        *("2023-02-29", "1900-02-29", "2024-04-31", "2024-00-10", "2024-13-01", "2024-01-00", "2024-01-32"),
        *("0000-01-01", "0000-01-01 BC", "024-01-01", "12345678-01-01", "9999999-01-01", "2024,01-01"),
        *("2024-01,01", "2024-01-1", "20240101", "2024-01-01 AD", "Infinity", "infinity BC", " BC", ""),
    ],
)
def test_days_that_no_calendar_has(parsers: Parsers, value: str) -> None:
    assert parsers.date(value.encode()) is None
    assert parsers.timestamp(f"{value} 00:00:00".encode()) is None


@pytest.mark.parametrize(
    "value",
    [
        *("24:00:00", "00:60:00", "00:00:60", "00;00:00", "00:00;00", "00:00", "00:00:0", "00:00:00."),
        *("00:00:00.1234567", "00:00:00.12345678", "00:00:00.1x", "00:00:00,1", "/0:00:00", "0::00:00", ""),
    ],
)
def test_times_that_no_clock_shows(parsers: Parsers, value: str) -> None:
    assert parsers.time(value.encode()) is None
    assert parsers.timestamp(f"2024-01-01 {value}".encode()) is None
    assert parsers.timestamp_tz(f"2024-01-01 {value}+00".encode()) is None


@pytest.mark.parametrize(
    "zone", ["", "Z", "+", "+0", "+0:", "+/0", "+00:", "+00:6", "+00:60", "+00:00:60", "*00", "+00 00"]
)
def test_offsets_that_are_none(parsers: Parsers, zone: str) -> None:
    assert parsers.timestamp_tz(f"2024-01-01 00:00:00{zone}".encode()) is None


@given(st.uuids(), st.binary(max_size=70))
def test_uuids_and_byteas(parsers: Parsers, uuid: Any, data: bytes) -> None:
    assert parsers.uuid(str(uuid).encode()) == oracle(text.uuids, str(uuid)) == uuid.bytes
    assert parsers.bytea(b"\\x" + data.hex().encode()) == oracle(text.byteas, f"\\x{data.hex()}") == data


def test_what_is_beside_the_hexadecimal_digits_is_refused(parsers: Parsers) -> None:
    uuid = b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    for byte in b"/:@G`g\x10\xb0\xe1":
        for at in range(len(uuid)):
            changed = uuid[:at] + bytes([byte]) + uuid[at + 1 :]
            assert parsers.uuid(changed) is None
            assert parsers.bytea(b"\\x" + changed.replace(b"-", b"")) is None
    for data in b"", b"\\", b"\\x0", b"\\X00", b"/x00", b"00":
        assert parsers.bytea(data) is None


@given(st.binary(max_size=12) | st.tuples(st.text(), st.binary(max_size=4), st.text()))
@example("€\u07ff\uffff\U0010ffff".encode())
@example(b"\xed\xa0\x80")
@example(b"\xf4\x90\x80\x80")
@example(b"\xe0\x9f\xbf")
@example(b"\xf0\x8f\xbf\xbf")
@example(b"\xc1\xbf")
def test_utf8_is_what_python_decodes(parsers: Parsers, data: bytes | tuple[str, bytes, str]) -> None:
    value = data if isinstance(data, bytes) else data[0].encode() + data[1] + data[2].encode()
    try:
        value.decode()
    except UnicodeDecodeError:
        assert not parsers.is_utf8(value)
    else:
        assert parsers.is_utf8(value)
        assert not any(parsers.is_utf8(value[:end]) for end in range(len(value)) if value[end] & 0xC0 == 0x80)


SEEDS = [
    "t", "-9223372036854775808", "-1.2345678901234567e-30", "NaN", "Infinity", "12345678901234.5678",
    "2024-02-29", "4713-01-01 BC", "infinity", "2024-02-29 23:59:59.999999", "2024-02-29 23:59:59.999999+00",
    "0044-03-15 00:00:00.1+05:30 BC", "23:59:59.123456", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "\\xdeadbeef0011",
]  # fmt: skip


@st.composite
def nearly(draw: st.DrawFn) -> str:
    """A value with a few characters changed, or cut."""
    value = list(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(value) - 1))
        value[at] = draw(st.sampled_from("0123456789-+.: eEBCinftyNax/;@`gé\0"))
    return "".join(value)[: draw(st.integers(0, len(value)) | st.just(len(value)))]


@given(nearly())
def test_what_is_taken_is_what_the_converters_take(parsers: Parsers, value: str) -> None:
    """They take more: what ISO 8601 has, and days and hours that no clock shows."""
    data = value.encode()
    pairs = [
        (parsers.boolean(data), oracle(text.booleans, value)),
        (parsers.integer(data, 64), cast(value, pa.int64())),
        (parsers.decimal(data, 18, 4), unscaled(value, 18, 4)),
        (parsers.decimal(data, 38, 10), unscaled(value, 38, 10)),
        (parsers.date(data), oracle(temporal.dates, value, pa.int32())),
        (parsers.timestamp(data), oracle(temporal.timestamps, value, pa.int64())),
        (parsers.timestamp_tz(data), oracle(temporal.timestamps_tz, value, pa.int64())),
        (parsers.time(data), oracle(temporal.times, value, pa.int64())),
        (parsers.uuid(data), oracle(text.uuids, value)),
        (parsers.bytea(data), oracle(text.byteas, value)),
    ]
    assert all(found is None or found == expected for found, expected in pairs)
    floats = [
        (parsers.float64(data), cast(value, pa.float64())),
        (parsers.float32(data), cast(value, pa.float32())),
    ]
    assert all(found is None or same(found, expected) for found, expected in floats)


# --- binary -----------------------------------------------------------------------------------------------


@given(INT32)
@example(-(2**31))
@example(2**31 - 1)
@example(2**31 - 1 - EPOCH_DAYS)
def test_binary_dates(parsers: Parsers, days: int) -> None:
    end = 2**31 - 1
    expected = {end: end, -end - 1: -end}.get(days, days + EPOCH_DAYS)
    finite = abs(days + EPOCH_DAYS) < end or days in {end, -end - 1}
    assert parsers.binary_date(struct.pack(">i", days)) == (expected if finite else None)


@given(INT64)
@example(-(2**63))
@example(2**63 - 1)
@example(DAY)
@example(2**63 - 1 - EPOCH_DAYS * DAY)
def test_binary_timestamps_and_times(parsers: Parsers, micros: int) -> None:
    end = 2**63 - 1
    data = struct.pack(">q", micros)
    expected = {end: end, -end - 1: -end}.get(micros, micros + EPOCH_DAYS * DAY)
    finite = abs(micros + EPOCH_DAYS * DAY) < end or micros in {end, -end - 1}
    assert parsers.binary_timestamp(data) == (expected if finite else None)
    assert parsers.binary_time(data) == (micros if 0 <= micros < DAY else None)


def sent(groups: list[int], weight: int, sign: int = 0) -> bytes:
    return struct.pack(f">HhHH{len(groups)}H", len(groups), weight, sign, 0, *groups)


@given(
    st.lists(st.integers(0, 9999), max_size=12),
    st.integers(-12, 12),
    st.sampled_from([0, 0x4000]),
    st.integers(1, 38),
    st.integers(0, 38),
)
@example([9999] * 9 + [9900], 9, 0, 38, 2)
@example([99] + [9999] * 9, 9, 0x4000, 38, 0)
@example([1], 0, 0, 38, 38)
@example([1], -10, 0, 38, 38)
@example([1], 10, 0, 38, 0)
@example([100], -10, 0, 38, 38)
@example([], 0, 0, 1, 0)
def test_binary_numerics(
    parsers: Parsers, groups: list[int], weight: int, sign: int, precision: int, scale: int
) -> None:
    scale = min(scale, precision)
    digits = int("0" + "".join(f"{group:04d}" for group in groups))
    power = 4 * (weight - len(groups) + 1) + scale
    value, rest = divmod(digits * 10 ** max(power, 0), 10 ** max(-power, 0))
    expected = None if rest or value >= 10**precision else -value if sign else value
    assert parsers.binary_decimal(sent(groups, weight, sign), precision, scale) == expected


def test_binary_values_that_are_cut_or_none(parsers: Parsers) -> None:
    for sign in 0xC000, 0xD000, 0xF000, 0x1234:
        assert parsers.binary_decimal(sent([], 0, sign), 38, 0) is None
    assert parsers.binary_decimal(sent([10_000], 0), 38, 0) is None
    assert parsers.binary_decimal(sent([1], 32_767), 38, 0) is None
    whole = sent([1, 2], 1)
    assert not any(parsers.binary_decimal(whole[:end], 38, 0) is not None for end in range(len(whole)))
    assert parsers.binary_decimal(whole + b"\0", 38, 0) is None
    for size in (*range(4), *range(5, 8), 9):
        data = bytes(size)
        assert (
            parsers.binary_date(data) is parsers.binary_timestamp(data) is parsers.binary_time(data) is None
        )


NUMBERS = """
SELECT v::text, numeric_send(v) FROM (
  SELECT ((random() - 0.5) * 10::numeric ^ (n % 20))::numeric(38, 12) AS v FROM generate_series(1, 400) AS n
  UNION ALL SELECT (10::numeric ^ n)::numeric(38, 12) FROM generate_series(-12, 25) AS n
  UNION ALL VALUES (0), (99999999999999999999999999.999999999999::numeric(38, 12))
) AS t
"""
MOMENTS = """
SELECT v::text, timestamp_send(v), v::date::text, date_send(v::date), v::time::text, time_send(v::time) FROM (
  SELECT '4713-01-01 BC'::timestamp + random() * 298000 * '1 year'::interval AS v
  FROM generate_series(1, 400)
  UNION ALL SELECT '4714-11-24 BC'::timestamp
) AS t
"""


def test_what_a_server_sends_is_the_same_in_both_forms(parsers: Parsers, pg: Database) -> None:
    for value, data in pg.query(NUMBERS):
        expected = unscaled(value, 38, 12)
        assert expected is not None
        assert (
            parsers.decimal(value.encode(), 38, 12) == parsers.binary_decimal(bytes(data), 38, 12) == expected
        )
    for stamp, stamp_sent, date, date_sent, time, time_sent in pg.query(MOMENTS):
        expected = oracle(temporal.timestamps, stamp, pa.int64())
        assert parsers.timestamp(stamp.encode()) == parsers.binary_timestamp(bytes(stamp_sent)) == expected
        expected = oracle(temporal.dates, date, pa.int32())
        assert parsers.date(date.encode()) == parsers.binary_date(bytes(date_sent)) == expected
        expected = oracle(temporal.times, time, pa.int64())
        assert parsers.time(time.encode()) == parsers.binary_time(bytes(time_sent)) == expected


def test_the_table_of_powers() -> None:
    """64 bits of each power of ten, cut."""
    source = (SOURCES / "values_powers.h").read_text()
    table = [int(power, 16) for power in re.findall(r"0x([0-9a-f]{16})", source)]
    for power, found in zip(range(-64, 65), table, strict=True):
        value = Decimal(f"1e{power}").as_integer_ratio()
        shift = 64 - (value[0].bit_length() - value[1].bit_length())
        cut = (value[0] << 200 + shift) // value[1] >> 200
        assert found == (cut >> 1 if cut >= 2**64 else cut)
