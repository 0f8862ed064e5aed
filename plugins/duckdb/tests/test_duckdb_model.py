"""Random work against a model made of dictionaries: merges, schema changes, snapshots, aborts, restarts."""

from __future__ import annotations

import itertools
import shutil
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from etl_core import AddColumn, DropColumn, Mode, RenameColumn, Step, WidenColumn

Row = dict[str, Any]
Key = tuple[int, str]

KEYS = st.tuples(st.integers(0, 3), st.sampled_from(["a", "A", "é"]))
VALUES = st.sampled_from([None, "", "x", "y'\"", "z" * 300])
COMMENT = "SELECT comment FROM duckdb_tables() WHERE schema_name = 'shop' AND table_name = 'orders'"
NUMBERS = st.sampled_from([None, 0, -1, 2**31 - 1])


#: What the rows of one merge may need: nothing, that rows go, that keys move, that base rows are read.
NEEDS = ["", "d", "o", "do", "u", "dou"]


@st.composite
def merges(draw: st.DrawFn) -> list[Row]:
    """Return rows with distinct keys; some partial, some with an old key, some deletes, or none of these."""
    rows, needs = [], draw(st.sampled_from(NEEDS))
    for key in draw(st.lists(KEYS, unique=True, max_size=6)):
        old = draw(st.one_of(st.none(), st.none(), KEYS)) if "o" in needs else None
        unchanged = draw(st.sampled_from([(), (), ("v",), ("w",), ("v", "w")])) if "u" in needs else ()
        rows.append(
            {
                "key": key,
                "op": draw(st.sampled_from("uuid" if "d" in needs else "ui")),
                "old": None if old == key else old,
                "unchanged": unchanged,
                "v": draw(VALUES),
                "w": draw(NUMBERS),
            }
        )
    return rows


class Model:
    """What the table should hold, by key."""

    def __init__(self, *, soft: bool) -> None:
        self.soft = soft
        self.rows: dict[Key, Row] = {}
        self.columns = ["v", "w"]
        self.comment: str | None = None

    def copy(self) -> Model:
        other = Model(soft=self.soft)
        other.rows = {key: dict(row) for key, row in self.rows.items()}
        other.columns = list(self.columns)
        other.comment = self.comment
        return other

    def merge(self, rows: list[Row]) -> int:
        """Apply a set; return how many rows were refused."""
        base = self.rows
        taken = [row for row in rows if row["op"] == "d" or not row["unchanged"] or _source(row) in base]
        gone = {row["key"] for row in taken} | {row["old"] for row in taken}
        self.rows = {key: row for key, row in base.items() if key not in gone}
        for row in taken:
            if row["op"] != "d":
                found = base.get(_source(row), {})
                put = {
                    name: found[name] if name in row["unchanged"] else row.get(name) for name in self.columns
                }
                self.rows[row["key"]] = put | ({"_etl_deleted": False} if self.soft else {})
            elif self.soft and _source(row) in base:
                self.rows[row["key"]] = base[_source(row)] | {"_etl_deleted": True}
        return len(rows) - len(taken)

    def listed(self) -> list[tuple[Any, ...]]:
        names = [*self.columns, *(["_etl_deleted"] if self.soft else [])]
        return sorted(((*key, *(row[name] for name in names)) for key, row in self.rows.items()), key=repr)


def _source(row: Row) -> Key:
    return row["old"] or row["key"]


class DuckMachine(RuleBasedStateMachine):
    """One table, one pipeline; `make_duck` is set by the test."""

    make_duck: Any
    soft = False

    @initialize()
    def start(self) -> None:
        self.fences = itertools.count()
        self.duck = self.make_duck(f"{next(FILES)}.duckdb")
        self.model = Model(soft=self.soft)
        self.extra = itertools.count()
        self.staged: dict[Key, Row] | None = None
        self.types = {"k": pa.int32(), "l": pa.string(), "v": pa.string(), "w": pa.int32()}
        self.seq = 0
        self.duck.open("first")
        self._ensure()
        self._keep()

    @rule(rows=merges(), cut=st.integers(0, 6))
    def merge(self, rows: list[Row], cut: int) -> None:
        table = self.duck.rows(list(map(self._row, rows)))
        table = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
        refused = self.duck.write(Mode.MERGE, table)
        assert sum(each.rows.num_rows for each in refused) == self.model.merge(rows)
        assert all(each.code == "no_base_row" for each in refused)

    @rule()
    def truncate(self) -> None:
        self.duck.write(Mode.TRUNCATE)
        self.model.rows = {}

    @precondition(lambda self: self.staged is None)
    @rule()
    def snapshot_begin(self) -> None:
        self.duck.write(Mode.MERGE, step=Step.BEGIN)
        self.staged = {}

    @precondition(lambda self: self.staged is not None)
    @rule(rows=merges())
    def snapshot_rows(self, rows: list[Row]) -> None:
        rows = [row | {"op": "r", "old": None, "unchanged": ()} for row in rows]
        self.duck.write(Mode.MERGE, self.duck.rows(list(map(self._row, rows))), Step.ROWS)
        run = Model(soft=self.soft)
        run.columns, run.rows = self.model.columns, self.staged or {}
        run.merge(rows)
        self.staged = run.rows

    @precondition(lambda self: self.staged is not None)
    @rule()
    def snapshot_end(self) -> None:
        self.duck.write(Mode.MERGE, step=Step.END)
        self.model.rows, self.staged = self.staged or {}, None

    @rule(comment=st.sampled_from([None, "mine"]))
    def comment(self, comment: str | None) -> None:
        """Others give the table what a snapshot's rows must not lose: it cannot just be replaced."""
        db = self.duck.destination._db()
        db.begin()
        db.run(f"COMMENT ON TABLE shop.orders IS {'NULL' if comment is None else repr(comment)}")
        self.model.comment = comment

    @rule(default=st.sampled_from([None, 7]))
    def add_column(self, default: int | None) -> None:
        name = f"x{next(self.extra)}"
        self.types[name] = pa.int32()
        self._change(AddColumn(name, pa.int32(), default))
        self.model.columns.append(name)
        for row in [*self.model.rows.values(), *(self.staged or {}).values()]:
            row[name] = default

    @precondition(lambda self: len(self.model.columns) > 2)
    @rule()
    def rename_column(self) -> None:
        old, new = self.model.columns[-1], f"y{next(self.extra)}"
        self.types = {new if name == old else name: kind for name, kind in self.types.items()}
        self._change(RenameColumn(old, new))
        self.model.columns[-1] = new
        for row in [*self.model.rows.values(), *(self.staged or {}).values()]:
            row[new] = row.pop(old)

    @precondition(lambda self: len(self.model.columns) > 2)
    @rule()
    def drop_column(self) -> None:
        name = self.model.columns.pop()
        self.types.pop(name)
        self._change(DropColumn(name))
        for row in [*self.model.rows.values(), *(self.staged or {}).values()]:
            row.pop(name)

    @precondition(lambda self: self.types["w"] == pa.int32())
    @rule()
    def widen_column(self) -> None:
        self.types["w"] = pa.int64()
        self._change(WidenColumn("w", pa.int64()))

    @rule()
    def flush(self) -> None:
        self.position = self.duck.flush({"at": len(self.model.rows)})
        self._keep()

    @rule()
    def abort(self) -> None:
        self.duck.destination.abort()
        self._restore()

    @rule()
    def restart(self) -> None:
        self.duck.close()
        self.duck.open(f"fence {next(self.fences)}")
        self._restore()

    @rule()
    def crash(self) -> None:
        """Go on from the files as a killed process leaves them: the log is replayed."""
        left, self.duck = self.duck, self.make_duck(f"{next(FILES)}.duckdb")
        for suffix in ("", ".wal"):
            with suppress(FileNotFoundError):
                shutil.copy(f"{left.path}{suffix}", f"{self.duck.path}{suffix}")
        self.duck.n = left.n
        left.close()
        self.duck.open(f"fence {next(self.fences)}")
        self._restore()

    @invariant()
    def holds(self) -> None:
        order = ", ".join(f'"{name}"' for name in ("k", "l", *self.model.columns))
        flag = ", _etl_deleted" if self.soft else ""
        assert (
            sorted(self.duck.pending(f"SELECT {order}{flag} FROM shop.orders"), key=repr)
            == self.model.listed()
        )
        assert self.duck.pending(COMMENT) == [(self.model.comment,)]
        assert self.duck.destination.resume_position() == self.position

    def teardown(self) -> None:
        durable = self.durable[0]
        columns = ", ".join(f'"{name}"' for name in ("k", "l", *durable.columns))
        flag = ", _etl_deleted" if self.soft else ""
        found = self.duck.query(f"SELECT {columns}{flag} FROM shop.orders")
        comment = self.duck.query(COMMENT)
        self.duck.close()
        assert sorted(found, key=repr) == durable.listed()
        assert comment == [(durable.comment,)]

    def _row(self, row: Row) -> Row:
        out = {"k": row["key"][0], "l": row["key"][1], "_etl_op": row["op"]}
        out |= (
            {}
            if row["op"] == "d"
            else {name: row[name] for name in ("v", "w") if name not in row["unchanged"]}
        )
        out["_etl_unchanged"] = list(row["unchanged"]) if row["op"] != "d" and row["unchanged"] else None
        out["_etl_old_key"] = row["old"] and {"k": row["old"][0], "l": row["old"][1]}
        return out | ({"_etl_deleted": row["op"] == "d"} if self.soft else {})

    def _schema(self) -> pa.Schema:
        return pa.schema(list(self.types.items()))

    def _control(self) -> pa.Schema:
        return pa.schema([("_etl_deleted", pa.bool_())] if self.soft else [])

    def _ensure(self) -> None:
        self.duck.ensure(self._schema(), ("k", "l"), control=self._control())
        self.position = None

    def _change(self, change: Any) -> None:
        self.seq += 1
        seq = self.seq.to_bytes(20, "big")
        self.duck.ensure(self._schema(), ("k", "l"), [change], control=self._control(), seq=seq)
        self.duck.ensure(self._schema(), ("k", "l"), [change], control=self._control(), seq=seq)

    def _keep(self) -> None:
        if self.position is None:
            self.position = self.duck.flush("start")
        staged = None if self.staged is None else {key: dict(row) for key, row in self.staged.items()}
        self.durable = (self.model.copy(), staged, dict(self.types))

    def _restore(self) -> None:
        model, staged, types = self.durable
        self.model, self.types = model.copy(), dict(types)
        self.staged = None if staged is None else {key: dict(row) for key, row in staged.items()}
        self.duck.schemas.clear()
        self.duck.ensure(self._schema(), ("k", "l"), control=self._control())


class SoftMachine(DuckMachine):
    soft = True


FILES = itertools.count()


def _run(machine: type[DuckMachine], make_duck: Any, examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    machine.make_duck = staticmethod(make_duck)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("machine", [DuckMachine, SoftMachine])
def test_what_is_durable_is_what_the_model_says(machine: type[DuckMachine], make_duck: Any) -> None:
    _run(machine, make_duck, 8, 12)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("machine", [DuckMachine, SoftMachine])
def test_what_is_durable_is_what_the_model_says_at_length(machine: type[DuckMachine], make_duck: Any) -> None:
    _run(machine, make_duck, 200, 40)
