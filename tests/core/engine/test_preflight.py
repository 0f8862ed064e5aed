from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
import pytest
from support.connectors import ORDERS, SCHEMA, MemoryDestination, PlainDestination

from etl_core.engine.preflight import require_compatible, require_finite, require_streams
from etl_core.errors import ConfigError
from etl_core.loaders.append import Append
from etl_core.loaders.replace import Replace
from etl_core.loaders.upsert import Upsert
from etl_core.model import Delivery, Mode, Stream, StreamInfo


class AppendOnly(PlainDestination):
    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})


class Deduplicating(PlainDestination):
    def delivery(self, mode: Mode) -> Delivery:
        return Delivery.EXACTLY_ONCE


def same(stream: Stream) -> Stream:
    return stream


def test_a_destination_without_the_mode_is_refused_before_the_start() -> None:
    require_compatible(Append(), AppendOnly())
    with pytest.raises(ConfigError) as caught:
        require_compatible(Upsert(), AppendOnly())
    assert caught.value.facts["missing"] == ["merge", "truncate"]


def test_replace_needs_staging() -> None:
    require_compatible(Replace(), MemoryDestination())
    with pytest.raises(ConfigError, match="stages"):
        require_compatible(Replace(), PlainDestination())


def test_merging_needs_a_kept_position_or_stable_sequences() -> None:
    unstable, stable = StreamInfo(ORDERS, SCHEMA, ("id",)), StreamInfo(ORDERS, SCHEMA, ("id",), True)
    require_streams(Upsert(), MemoryDestination(), [unstable], same)
    require_streams(Upsert(), Deduplicating(), [stable], same)
    require_streams(Append(), PlainDestination(), [unstable], same)
    with pytest.raises(ConfigError, match="no stable sequences"):
        require_streams(Upsert(), Deduplicating(), [unstable], same)
    with pytest.raises(ConfigError, match="changes twice"):
        require_streams(Upsert(), PlainDestination(), [stable], same)


def test_streams_that_share_a_table_and_columns_that_fold_alike_are_named_at_once() -> None:
    class Folding(MemoryDestination):
        def fold(self, identifier: str) -> str:
            return identifier.lower()

    schema = pa.schema([pa.field("id", pa.int64()), pa.field("ID", pa.int64())])
    infos = [StreamInfo(ORDERS, schema, ("id",)), StreamInfo(Stream("public", "Orders"), SCHEMA, ("id",))]
    with pytest.raises(ConfigError) as caught:
        require_streams(Append(), Folding(), infos, same)
    text = str(caught.value)
    assert "columns id and ID fold alike" in text
    assert "land in one table" in text


def test_a_loader_of_snapshots_refuses_a_source_that_goes_on() -> None:
    require_finite(Replace(), None)
    require_finite(Append(), "0/16B3748")
    with pytest.raises(ConfigError) as caught:
        require_finite(Replace(), "0/16B3748")
    assert "snapshot: only" in str(caught.value.hint)
