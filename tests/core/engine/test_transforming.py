"""Transforms under a mirror: what becomes of deletes, keys, marks, dropped and rejected rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.connectors import TransformStep
from etl_core.engine.transforming import TransformChain
from etl_core.errors import PluginError, SchemaError
from etl_core.interfaces import Context, Transform
from etl_core.model import OLD_KEY, OP, SEQ, UNCHANGED, Batch, Rejected, Stream, Transformed, pack_seq
from etl_core.schema import add_reserved, key_of, reserved_schema, with_key

ORDERS = Stream("public", "orders")
COLUMNS = with_key(
    pa.schema([("id", pa.int64()), ("name", pa.string()), ("body", pa.string()), ("n", pa.int64())]), ["id"]
)
SCHEMA = pa.schema([*COLUMNS, *reserved_schema(COLUMNS, ["id"])], COLUMNS.metadata)

Row = dict[str, Any]
Apply = Callable[[Any, pa.RecordBatch], Any]
Inputs = Mapping[str | None, Sequence[str]] | None


def row(
    op: str, key: int, *, seq: int = 1, old: int | None = None, unchanged: Sequence[str] = (), **data: Any
) -> Row:
    values = {} if op == "d" else {"name": "ann", "body": "long", "n": 1} | data
    sent = {name: value for name, value in values.items() if name not in unchanged}
    return sent | {
        "id": key,
        OP: op,
        SEQ: pack_seq(1, 1, seq),
        UNCHANGED: list(unchanged) or None,
        OLD_KEY: None if old is None else {"id": old},
    }


def batch(*rows: Row) -> Batch:
    return Batch.of(ORDERS, pa.RecordBatch.from_pylist(list(rows), schema=SCHEMA))


class Custom(Transform):
    """A transform made of a function, for one test."""

    maps_keys: ClassVar[bool] = False

    def __init__(
        self,
        function: Apply,
        inputs: Inputs = None,
        schema: Callable[[pa.Schema], pa.Schema] = lambda schema: schema,
        maps_keys: bool = False,
    ) -> None:
        self._function = function
        self._inputs = inputs
        self._schema = schema
        self.maps_keys = maps_keys  # type: ignore[misc]
        self.closed = False

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        return self._schema(schema)

    def inputs(self, stream: Stream) -> Inputs:
        return self._inputs

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch | Transformed:
        answer: pa.RecordBatch | Transformed = self._function(ctx, rows)
        return answer

    def close(self) -> None:
        self.closed = True


class Recording:
    """A context that keeps what is rejected, as the engine's does."""

    def __init__(self) -> None:
        self.rejections: list[tuple[list[int], str, str | None]] = []

    def reject(self, indices: Sequence[int], code: str, column: str | None = None) -> None:
        self.rejections.append((list(indices), code, column))


def chain_of(*transforms: Transform, mirror: bool = True, streams: Sequence[str] = ("*",)) -> TransformChain:
    steps = [TransformStep(f"t{n}", transform, streams) for n, transform in enumerate(transforms)]
    chain = TransformChain(steps, lambda name: Recording(), mirror=mirror)  # type: ignore[arg-type, return-value]
    chain.open()
    return chain


def run(chain: TransformChain, *rows: Row) -> tuple[list[Row], list[Rejected]]:
    found, rejected = chain.apply(batch(*rows))
    found.validate(full=True)
    return found.to_pylist(), rejected


def upper(column: str = "name", inputs: Inputs = None) -> Custom:
    def apply(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
        index = rows.schema.get_field_index(column)
        return rows.set_column(index, column, pc.utf8_upper(rows.column(index)))

    return Custom(apply, inputs)


def keep_positive(ctx: Any, rows: pa.RecordBatch) -> Transformed:
    kept = pc.indices_nonzero(pc.greater(rows.column("n"), 0))
    return Transformed(rows.take(kept), kept)


def untouched(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows


class TestRows:
    def test_a_stream_no_step_is_for_passes_as_the_same_object(self) -> None:
        given = batch(row("i", 1))
        rows, rejected = chain_of(upper(), streams=["public.other"]).apply(given)
        assert rows is given.rows
        assert rejected == []

    def test_columns_a_transform_leaves_alone_keep_their_memory(self) -> None:
        given = batch(row("i", 1), row("u", 2))
        rows, _ = chain_of(upper()).apply(given)
        for column in ("id", "body", OP, SEQ):
            before, after = given.rows.column(column), rows.column(column)
            assert [b and b.address for b in after.buffers()] == [b and b.address for b in before.buffers()]

    def test_transforms_see_data_columns_only_and_no_deletes(self) -> None:
        seen: list[pa.RecordBatch] = []

        def look(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            seen.append(rows)
            return rows

        run(chain_of(Custom(look)), row("i", 1), row("d", 2))
        assert seen[0].schema.names == COLUMNS.names
        assert seen[0].column("id").to_pylist() == [1]

    def test_deletes_keep_their_place_between_changed_rows(self) -> None:
        rows, _ = run(
            chain_of(upper()), row("d", 1, seq=1), row("i", 1, seq=2), row("d", 2, seq=3), row("u", 3, seq=4)
        )
        assert [(r[OP], r["id"], r["name"]) for r in rows] == [
            ("d", 1, None),
            ("i", 1, "ANN"),
            ("d", 2, None),
            ("u", 3, "ANN"),
        ]
        assert [r[SEQ] for r in rows] == [pack_seq(1, 1, n) for n in (1, 2, 3, 4)]

    def test_a_batch_of_deletes_never_meets_a_transform(self) -> None:
        def refuse(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            raise AssertionError

        rows, _ = run(chain_of(Custom(refuse)), row("d", 1), row("d", 2))
        assert [r["id"] for r in rows] == [1, 2]

    def test_a_chain_applies_in_order_with_new_and_lost_columns(self) -> None:
        def without_n(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            return rows.drop_columns(["n"]).append_column("size", pc.utf8_length(rows.column("name")))

        def shape(schema: pa.Schema) -> pa.Schema:
            return schema.remove(schema.get_field_index("n")).append(pa.field("size", pa.int32()))

        chain = chain_of(upper(), Custom(without_n, schema=shape))
        assert chain.schema(ORDERS, COLUMNS, ["id"]).names == ["id", "name", "body", "size"]
        assert key_of(chain.schema(ORDERS, COLUMNS, ["id"])) == ("id",)
        rows, _ = run(chain, row("i", 1), row("d", 2))
        assert [(r["name"], r["size"]) for r in rows] == [("ANN", 3), (None, None)]
        assert all(seconds > 0 for seconds in chain.durations)

    def test_a_new_schema_takes_a_new_way(self) -> None:
        chain = chain_of(upper())
        run(chain, row("i", 1))
        wider = pa.record_batch({"id": [1], "name": ["bob"], "extra": [True]})
        rows, _ = chain.apply(Batch.of(ORDERS, add_reserved(wider, ["id"], "i")))
        assert rows.to_pylist()[0] | {"id": 1, "name": "BOB", "extra": True} == rows.to_pylist()[0]

    def test_no_rows_are_transformed_too(self) -> None:
        assert run(chain_of(upper())) == ([], [])


class TestDropped:
    def test_a_dropped_update_is_a_delete_and_a_dropped_insert_is_nothing(self) -> None:
        chain = chain_of(Custom(keep_positive))
        rows, rejected = run(
            chain, row("i", 1, n=0), row("r", 2, n=0), row("u", 3, n=0, seq=3), row("u", 4, n=5, seq=4)
        )
        assert [(r[OP], r["id"], r[SEQ]) for r in rows] == [
            ("d", 3, pack_seq(1, 1, 3)),
            ("u", 4, pack_seq(1, 1, 4)),
        ]
        assert rejected == []

    def test_a_dropped_move_deletes_the_old_key(self) -> None:
        rows, _ = run(chain_of(Custom(keep_positive)), row("u", 3, n=0, old=2))
        assert [(r[OP], r["id"], r[OLD_KEY]) for r in rows] == [("d", 2, None)]

    def test_the_row_dropped_late_in_the_chain_is_the_same_delete(self) -> None:
        rows, _ = run(
            chain_of(upper(), Custom(keep_positive), upper()),
            row("u", 1, n=0),
            row("u", 2, old=9),
        )
        assert [(r[OP], r["id"], r[OLD_KEY]) for r in rows] == [("d", 1, None), ("u", 2, {"id": 9})]

    def test_a_history_just_lacks_dropped_rows_and_may_have_more(self) -> None:
        def twice(ctx: Any, rows: pa.RecordBatch) -> Transformed:
            origin = [n for n in range(rows.num_rows) for _ in range(2)]
            return Transformed(rows.take(pa.array(origin)), origin)

        rows, _ = run(
            chain_of(Custom(keep_positive), Custom(twice), mirror=False), row("u", 1, n=0), row("u", 2)
        )
        assert [r["id"] for r in rows] == [2, 2]


class TestRejected:
    def test_rejected_rows_are_absent_and_handed_back_as_they_were_given(self) -> None:
        def reject(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            ctx.reject([1], "bad_name", "name")
            ctx.reject([1, 2], "worse")
            return rows.take(pa.array([0]))

        chain = chain_of(upper(), Custom(reject))
        rows, rejected = run(chain, row("d", 9), row("u", 1), row("u", 2, seq=7), row("u", 3))
        assert [(r[OP], r["id"]) for r in rows] == [("d", 9), ("u", 1)]
        assert [(r.code, r.column, r.stage) for r in rejected] == [
            ("bad_name", "name", "transform:t1"),
            ("worse", None, "transform:t1"),
        ]
        [lost] = rejected[0].rows.to_pylist()
        assert (lost["id"], lost["name"], lost[SEQ]) == (2, "ANN", pack_seq(1, 1, 7))

    def test_rejecting_a_row_that_is_not_there_is_the_transforms_fault(self) -> None:
        def reject(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            ctx.reject([5], "bad")
            return rows

        with pytest.raises(PluginError, match="not given"):
            run(chain_of(Custom(reject)), row("i", 1))


class TestUnsent:
    """Columns the source did not send."""

    def test_a_column_that_passes_keeps_its_mark(self) -> None:
        rows, _ = run(
            chain_of(upper(inputs={"name": ["name"]})), row("u", 1, unchanged=["body"]), row("u", 2)
        )
        assert [r[UNCHANGED] for r in rows] == [["body"], None]

    def test_a_column_made_of_an_unsent_one_is_unsent(self) -> None:
        def rename(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            return rows.rename_columns(["id", "name", "text", "n"])

        def shape(schema: pa.Schema) -> pa.Schema:
            return schema.set(2, pa.field("text", pa.string()))

        chain = chain_of(Custom(rename, {"text": ["body"]}, shape))
        rows, _ = run(chain, row("u", 1, unchanged=["body"]), row("u", 2, unchanged=["n"]))
        assert [r[UNCHANGED] for r in rows] == [["text"], ["n"]]

    def test_a_row_whose_unsent_columns_are_all_gone_is_whole(self) -> None:
        def without_body(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            return rows.drop_columns(["body"])

        chain = chain_of(Custom(without_body, {}, lambda schema: schema.remove(2)))
        rows, _ = run(chain, row("u", 1, unchanged=["body"]))
        assert rows[0][UNCHANGED] is None

    def test_without_inputs_untouched_columns_keep_their_marks(self) -> None:
        def copied(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            return pa.RecordBatch.from_pylist(rows.to_pylist(), schema=rows.schema)

        rows, _ = run(chain_of(Custom(copied)), row("u", 1, unchanged=["body"]))
        assert rows[0][UNCHANGED] == ["body"]

    def test_without_inputs_a_changed_column_stops_the_mirror(self) -> None:
        with pytest.raises(SchemaError, match="not all sent") as caught:
            run(chain_of(upper()), row("u", 1, unchanged=["body"]))
        assert caught.value.column == "name"
        assert "REPLICA IDENTITY FULL" in str(caught.value.hint)
        assert "`inputs`" in str(caught.value.hint)

    def test_a_changed_column_is_no_matter_where_everything_was_sent(self) -> None:
        rows, _ = run(chain_of(upper()), row("u", 1))
        assert rows[0]["name"] == "ANN"

    @pytest.mark.parametrize("inputs", [None, {}, {None: ["n"]}], ids=["none", "not deciding", "deciding"])
    def test_a_row_dropped_for_an_unsent_value_stops_the_mirror(self, inputs: Inputs) -> None:
        chain = chain_of(Custom(keep_positive, inputs))
        with pytest.raises(SchemaError, match="was dropped"):
            run(chain, row("u", 1, unchanged=["n"]))

    def test_a_row_dropped_for_a_sent_value_is_a_delete(self) -> None:
        chain = chain_of(Custom(keep_positive, {None: ["n"]}))
        rows, _ = run(chain, row("u", 1, n=0, unchanged=["body"]))
        assert [(r[OP], r["id"], r[UNCHANGED]) for r in rows] == [("d", 1, None)]

    def test_a_history_keeps_marks_and_never_stops(self) -> None:
        rows, _ = run(chain_of(upper(), mirror=False), row("u", 1, unchanged=["body"]))
        assert (rows[0]["name"], rows[0][UNCHANGED]) == ("ANN", ["body"])

    def test_check_warns_before(self) -> None:
        def shape(schema: pa.Schema) -> pa.Schema:
            return schema.append(pa.field("size", pa.int64()))

        chain = chain_of(
            upper(), Custom(untouched, {"name": ["name"]}, shape), upper(inputs={"name": ["name"]})
        )
        warnings = chain.warnings(ORDERS, COLUMNS)
        assert [warning.split(" for ")[0] for warning in warnings] == [
            "t0 declares no `inputs`",
            "t1 declares no inputs of size",
        ]
        assert chain_of(upper(), mirror=False).warnings(ORDERS, COLUMNS) == []


class TestKeys:
    def shifted(self, by: int = 100) -> Custom:
        def apply(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            return rows.set_column(0, "id", pc.cast(pc.add(rows.column("id"), by), pa.string()))

        return Custom(apply, {"id": ["id"]}, lambda s: s.set(0, pa.field("id", pa.string())), maps_keys=True)

    def test_keys_of_deletes_and_moves_are_mapped_like_those_of_rows(self) -> None:
        chain = chain_of(upper(), self.shifted())
        rows, _ = run(chain, row("u", 1, old=2), row("d", 3), row("i", 4))
        assert [(r[OP], r["id"], r[OLD_KEY]) for r in rows] == [
            ("u", "101", {"id": "102"}),
            ("d", "103", None),
            ("i", "104", None),
        ]

    def test_a_dropped_update_is_a_delete_of_the_mapped_key(self) -> None:
        rows, _ = run(
            chain_of(Custom(keep_positive), self.shifted()), row("u", 1, n=0), row("u", 5, n=0, old=6)
        )
        assert [(r[OP], r["id"]) for r in rows] == [("d", "101"), ("d", "106")]

    def test_old_keys_have_the_type_of_the_mapped_key_also_when_none_is_set(self) -> None:
        rows, _ = chain_of(self.shifted()).apply(batch(row("i", 1)))
        assert rows.schema.field(OLD_KEY).type == pa.struct([("id", pa.string())])

    def test_a_key_is_not_changed_unless_declared(self) -> None:
        def apply(ctx: Any, rows: pa.RecordBatch) -> pa.RecordBatch:
            return rows.set_column(0, "id", pc.add(rows.column("id"), 1))

        with pytest.raises(PluginError, match="changed a key column") as caught:
            run(chain_of(Custom(apply)), row("i", 1))
        assert "maps_keys" in str(caught.value.hint)

    def test_a_transform_that_maps_keys_maps_every_one(self) -> None:
        chain = chain_of(Custom(keep_positive, maps_keys=True))
        with pytest.raises(PluginError, match="left one out"):
            run(chain, row("i", 1), row("d", 2))

    def test_a_stream_without_a_key_is_transformed(self) -> None:
        rows = add_reserved(pa.record_batch({"name": ["ann", "bob"]}), [], "i")
        found, _ = chain_of(upper(), mirror=False).apply(Batch.of(ORDERS, rows))
        assert found.column("name").to_pylist() == ["ANN", "BOB"]


class TestContract:
    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            (lambda s: s.append(pa.field("_etl_op", pa.string())), "reserved name"),
            (lambda s: s.append(pa.field("name", pa.string())), "two columns of one name"),
            (lambda s: s.remove(0), "drops a key column"),
            (lambda s: s.set(0, pa.field("id", pa.string())), "type of a key column"),
        ],
        ids=["reserved", "repeated", "key dropped", "key retyped"],
    )
    def test_columns_that_cannot_be_loaded_are_refused(
        self, shape: Callable[[pa.Schema], pa.Schema], message: str
    ) -> None:
        with pytest.raises(SchemaError, match=message) as caught:
            chain_of(Custom(untouched, schema=shape)).schema(ORDERS, COLUMNS, ["id"])
        assert caught.value.transform == "t0"

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (lambda rows: rows.slice(1), "another number of rows"),
            (lambda rows: rows.to_pylist(), "something else than rows"),
            (lambda rows: Transformed(rows, [0]), "does not fit"),
            (lambda rows: Transformed(rows, [0, 9]), "does not fit"),
            (lambda rows: Transformed(rows, [1, 0]), "order of rows"),
            (lambda rows: Transformed(rows, [1, 1]), "several rows of one"),
            (lambda rows: rows.rename_columns(["id", "name", "body", "m"]), "other columns"),
        ],
        ids=["count", "type", "origin", "range", "order", "several", "columns"],
    )
    def test_a_broken_answer_names_the_transform(self, answer: Callable[[Any], Any], message: str) -> None:
        chain = chain_of(Custom(lambda ctx, rows: answer(rows)))
        with pytest.raises(PluginError, match=message) as caught:
            run(chain, row("i", 1), row("i", 2))
        assert caught.value.transform == "t0"

    def test_every_transform_is_closed_though_one_fails(self) -> None:
        failing, other = Custom(untouched), Custom(untouched)
        failing.close = SimpleNamespace(__call__=None).__call__  # type: ignore[method-assign]
        with pytest.raises(TypeError):
            chain_of(other, failing).close()
        assert other.closed


def _source(random: Random) -> tuple[list[Row], dict[int, Row]]:
    """Return changes of a small table, and what it holds after them."""
    state: dict[int, Row] = {}
    changes = []
    for seq in range(1, random.randrange(2, 16)):
        key = random.randrange(4)
        values: Any = {"name": random.choice("ab"), "body": random.choice("xy"), "n": random.randrange(2)}
        if key not in state:
            state[key] = values
            changes.append(row("i", key, seq=seq, **values))
        elif random.random() < 0.25:
            del state[key]
            changes.append(row("d", key, seq=seq))
        else:
            free = [k for k in range(4) if k not in state]
            target = random.choice([key, *free])
            unchanged = random.choice([[], ["body"]])
            before = state.pop(key)
            state[target] = values | {name: before[name] for name in unchanged}
            old = None if target == key else key
            data: Any = state[target]
            changes.append(row("u", target, seq=seq, old=old, unchanged=unchanged, **data))
    return changes, state


@settings(max_examples=150)
@given(random=st.randoms(use_true_random=True))
def test_a_filtered_mirror_holds_what_the_filter_keeps_of_the_table(random: Random) -> None:
    """Partial rows whose base the filter had dropped are for the destination to refuse: full ones here."""
    changes, state = _source(random)
    for change in changes:
        change.update({UNCHANGED: None} | ({"body": "x"} if change[OP] != "d" else {}))
    chain = chain_of(upper(inputs={"name": ["name"]}), Custom(keep_positive, {None: ["n"]}))
    mirror: dict[int, tuple[str, int]] = {}
    cut = random.randrange(len(changes) + 1)
    for part in (changes[:cut], changes[cut:]):
        for found in run(chain, *part)[0] if part else ():
            mirror.pop(found["id"], None)
            if found[OLD_KEY]:
                mirror.pop(found[OLD_KEY]["id"], None)
            if found[OP] != "d":
                mirror[found["id"]] = (found["name"], found["n"])
    assert mirror == {key: (v["name"].upper(), v["n"]) for key, v in state.items() if v["n"] > 0}
