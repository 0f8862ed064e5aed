from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from snowflake.ingest.streaming import StreamingIngestClient, StreamingIngestError

from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until

Query = Callable[..., list[Any]]
Stream = Callable[..., StreamingIngestClient]
Committed = Callable[[Any, str], bool]


@pytest.fixture
def land(query: Query) -> str:
    query("CREATE TABLE land (id INT NOT NULL, s VARCHAR(60))")
    return "LAND"


def test_rows_of_all_types_land(
    query: Query, stream: Stream, emulator: Emulator, committed: Committed
) -> None:
    query(
        "CREATE TABLE types (n NUMBER(38,0), d NUMBER(10,2), f FLOAT, s VARCHAR, b BOOLEAN, bin BINARY, "
        "dt DATE, ntz TIMESTAMP_NTZ, tz TIMESTAMP_TZ, v VARIANT, a ARRAY, o OBJECT)"
    )
    channel, status = stream("TYPES").open_channel("types-1")
    assert status.latest_committed_offset_token is None
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001
    row = {
        "N": 10**37,
        "D": Decimal("1.25"),
        "F": 1.5,
        "S": "\u2603",
        "B": True,
        "BIN": b"\xff\x00",
        "DT": dt.date(1824, 2, 29),
        "NTZ": moment,
        "TZ": moment.replace(tzinfo=dt.UTC),
        "V": {"k": [1, None]},
        "A": [1, "x"],
        "O": {"k": None},
    }
    channel.append_row(row, "0001")
    channel.append_row({"N": None, "V": "[1]"}, "0002")
    assert committed(channel, "0002")
    assert query("SELECT * FROM types WHERE d IS NOT NULL") == [
        (
            10**37,
            Decimal("1.25"),
            1.5,
            "\u2603",
            True,
            bytearray(b"\xff\x00"),
            dt.date(1824, 2, 29),
            moment,
            moment.replace(tzinfo=dt.UTC),
            '{"k":[1,null]}',
            '[1,"x"]',
            '{"k":null}',
        )
    ]
    assert query("SELECT TYPEOF(v), n IS NULL FROM types WHERE d IS NULL") == [("VARCHAR", True)]
    assert emulator.counts()["appends"] >= 1


def test_nanoseconds_are_kept(
    query: Query, stream: Stream, committed: Committed, connect: Callable[..., Any]
) -> None:
    query("CREATE TABLE fine (n INT, ntz TIMESTAMP_NTZ(9), tz TIMESTAMP_TZ(9))")
    channel, _ = stream("FINE").open_channel("fine")
    channel.append_row({"N": 1, "NTZ": "9999-12-31T00:00:00", "TZ": "2024-01-01T00:00:00Z"}, "1")
    channel.append_row({"N": 2, "NTZ": None, "TZ": "2024-01-01T00:00:00.000000001Z"}, "2")
    assert committed(channel, "2")
    found = connect().cursor().execute("SELECT tz FROM fine ORDER BY n").fetch_arrow_all()
    assert [each % 10 for each in found.column("TZ").cast("int64").to_pylist()] == [0, 1]
    assert query("SELECT ntz FROM fine WHERE n = 1") == [(dt.datetime(9999, 12, 31),)]  # noqa: DTZ001


def test_much_comes_as_a_file(
    query: Query, stream: Stream, emulator: Emulator, land: str, committed: Committed
) -> None:
    emulator.switch(flush_kb=64)
    channel, _ = stream(land).open_channel("files")
    count = 20_000
    channel.append_rows([{"ID": each, "S": f"{each:050d}"} for each in range(count)], "a", "b")
    assert committed(channel, "b")
    assert query("SELECT count(*), count(DISTINCT id), max(s) FROM land") == [
        (count, count, f"{count - 1:050d}")
    ]
    counts = emulator.counts()
    assert (counts["filebuffers"], counts["blobs_put"]) == (1, 1)
    assert counts["bytes_appended"] > 64 * 1024


@pytest.mark.slow
def test_a_channel_opened_again_knows_its_token(
    query: Query, stream: Stream, land: str, committed: Committed
) -> None:
    client = stream(land)
    channel, _ = client.open_channel("again")
    channel.append_row({"ID": 1}, "0007")
    assert committed(channel, "0007")
    channel.close()
    again, status = client.open_channel("again")
    assert status.latest_committed_offset_token == "0007"
    again.append_row({"ID": 2}, "0008")
    assert committed(again, "0008")
    assert query("SELECT id FROM land ORDER BY id") == [(1,), (2,)]
    again.close()
    _, status = client.open_channel("again", offset_token="0003")
    assert status.latest_committed_offset_token == "0003"


def test_a_dropped_channel_forgets_its_token(stream: Stream, land: str, committed: Committed) -> None:
    client = stream(land)
    channel, _ = client.open_channel("dropped")
    channel.append_row({"ID": 1}, "0001")
    assert committed(channel, "0001")
    channel.close(drop=True)
    _, status = client.open_channel("dropped")
    assert status.latest_committed_offset_token is None


def test_channels_of_one_table_have_tokens_of_their_own(
    query: Query, stream: Stream, land: str, committed: Committed
) -> None:
    client = stream(land)
    channels = [client.open_channel(f"shard-{each}")[0] for each in range(2)]
    for number, channel in enumerate(channels):
        channel.append_row({"ID": number}, f"t{number}")
    assert all(committed(channel, f"t{number}") for number, channel in enumerate(channels))
    names = [f"shard-{each}" for each in range(2)]
    assert client.get_latest_committed_offset_tokens(names) == {name: f"t{name[-1]}" for name in names}


@pytest.mark.slow
def test_the_last_to_open_a_channel_has_it(
    query: Query, stream: Stream, land: str, committed: Committed
) -> None:
    first, _ = stream(land, "first").open_channel("contested")
    first.append_row({"ID": 1}, "0001")
    assert committed(first, "0001")
    second, status = stream(land, "second").open_channel("contested")
    assert status.latest_committed_offset_token == "0001"
    with pytest.raises(StreamingIngestError, match="InvalidChannelError"):
        fill(first)
    second.append_row({"ID": 3}, "0003")
    assert committed(second, "0003")
    assert query("SELECT id FROM land ORDER BY id") == [(1,), (3,)]


def fill(channel: Any) -> None:
    """Append until the client has heard that the channel is not its own any more."""
    channel.append_row({"ID": 2}, "0002")
    channel.wait_for_flush(10)
    wait_until(lambda: channel.get_channel_status() is None, 3)
    channel.append_row({"ID": 2}, "0002")


def test_a_row_that_does_not_fit_is_counted_not_told(
    query: Query, stream: Stream, land: str, committed: Committed
) -> None:
    channel, _ = stream(land).open_channel("wrong")
    rows = [{"ID": 1}, {"ID": "x"}, {"ID": 3, "S": "y" * 61}, {"S": "no id"}, {"ID": 5, "OTHER": 1}]
    channel.append_rows(rows, "0001", "0005")
    assert committed(channel, "0005")
    status = channel.get_channel_status()
    assert (status.rows_inserted_count, status.rows_parsed_count, status.rows_error_count) == (2, 5, 3)
    assert status.last_error_message == "Value does not fit column ID"
    assert query("SELECT id FROM land ORDER BY id") == [(1,), (5,)]


def test_a_lower_case_table(query: Query, stream: Stream, committed: Committed) -> None:
    query('CREATE TABLE "land" ("id" INT, "Größe" VARCHAR)')
    channel, _ = stream("land").open_channel("low")
    channel.append_row({"id": 1, "Größe": "x"}, "1")
    assert committed(channel, "1")
    assert query('SELECT * FROM "land"') == [(1, "x")]


@pytest.mark.slow
def test_a_column_added_meanwhile_is_filled(
    query: Query, stream: Stream, land: str, committed: Committed
) -> None:
    channel, _ = stream(land).open_channel("evolving")
    channel.append_row({"ID": 1}, "1")
    assert committed(channel, "1")
    query("ALTER TABLE land ADD COLUMN more VARIANT")
    channel.append_row({"ID": 2, "MORE": {"a": 1}}, "2")
    assert committed(channel, "2")
    assert query("SELECT id, more:a::INT FROM land ORDER BY id") == [(1, None), (2, 1)]


def test_a_table_that_is_not_there(stream: Stream, schema: str) -> None:
    with pytest.raises(StreamingIngestError, match="ERR_PIPE_DOES_NOT_EXIST"):
        stream("NOWHERE").open_channel("any")


def test_streamed_rows_are_merged_by_the_drivers_sql(
    query: Query, stream: Stream, committed: Committed
) -> None:
    query("CREATE TABLE mirror (id INT, tags ARRAY)")
    query("CREATE TABLE changes (id INT, tags VARIANT, _etl_op VARCHAR, _etl_seq VARCHAR)")
    query("INSERT INTO mirror SELECT 1, ARRAY_CONSTRUCT(0) UNION ALL SELECT 2, ARRAY_CONSTRUCT(0)")
    channel, _ = stream("CHANGES").open_channel("c")
    channel.append_row({"ID": 1, "_ETL_OP": "D", "_ETL_SEQ": "01"}, "01")
    channel.append_row({"ID": 2, "TAGS": [1], "_ETL_OP": "U", "_ETL_SEQ": "02"}, "02")
    channel.append_row({"ID": 2, "TAGS": [1, 2], "_ETL_OP": "U", "_ETL_SEQ": "03"}, "03")
    channel.append_row({"ID": 3, "TAGS": [], "_ETL_OP": "I", "_ETL_SEQ": "04"}, "04")
    assert committed(channel, "04")
    query("""
        MERGE INTO mirror t USING (
            SELECT * FROM changes QUALIFY ROW_NUMBER() OVER (PARTITION BY id ORDER BY _etl_seq DESC) = 1
        ) s ON t.id = s.id
        WHEN MATCHED AND s._etl_op = 'D' THEN DELETE
        WHEN MATCHED THEN UPDATE SET tags = s.tags::ARRAY
        WHEN NOT MATCHED AND s._etl_op <> 'D' THEN INSERT (id, tags) VALUES (s.id, s.tags::ARRAY)
    """)
    assert query("SELECT * FROM mirror ORDER BY id") == [(2, "[1,2]"), (3, "[]")]


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_an_open_transaction_sees_what_is_streamed_meanwhile(
    query: Query, stream: Stream, emulator: Emulator, land: str, end: str, committed: Committed
) -> None:
    """A DELETE without a mark takes rows that no MERGE of its transaction saw, as with Snowflake."""
    channel, _ = stream(land).open_channel("meanwhile")
    query("BEGIN")
    assert query("SELECT count(*) FROM land") == [(0,)]
    channel.append_row({"ID": 1}, "1")
    assert wait_until(lambda: query("SELECT count(*) FROM land") == [(1,)])
    query("DELETE FROM land")
    query(end)
    assert committed(channel, "1")
    assert query("SELECT count(*) FROM land") == [(0 if end == "COMMIT" else 1,)]
