"""Where nothing was compiled the source works all the same, slower, and says so once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cdc_harness import FakeContext, Harness, plain, rows_of
from loguru import logger

# A sample of the source's tests, run again with the decoder in Python.
from test_cdc_resume import (  # noqa: F401
    small_batches,
    test_from_every_position_comes_exactly_the_rest,
)
from test_cdc_snapshot import (  # noqa: F401
    test_a_value_that_does_not_fit_names_its_column_and_stops_every_thread,
    test_parts_are_read_side_by_side_and_come_in_order,
)
from test_cdc_stream import (  # noqa: F401
    test_a_commits_time_comes_with_each_row,
    test_a_snapshot_then_changes,
    test_sequences_rise_and_are_unique_over_snapshot_and_stream,
    test_snapshot_and_stream_give_the_same_values_and_types,
    test_unchanged_toast_is_named_and_null,
)

from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database
from etl_postgres_cdc import decoding
from etl_postgres_cdc.plain import PlainDecoder

LITTLE = {"logical_decoding_work_mem": "64kB"}


def in_python(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(decoding, "_wire", None)
    patch.setattr(decoding, "_compiled", None)
    patch.setattr(decoding, "_said", False)


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    in_python(monkeypatch)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    said: list[str] = []
    number = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    yield said
    logger.remove(number)


def test_there_is_a_compiled_decoder_unless_it_was_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not decoding.is_compiled()
    assert isinstance(decoding.decoder(1), PlainDecoder)
    monkeypatch.undo()
    assert decoding.is_compiled(), "tests need what the package builds; is there a C compiler?"
    assert decoding._load("no_such_module") is None


def test_it_is_said_once(pg: Database, cdc: Callable[..., Harness], warnings: list[str]) -> None:
    pg.execute("create table t (id int primary key)", "insert into t values (1)")
    source = cdc()
    source.once(close=False)
    source.once(source.position)
    said = [line for line in warnings if "compiled" in line]
    assert len(said) == 1
    assert "install a C compiler" in said[0]


def test_nothing_is_said_where_there_is_one(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    monkeypatch.undo()
    context: Any = FakeContext("quiet")
    decoding.say_once(context)
    assert warnings == []


def make_changes(server: EmbeddedPostgres, dsn: str) -> None:
    """Transactions that the server sends before it knows of their ends, one inside the other."""
    database = Database("postgres", dsn, server)
    with database.connect(autocommit=False) as one, database.connect(autocommit=False) as other:
        one.execute("select pg_replication_origin_session_setup('up')")
        one.execute("insert into t select n, 'kept' from generate_series(1, 2000) n")
        one.execute("savepoint s")
        one.execute("insert into t select n, 'gone' from generate_series(2001, 4000) n")
        other.execute("insert into u select generate_series(5001, 7000)")
        one.execute("rollback to s")
        one.execute("alter table t add column w int default 5")
        one.execute("update t set v = repeat('x', 50) where id % 2 = 0")
        one.execute("delete from t where id % 3 = 0")
        one.commit()
        other.rollback()
    database.execute("insert into t values (9999, 'last', 1)")


def streamed(server: EmbeddedPostgres, pipeline: str, patch: Callable[[], None]) -> list[Any]:
    """What comes of `make_changes`, read while it happened, with one of the decoders."""
    dsn = server.create_database(pipeline)
    database = Database("postgres", dsn, server)
    database.execute("create table t (id int primary key, v text)", "create table u (id int primary key)")
    patch()
    source = Harness(dsn, ["public.*"], pipeline=pipeline)
    source.once(close=False)
    before = len(source.batches)
    make_changes(server, dsn)
    source.start(source.position, source.source.latest(source.context()))
    try:
        while True:
            source.next()
    except StopIteration:
        source._iterator = None
    source.close()
    (sent,) = database.query("select sum(stream_txns) from pg_stat_replication_slots")
    assert sent[0] > 0, "nothing was sent before its end"
    rows = rows_of(source.batches[before:])
    return [*plain(rows), *(row["_etl_seq"][-8:] for row in rows)]


def test_a_large_transaction_in_progress_with_either_decoder(
    pg_private: Callable[..., EmbeddedPostgres], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = pg_private(settings=LITTLE)
    Database("postgres", server.dsn, server).execute("select pg_replication_origin_create('up')")
    slow = streamed(server, "slow", lambda: None)
    fast = streamed(server, "fast", monkeypatch.undo)
    assert slow == fast
    assert len(slow) == 2 * (2000 + 1000 + 666 + 1)


def test_a_position_of_one_decoder_is_one_of_the_other(pg: Database, cdc: Callable[..., Harness]) -> None:
    """A compiler may come, or go, between two runs."""
    pg.execute("create table t (id int primary key)")
    source = cdc()
    source.once()
    start = source.position
    pg.execute("insert into t select generate_series(1, 30)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_ROWS", 7)
        whole = source.once(start)
        for index, batch in enumerate(whole):
            if batch.position is not None:
                patch.setattr(decoding, "_wire", None if index % 2 else decoding._load("_wire"))
                patch.setattr(decoding, "_compiled", None if index % 2 else decoding._load("compiled"))
                rest = source.once(batch.position)
                assert rows_of(rest) == rows_of(whole[index + 1 :])
