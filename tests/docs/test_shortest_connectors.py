"""The connectors that authors copy keep what they promise where files are not as in the example."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_core import PositionLostError
from etl_core.testing.contexts import KitContext

PACKAGES = Path(__file__).resolve().parents[2] / "docs" / "examples" / "new-plugin"
HEAD = b"id,item\n"

FULL_DISK = """
import os, resource, signal, sys
from pathlib import Path
import pyarrow as pa
from etl_core import Mode, Position, Stream, Write
from etl_acme.config import AcmeConfig
from etl_acme.destination import AcmeDestination

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rows = pa.table({"id": pa.array(range(10_000))})

def flush(n):
    made = AcmeDestination(AcmeConfig(Path.cwd()))
    made.write(Write(Stream("", "t"), Mode.APPEND, rows))
    made.flush(Position(1, n, n))

flush(0)
size = next(Path.cwd().glob("*.arrow")).stat().st_size
for missing in (1, 4, 6, size // 2):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, resource.RLIM_INFINITY))
    try:
        flush(missing)
    except OSError:
        continue
    sys.exit(f"flush returned with {missing} bytes not written")
"""


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The example source on the directory of the test."""
    monkeypatch.syspath_prepend(PACKAGES / "source" / "src")
    from etl_acme.config import AcmeConfig  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from etl_acme.source import AcmeSource  # type: ignore[import-not-found,import-untyped,unused-ignore]

    yield AcmeSource(AcmeConfig(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "etl_acme"]:
        del sys.modules[name]


def rows_of(source: Any, spill: Path, resume: str | None = None) -> list[dict[str, Any]]:
    ctx = KitContext(pipeline="p", connector="acme", spill=spill)
    try:
        return [row for batch in source.read(ctx, resume) if batch.rows for row in batch.rows.to_pylist()]
    finally:
        ctx.close(5)


def test_files_that_are_still_written_are_not_read(source: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEAD + b"1,a\n")
    for name in ("b.csv.part", ".b.csv", ".DS_Store"):
        (tmp_path / name).write_bytes(HEAD + b"2,ha")
    (tmp_path / "older").mkdir()
    assert rows_of(source, tmp_path / "spill") == [{"id": 1, "item": "a"}]


def test_a_file_that_is_gone_stops_it(source: Any, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(HEAD + b"1,a\n")
    with pytest.raises(PositionLostError):
        rows_of(source, tmp_path / "spill", "a.csv")
    assert rows_of(source, tmp_path / "spill", "b.csv") == []


def test_a_value_may_be_of_several_lines_in_a_file_of_several_blocks(source: Any, tmp_path: Path) -> None:
    wanted = [{"id": n, "item": f"line one of {n}\nline two, and 3"} for n in range(40_000)]
    lines = "".join(f'{row["id"]},"{row["item"]}"\n' for row in wanted)
    (tmp_path / "a.csv").write_bytes(HEAD + lines.encode())
    assert (tmp_path / "a.csv").stat().st_size > 1 << 20
    assert rows_of(source, tmp_path / "spill") == wanted


def test_a_disk_that_is_full_at_the_last_bytes_is_an_error_of_flush(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PACKAGES / "destination" / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
