"""What operators do to files, and what the destination says about it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from etl_core import (
    ConfigError,
    EtlError,
    FatalError,
    Mode,
    RetryableError,
    StateError,
    Stream,
    Write,
)

ORDERS = Stream("shop", "orders")

SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])


def refused(duck: Any, kind: type[EtlError], path: Path) -> EtlError:
    """Both `check` and `open` raise the same error, with a hint and the path."""
    for call in (duck.destination.check, lambda context: duck.destination.open(context, "fence")):
        with pytest.raises(kind) as error:
            call(duck.context)
        assert error.value.hint
        assert error.value.facts["path"] == str(path)
    return error.value


def test_check_changes_nothing(make_duck: Any) -> None:
    duck = make_duck()
    duck.destination.check(duck.context)
    assert not duck.path.exists()
    duck.open().close()
    before = (duck.path.read_bytes(), duck.path.stat().st_mtime_ns, sorted(duck.path.parent.iterdir()))
    duck.destination.check(duck.context)
    assert before == (
        duck.path.read_bytes(),
        duck.path.stat().st_mtime_ns,
        sorted(duck.path.parent.iterdir()),
    )


def test_check_passes_while_this_process_has_the_file_open(make_duck: Any) -> None:
    duck = make_duck().open()
    make_duck().destination.check(duck.context)


HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_file_that_another_process_has_open_is_retryable_and_names_the_holder(make_duck: Any) -> None:
    duck = make_duck()
    duck.open().close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(duck.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        error = refused(duck, RetryableError, duck.path)
        assert str(holder.pid) in str(error)
        holder.stdin.close()
        holder.wait(20)
    duck.open()


def test_an_open_file_stays_locked_while_checks_come_and_go(make_duck: Any) -> None:
    """Closing any handle of a file drops this process's locks on it: no check may open it by itself."""
    duck = make_duck().open()
    make_duck().destination.check(duck.context)
    make_duck(pipeline="other").open().close()
    script = "import sys, duckdb\ntry: duckdb.connect(sys.argv[1])\nexcept duckdb.IOException: sys.exit(7)"
    assert subprocess.run([sys.executable, "-c", script, str(duck.path)], check=False).returncode == 7


def test_a_directory_is_no_file(make_duck: Any, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    refused(make_duck("dir"), ConfigError, tmp_path / "dir")


def test_a_missing_directory_is_named(make_duck: Any, tmp_path: Path) -> None:
    refused(make_duck("nowhere/x.duckdb"), ConfigError, tmp_path / "nowhere/x.duckdb")


@pytest.mark.parametrize("content", [b"", b"hello world" * 1000, b"DUCK"], ids=["empty", "text", "short"])
def test_a_file_of_another_kind_is_not_touched(make_duck: Any, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.duckdb"
    path.write_bytes(content)
    refused(make_duck(path.name), ConfigError, path)
    assert path.read_bytes() == content


def test_a_sqlite_file_is_not_a_duckdb_file(make_duck: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    refused(make_duck(path.name), ConfigError, path)


def _filled(make_duck: Any) -> Any:
    duck = make_duck().open()
    duck.ensure(SCHEMA, ["id"])
    duck.append(*({"id": n, "note": f"{n}" * 9} for n in range(3000)))
    duck.flush()
    duck.close()
    return duck


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_file_is_a_state_error(make_duck: Any, damage: str) -> None:
    duck = _filled(make_duck)
    with duck.path.open("r+b") as file:
        if damage == "flip":
            file.seek(4096)
            file.write(b"\xff" * 8192)
        else:
            file.truncate(5000)
    refused(duck, StateError, duck.path)


def test_a_deleted_file_has_no_position(make_duck: Any) -> None:
    duck = _filled(make_duck)
    duck.path.unlink()
    duck.open()
    assert duck.destination.resume_position() is None


def test_a_restored_file_has_its_old_position(make_duck: Any, tmp_path: Path) -> None:
    duck = _filled(make_duck)
    shutil.copy(duck.path, tmp_path / "backup")
    duck.open()
    old = duck.destination.resume_position()
    duck.append({"id": 1})
    assert duck.flush("later") != old
    duck.close()
    shutil.copy(tmp_path / "backup", duck.path)
    duck.open()
    assert duck.destination.resume_position() == old


def test_too_little_memory_is_fatal_and_names_the_setting(make_duck: Any) -> None:
    duck = make_duck(memory_limit=64 << 20).open()
    duck.destination._db().run("SET temp_directory = ''")
    duck.ensure(SCHEMA, ["id"])
    with pytest.raises(FatalError) as error:
        duck.destination._db().run(
            "CREATE TABLE big AS SELECT range, md5(range::VARCHAR) FROM range(9000000) ORDER BY 2"
        )
    assert "memory_limit" in str(error.value.hint)


def test_a_value_that_duckdb_refuses_is_not_shown(duck: Any) -> None:
    duck.ensure(SCHEMA, ["id"])
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\7\0\0\0"), pa.py_buffer(b"secret\xff")]
    )
    with pytest.raises(FatalError) as error:
        duck.destination.write(Write(ORDERS, Mode.APPEND, pa.table([pa.array([1]), bad], schema=SCHEMA)))
    assert "secret" not in repr(error.value) + repr(error.value.facts)
    assert error.value.__cause__ is None
