"""Dates, times and intervals, printed with `datestyle` ISO and `intervalstyle` postgres.

Every function turns PostgreSQL's text output into one Arrow array, None into null. Arrow's casts take
what ISO 8601 has; when a batch holds more (BC, years above 9999, infinity) its values are read one by one.
Infinity is the largest and smallest number but one of the Arrow type (-max, not min): DuckDB's infinity.
A finite timestamp at or above it (294247-01-10 04:00:54.775807) raises ValueError.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from etl_pglib.text import Values

__all__ = ["dates", "intervals", "times", "timestamps", "timestamps_tz"]

_TIMESTAMP = pa.timestamp("us")
_TIMESTAMP_TZ = pa.timestamp("us", tz="UTC")
_INT64_MAX = 2**63 - 1
_INT32_MAX = 2**31 - 1
_DAY = 86_400_000_000

_MONTHS_DAYS_NANOS = struct.Struct("=iiq")
_NO_INTERVAL = bytes(_MONTHS_DAYS_NANOS.size)
_DATE = re.compile(r"(\d{4,})-(\d\d)-(\d\d)( BC)?", re.ASCII)
_STAMP = re.compile(
    r"(?P<date>\d{4,}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d(?:\.\d{1,6})?)"
    r"(?P<zone>[+-]\d\d(?::\d\d){0,2})?(?P<era> BC)?",
    re.ASCII,
)
_INTERVAL = re.compile(
    r"(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mons? ?)?(?:([+-]?\d+) days? ?)?"
    r"(?:([+-]?)(\d+:\d\d:\d\d(?:\.\d{1,6})?))?",
    re.ASCII,
)


def dates(values: Values) -> pa.Array:
    """Return days; all that PostgreSQL has fit."""
    try:
        return pa.array(values, pa.string()).cast(pa.date32())
    except pa.ArrowInvalid:
        return _each(values, _date, pa.int32()).cast(pa.date32())


def timestamps(values: Values) -> pa.Array:
    """Return microseconds without a zone."""
    return _timestamps(values, _TIMESTAMP, _timestamp)


def timestamps_tz(values: Values) -> pa.Array:
    """Return microseconds in UTC, whatever offset is printed."""
    return _timestamps(values, _TIMESTAMP_TZ, _timestamp_tz)


def times(values: Values) -> pa.Array:
    """Return times of day; 24:00:00, which Arrow has not, raises."""
    strings = pa.array(values, pa.string())
    on_day_0 = pc.binary_join_element_wise(pa.scalar("1970-01-01"), strings, " ")
    return on_day_0.cast(_TIMESTAMP).cast(pa.time64("us"))


def intervals(values: Values) -> pa.Array:
    """Return months, days and nanoseconds; more than 292 years in hours, or infinity, raises."""
    packed = b"".join([_NO_INTERVAL if value is None else _interval(value) for value in values])
    validity = pa.array(values, pa.string()).is_valid().buffers()[1]
    buffers = [validity, pa.py_buffer(packed)]
    return pa.Array.from_buffers(pa.month_day_nano_interval(), len(values), buffers)


def _timestamps(values: Values, type: pa.DataType, read: Callable[[str], int]) -> pa.Array:
    try:
        return pa.array(values, pa.string()).cast(type)
    except pa.ArrowInvalid:
        return _each(values, read, pa.int64()).cast(type)


def _each(values: Values, read: Callable[[str], object], type: pa.DataType) -> pa.Array:
    return pa.array([None if value is None else read(value) for value in values], type)


def _date(text: str) -> int:
    """Days since 1970-01-01."""
    if text in ("infinity", "-infinity"):
        return _INT32_MAX if text == "infinity" else -_INT32_MAX
    return _days(text)


def _days(text: str) -> int:
    match = _DATE.fullmatch(text)
    if not match:
        raise ValueError("not a date")
    year = 1 - int(match[1]) if match[4] else int(match[1])
    return _days_of(year, int(match[2]), int(match[3]))


def _days_of(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the proleptic Gregorian calendar; year 0 is 1 BC.

    Counts in eras of 400 years that begin on 1 March, so that a leap day is a year's last.
    """
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _timestamp(text: str) -> int:
    """Microseconds since 1970-01-01."""
    return _stamp(text, zoned=False)


def _timestamp_tz(text: str) -> int:
    """Microseconds since 1970-01-01 in UTC."""
    return _stamp(text, zoned=True)


def _stamp(text: str, *, zoned: bool) -> int:
    if text in ("infinity", "-infinity"):
        return _INT64_MAX if text == "infinity" else -_INT64_MAX
    match = _STAMP.fullmatch(text)
    if not match or bool(match["zone"]) is not zoned:
        raise ValueError("not a timestamp of this kind")
    day = _days(match["date"] + (match["era"] or ""))
    value = day * _DAY + _micros(match["time"]) - _offset(match["zone"])
    if value >= _INT64_MAX:
        raise ValueError("timestamp out of range")
    return value


def _micros(time: str) -> int:
    hours, minutes, seconds = time.split(":")
    whole, _, fraction = seconds.partition(".")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(whole)) * 1_000_000 + int(fraction.ljust(6, "0"))


def _offset(zone: str | None) -> int:
    if not zone:
        return 0
    parts = [int(part) for part in zone[1:].split(":")] + [0, 0]
    return ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * (-1_000_000 if zone[0] == "-" else 1_000_000)


def _interval(text: str) -> bytes:
    match = _INTERVAL.fullmatch(text)
    if not match or not text:
        raise ValueError("not a finite interval")
    years, months, days, sign, time = match.groups()
    nanos = (_micros(time) * 1000 if time else 0) * (-1 if sign == "-" else 1)
    if abs(nanos) > _INT64_MAX:
        raise ValueError("interval out of range")
    return _MONTHS_DAYS_NANOS.pack(int(years or 0) * 12 + int(months or 0), int(days or 0), nanos)
