"""Clauses about types: every Arrow type reads back equal, or is refused by name."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from attrs import frozen

from etl_core.errors import EtlError, SchemaError
from etl_core.model import Rejected, Stream
from etl_core.testing.destination.arrows import samples
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.session import Session, loader_named
from etl_core.testing.destination.values import plain
from etl_core.testing.verdicts import expect, fail

__all__ = ["Types"]

_COLUMN = "value"
_WRONG = "types are neither kept nor refused by name"


@frozen
class _Sent:
    """A column that was accepted: where it went, what it held, which rows were refused by name."""

    stream: Stream
    values: pa.Array
    refused: frozenset[int]
    column: str = _COLUMN


class Types(DestinationKit):
    """A clause per family of types.

    What is not kept exactly must be refused: the type with SchemaError (from `stored`) whose facts name the
    column and the type, single rows as `Rejected` with the column. `stored` says where another type is taken.
    """

    def test_booleans(self) -> None:
        """Booleans read back equal, or are refused by name."""
        self._family("booleans")

    def test_integers(self) -> None:
        """Integers of 8 to 64 bits, with and without a sign, read back equal, or are refused by name.

        Take a wider type where the system has none without a sign, and say so in `stored`.
        """
        self._family("integers")

    def test_floats(self) -> None:
        """Floats read back equal, infinities, NaN and -0.0 too, or are refused by name."""
        self._family("floats")

    def test_decimals(self) -> None:
        """Decimals of any precision read back to the last digit, or are refused by name.

        Never go through a float; where the system has fewer digits, take text or refuse the type.
        """
        self._family("decimals")

    def test_texts(self) -> None:
        """Texts read back equal: Unicode, quotes, zero characters, a mebibyte; or are refused by name."""
        self._family("texts")

    def test_binaries(self) -> None:
        """Bytes read back equal, whatever they are, or are refused by name."""
        self._family("binaries")

    def test_dates_and_times(self) -> None:
        """Dates and times of day read back equal in every unit, or are refused by name.

        Reject rows with dates that the system has not.
        """
        self._family("dates and times")

    def test_timestamps(self) -> None:
        """Timestamps of the years 1 to 9999 read back equal in every unit and zone, or are refused by name.

        An instant keeps its point in time, whatever its zone; never cut nanoseconds off.
        """
        self._family("timestamps")

    def test_extreme_timestamps(self) -> None:
        """Timestamps at the ends of 64 bits read back equal, or are refused by name.

        Reject rows with times that the system has not; an overflow that wraps around is the worst.
        """
        self._family("extreme timestamps")

    def test_durations_and_intervals(self) -> None:
        """Durations and intervals read back equal, or are refused by name."""
        self._family("durations and intervals")

    def test_lists(self) -> None:
        """Lists of every layout, and lists of lists, read back equal, or are refused by name.

        An empty list is not null, and a list may hold nulls.
        """
        self._family("lists")

    def test_structs_and_maps(self) -> None:
        """Structs and maps, also two deep, read back equal, or are refused by name."""
        self._family("structs and maps")

    def test_dictionaries(self) -> None:
        """Dictionary-encoded columns read back with the values they stand for, or are refused by name.

        Each chunk may bring a dictionary of its own; one may be empty.
        """
        self._family("dictionaries")

    def test_null_and_run_end_encoded(self) -> None:
        """Columns of nothing but null, and run-end encoded ones, read back equal, or are refused by name."""
        self._family("null and run-end encoded")

    def _family(self, family: str) -> None:
        """Try each type by itself, then those that are kept together: merged, and as a snapshot."""
        first, *others = self.loaders()
        kept = self._alone(family, first)
        for name in others if self.thorough else ():
            self._alone(family, name)
        if kept and "upsert" in others:
            self._together(kept, "upsert", staged=False)
        if kept and self.probe.stages and first != "replace":
            for name in self.loaders() if self.thorough else [first]:
                self._together(kept, name, staged=True)

    def _alone(self, family: str, loader: str) -> list[pa.Array]:
        """Send each type into a table of its own; return the values that are there."""
        sent, problems = self._sent_alone(family, loader)
        problems += [problem for each in sent for problem in self._compared(each)]
        expect(not problems, _WRONG, loader=loader, problems="; ".join(problems))
        return [part for each in sent for part in _taken(each)]

    def _together(self, kept: Sequence[pa.Array], loader: str, *, staged: bool) -> None:
        """Send all types in one table; rows that are refused by name need not be there."""
        size = max(map(len, kept))
        columns = {f"{_COLUMN}_{n}": _repeated(values, size) for n, values in enumerate(kept)}
        rows = pa.table({"id": pa.array(range(size), pa.int64()), **columns})
        stream = self.stream(f"{loader}_{'staged' if staged else 'written'}")
        with self.session(loader_named(loader)) as session:
            groups = (session.stage if staged else session.put)(stream, rows)
            groups += session.destination.flush(session.position()) or ()
        refused = frozenset(self._refused(groups))
        sent = [_Sent(stream, column.combine_chunks(), refused, name) for name, column in columns.items()]
        problems = [problem for each in sent for problem in self._compared(each)]
        expect(not problems, _WRONG, loader=loader, snapshot=staged, problems="; ".join(problems))

    def _sent_alone(self, family: str, loader: str) -> tuple[list[_Sent], list[str]]:
        problems: list[str] = []
        sent: list[_Sent] = []
        with self.session(loader_named(loader)) as session:
            for number, values in enumerate(samples(family)):
                stream = self.stream(f"{loader}_{number}")
                try:
                    sent.append(self._send(session, stream, values))
                except SchemaError as error:
                    problems += self._unnamed(error, values.type)
                    session.abort()
                except EtlError as error:
                    problems.append(f"{values.type}: {type(error).__name__} instead of SchemaError")
                    session.abort()
        return sent, problems

    def _send(self, session: Session, stream: Stream, values: pa.Array) -> _Sent:
        rows = pa.table({"id": pa.array(range(len(values)), pa.int64()), _COLUMN: values})
        refused = session.put(stream, rows)
        refused += session.destination.flush(session.position()) or ()
        return _Sent(stream, values, frozenset(self._refused(refused)))

    @staticmethod
    def _refused(groups: Sequence[Rejected]) -> list[int]:
        if any(not (each.column or "").startswith(_COLUMN) for each in groups if each.rows.num_rows):
            fail("rows were rejected without naming the column")
        return [n for each in groups for n in each.rows.column("id").to_pylist()]

    @staticmethod
    def _unnamed(error: SchemaError, type: pa.DataType) -> list[str]:
        text = f"{error} {error.hint} {error.facts}"
        lacking = [what for what, name in (("column", _COLUMN), ("type", str(type))) if name not in text]
        return [f"{type}: refused without naming the {' and the '.join(lacking)}"] if lacking else []

    def _compared(self, sent: _Sent) -> list[str]:
        kind = sent.values.type
        table = self.rows(sent.stream)
        column = self.found(table, pa.schema([(sent.column, kind)]))[sent.column]
        found = dict(zip(self.numbers(table), plain(column), strict=True))
        wanted = self._readings(sent.values)
        ids = [n for n in range(len(sent.values)) if n not in sent.refused]
        if sorted(found) != ids:
            return [f"{kind}: {len(found)} rows of {len(ids)}"]
        wrong = [n for n in ids if all(repr(found[n]) != repr(each[n]) for each in wanted)]
        return [f"{kind}: other values in rows {', '.join(map(str, wrong))}"] if wrong else []

    def _readings(self, values: pa.Array) -> list[list[object]]:
        """Return the values as they may read back: as they are, or as what `stored` says."""
        kept = self.probe.stored(values.type)
        changed = None if kept == values.type else self.expected(values, kept)
        return [plain(values), *([] if changed is None else [plain(changed)])]


def _taken(sent: _Sent) -> list[pa.Array]:
    """Return the values that were not refused; none where a part of an array cannot be put together."""
    parts = [sent.values.slice(n, 1) for n in range(len(sent.values)) if n not in sent.refused]
    try:
        return [pa.concat_arrays(parts)] if parts else []
    except pa.ArrowNotImplementedError:
        return [] if sent.refused else [sent.values]


def _repeated(values: pa.Array, size: int) -> pa.ChunkedArray:
    """Return so many values: the same again, from the first on."""
    return pa.chunked_array([values] * -(-size // len(values))).slice(0, size)
