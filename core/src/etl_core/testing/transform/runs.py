"""A transform in a pipeline that is killed: what is there in the end is what would be there without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from etl_core.config import CommitPolicy, Duration, LoadSettings
from etl_core.connectors import TransformStep
from etl_core.engine.pipeline import Pipeline
from etl_core.interfaces import Transform
from etl_core.model import Stream
from etl_core.testing.children import connector_of, run_part, spec_of
from etl_core.testing.journal import Journal
from etl_core.testing.printed import printed_rows
from etl_core.testing.script import Script, ScriptedSource
from etl_core.testing.transform.calls import TransformKit
from etl_core.testing.verdicts import expect, not_reached

__all__ = ["RunClauses", "run_to_journal"]

_PARTS = 5


class RunClauses(TransformKit):
    """The clauses about whole runs."""

    def test_a_killed_run_ends_the_same(self) -> None:
        """A run that is killed and started again ends with the rows of one that was not.

        Take nothing from outside that changes between runs, and keep no state of your own.
        """
        rows, spec = self.sample(), spec_of(self)
        argument = {"spec": spec, "rows": str(self.directory / "rows.arrow"), "key": list(self.keys)}
        argument |= {"stream": str(self.stream), "journal": str(self.directory / "killed")}
        with pa.OSFile(argument["rows"], "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_batch(rows)
        ended = run_part(run_to_journal, argument, kill_at="before_flush:3")
        if ended:
            not_reached("the run made too few commits: `rows` must give rows")
        _run(self.make(), argument, self.directory / "killed")
        _run(self.make(), argument, self.directory / "whole")
        killed, whole = (
            printed_rows(self.directory / name, self.varies).get(str(self.stream), [])
            for name in ("killed", "whole")
        )
        expect(len(killed) == len(whole), "a killed run left another number of rows", rows=len(killed))
        place = next(
            (n for n, pair in enumerate(zip(killed, whole, strict=True)) if pair[0] != pair[1]), None
        )
        expect(place is None, "a killed run left other rows", row=place)


def run_to_journal(argument: Mapping[str, Any]) -> None:
    """Run a pipeline with the transform of a spec; a part for a child process."""
    _run(connector_of(argument["spec"]), argument, Path(argument["journal"]))


def _run(transform: Transform, argument: Mapping[str, Any], journal: Path) -> None:
    with pa.ipc.open_file(argument["rows"]) as reader:
        rows = reader.read_all()
    script = _script(Stream.parse(argument["stream"]), rows, argument["key"])
    Pipeline(
        argument["spec"]["namespace"],
        ScriptedSource(script, cut=3),
        Journal(journal),
        transforms=[TransformStep("transform", transform)],
        load=LoadSettings(commit=CommitPolicy(max_wait=Duration(0.0)), on_error="skip"),
    ).run()


def _script(stream: Stream, rows: pa.Table, key: Sequence[str]) -> Script:
    """Insert the rows in several transactions; where there are keys, update and delete the first row too."""
    script = Script(stream, rows.schema, tuple(key))
    values = rows.to_pylist()
    size = -(-len(values) // _PARTS)
    for start in range(0, len(values), size):
        script.insert(*values[start : start + size]).commit()
    if key:
        script.update(values[0]).commit()
        script.delete({name: values[0][name] for name in key}).commit()
    return script
