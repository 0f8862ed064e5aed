"""Clauses about the shapes of what is written: none, many, wide, sliced, oddly named."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.errors import SchemaError
from etl_core.model import Stream
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.session import Session, loader_named
from etl_core.testing.destination.values import plain
from etl_core.testing.verdicts import expect

__all__ = ["Shapes"]

#: Names that SQL, file systems and formats stumble over; each is the name of a table and of a column.
_NAMES = [
    "select",
    "Upper",
    "with space",
    'quote"d',
    "apostrophe's",
    "dotted.name",
    "back\\slash",
    "semi;colon--",
    "per%cent{brace}",
    "ünïcödé_漢字_😀",
    "1digit",
    "$dollar",
    "n" * 63,
]


class Shapes(DestinationKit):
    """Rows of all shapes."""

    #: Rows of the large write.
    large = 200_000

    def test_a_write_without_rows(self) -> None:
        """A write of no rows changes nothing.

        Mind tables without chunks; the table itself is made by `ensure`.
        """
        schema = pa.schema([("id", pa.int64()), ("value", pa.string())])
        rows = pa.table({"id": [1], "value": ["a"]}, schema)
        with self.session(loader_named(self.following()[0])) as session:
            for each in (rows.slice(0, 0), rows, schema.empty_table(), rows.slice(1)):
                session.put(self.stream(), each)
            session.flush()
        self._expect_back(rows)

    def test_three_hundred_columns(self) -> None:
        """A table of 300 columns is written and read back.

        Mind limits of statements, of parameters and of the length of names lists.
        """
        columns = {f"column_{n}": pa.array([n, None, -n], pa.int32()) for n in range(299)}
        self._round_trip(pa.table({"id": pa.array([1, 2, 3], pa.int64()), **columns}))

    def test_a_large_write(self) -> None:
        """One write of 200,000 rows in one piece is taken whole.

        Send it in parts of your own where the system has limits; they become durable together.
        """
        numbers = pa.array(range(self.large), pa.int64())
        texts = pc.binary_join_element_wise(pc.cast(numbers, pa.string()), pa.scalar(" text"), "")
        rows = pa.table({"id": numbers, "value": texts})
        with self._session() as session:
            session.put(self.stream(), rows)
            session.flush()
        found = self.found(self.rows(self.stream()), rows.schema)
        counted = len(found["id"])
        expect(counted == self.large, "rows of a large write are missing or repeated", rows=counted)
        there = pa.table({"id": found["id"].cast(pa.int64()), "value": found["value"].cast(pa.string())})
        expect(there.sort_by("id").equals(rows), "rows of a large write have other values")

    def test_many_chunks_and_slices(self) -> None:
        """Rows come in many chunks, which may be empty or parts of larger arrays.

        Mind offsets and chunks: read values through Arrow, not from the beginning of a buffer.
        """
        lists = pa.array(
            [None if n % 7 == 0 else list(range(n % 4)) for n in range(500)], pa.list_(pa.int32())
        )
        kept = {"lists": lists} if self._keeps(lists.type) else {}
        flags = pa.array([None if n % 5 == 0 else n % 2 == 0 for n in range(500)])
        texts = pa.array([None if n % 3 == 0 else f"text {n}" for n in range(500)])
        whole = pa.table({"id": pa.array(range(500), pa.int64()), "flag": flags, "text": texts, **kept})
        parts = [whole.slice(start, 13) for start in range(3, 480, 13)]
        parts.insert(4, whole.slice(9, 0))
        rows = pa.concat_tables(parts)
        self._round_trip(rows)

    def test_empty_is_not_null(self) -> None:
        """An empty text and empty bytes are not null, and a row may be null but for its key.

        Give the system's own NULL for null, and nothing else.
        """
        columns = {
            "text": pa.array(["", None, " ", None]),
            "bytes": pa.array([b"", None, b"\0", None]),
            "number": pa.array([0, None, -1, None], pa.int64()),
        }
        kept = {name: column for name, column in columns.items() if self._keeps(column.type)}
        self._round_trip(pa.table({"id": pa.array([1, 2, 3, 4], pa.int64()), **kept}))

    def test_rows_without_a_key(self) -> None:
        """A history needs no key: rows of a stream without one are all there, equal ones too.

        Make the table without a primary key where `key` is empty; never take rows for one by their values.
        """
        self.needs_loader("append")
        rows = pa.table({"id": pa.array([1, 1, 2], pa.int64()), "value": ["a", "a", None]})
        with self.session(loader_named("append")) as session:
            session.put(self.stream(), rows, key=())
            session.flush()
        self._expect_back(rows)

    def test_names_of_all_kinds(self) -> None:
        """Tables and columns may have any name: reserved words, quotes, dots, Unicode, 63 letters.

        Quote every identifier in one function; refuse with SchemaError a name that no quoting can carry.
        """
        problems, sent = [], []
        with self._session() as session:
            for name in _NAMES:
                rows = pa.table({"id": pa.array([1, 2], pa.int64()), name: ["a", None]})
                try:
                    session.put(Stream(self.namespace, name), rows)
                    session.flush()
                    sent.append((name, rows))
                except SchemaError as error:
                    problems += (
                        [] if name in f"{error} {error.facts}" else [f"{name}: refused without its name"]
                    )
                    session.abort()
        for name, rows in sent:
            problems += [] if self._same(Stream(self.namespace, name), rows) else [f"{name}: other values"]
        expect(not problems, "names are neither kept nor refused by name", problems="; ".join(problems))

    def test_names_that_differ_in_case(self) -> None:
        """Names that `fold` tells apart are different columns and tables.

        Let `fold` return equal forms for names that the system takes for one.
        """
        rows = pa.table({"id": pa.array([1], pa.int64()), "name": ["lower"], "NAME": ["upper"]})
        streams = [self.stream("case"), self.stream("CASE")]
        if self.probe.fold("name") == self.probe.fold("NAME"):
            rows, streams = rows.drop_columns(["NAME"]), streams[:1]
        with self._session() as session:
            for stream in streams:
                session.put(stream, rows)
            session.flush()
        for stream in streams:
            expect(
                self._same(stream, rows), "names that differ in case were taken for one", table=stream.name
            )

    def _session(self) -> AbstractContextManager[Session]:
        return self.session(loader_named(self.loaders()[0]))

    def _round_trip(self, rows: pa.Table) -> None:
        with self._session() as session:
            session.put(self.stream(), rows)
            session.flush()
        self._expect_back(rows)

    def _expect_back(self, rows: pa.Table) -> None:
        found = self.rows(self.stream()).num_rows
        expect(found == rows.num_rows, "rows are missing or repeated", rows=found, wanted=rows.num_rows)
        expect(self._same(self.stream(), rows), "rows have other values")

    def _same(self, stream: Stream, rows: pa.Table) -> bool:
        found = self.found(self.rows(stream), rows.schema)
        wanted = {name: self._expected(rows.column(name).combine_chunks()) for name in rows.column_names}
        return self._tuples(found) == self._tuples(wanted)

    @staticmethod
    def _tuples(columns: Mapping[str, pa.Array]) -> list[str]:
        return sorted(map(repr, zip(*(plain(column) for column in columns.values()), strict=True)))
