"""A destination that keeps everything in files: what reached it durably can be read after any crash.

`Journal` keeps its position with the data and is exactly-once; `LooseJournal` is the same without, so that
what a crash left unsaved comes twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from attrs import frozen

from etl_core.interfaces import Context, Destination
from etl_core.model import Mode, Position, Rejected, Step, Stream, TableSchema, Write

__all__ = ["Entry", "Journal", "LooseJournal", "entries"]


@frozen
class Entry:
    """One durable write: the stream, what was done, and the rows."""

    stream: Stream
    mode: Mode
    step: Step | None
    seq: bytes | None
    rows: pa.Table | None


class Journal(Destination):
    """Writes each commit into a directory of its own, which appears under its name in one step."""

    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    stages: ClassVar[bool] = True
    transactional_ddl: ClassVar[bool] = True
    keeps_position: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tables: dict[Stream, TableSchema] = {}
        self._accepted: list[Write] = []

    def open(self, ctx: Context, fence: str) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)

    def table(self, stream: Stream) -> TableSchema | None:
        return self._tables.get(stream)

    def ensure(self, table: TableSchema, changes: Sequence[Any]) -> None:
        self._tables[table.stream] = table

    def write(self, write: Write) -> Sequence[Rejected] | None:
        self._accepted.append(write)
        return None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self._commit(self._accepted, position)
        self._accepted = []
        return None

    def abort(self) -> None:
        self._accepted = []

    def resume_position(self) -> Position | None:
        commits = _commits(self._directory)
        head = json.loads((commits[-1] / "commit.json").read_text()) if commits else {}
        return Position.from_json(head["position"]) if head.get("position") else None

    def set_position(self, position: Position | None) -> None:
        self._commit([], position)

    def close(self) -> None:
        self._accepted = []

    def _commit(self, writes: Sequence[Write], position: Position | None) -> None:
        number = len(_commits(self._directory))
        unfinished = self._directory / f".unfinished-{os.getpid()}-{number}"
        unfinished.mkdir(parents=True)
        told = [_keep(unfinished, n, write) for n, write in enumerate(writes)]
        head = {"position": position.to_json() if position else None, "writes": told}
        (unfinished / "commit.json").write_text(json.dumps(head))
        unfinished.rename(self._directory / f"{number:08}")


class LooseJournal(Journal):
    """Keeps no position."""

    keeps_position: ClassVar[bool] = False


def entries(directory: Path) -> Iterator[Entry]:
    """Yield every durable write in order."""
    for commit in _commits(directory):
        for told in json.loads((commit / "commit.json").read_text())["writes"]:
            rows = None
            if told["rows"]:
                with pa.OSFile(str(commit / told["rows"])) as file, pa.ipc.open_stream(file) as reader:
                    rows = reader.read_all()
            yield Entry(
                Stream.parse(told["stream"]),
                Mode(told["mode"]),
                Step(told["step"]) if told["step"] else None,
                bytes.fromhex(told["seq"]) if told["seq"] else None,
                rows,
            )


def _commits(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("[0-9]*") if path.is_dir())


def _keep(directory: Path, number: int, write: Write) -> dict[str, Any]:
    name = None
    if write.rows is not None:
        name = f"{number:04}.arrows"
        with (
            pa.OSFile(str(directory / name), "wb") as file,
            pa.ipc.new_stream(file, write.rows.schema) as writer,
        ):
            writer.write_table(write.rows)
    return {
        "stream": str(write.stream),
        "mode": write.mode.value,
        "step": write.step.value if write.step else None,
        "seq": write.seq.hex() if write.seq else None,
        "rows": name,
    }
