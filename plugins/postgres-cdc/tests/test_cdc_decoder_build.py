"""The package is built and works with a C compiler and without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
#: Decodes one row with whatever there is, and says what that was.
CHECK = """
from pathlib import Path
import pyarrow as pa
import etl_postgres_cdc
from etl_postgres_cdc import decoding
from etl_postgres_cdc.layout import Layout
from etl_pglib.types import PgType
text = PgType(25, -1, "text", pa.string(), lambda values: pa.array(values, pa.string()))
rows, decoder = decoding.new_rows(Layout(("v",), (text,), ())), decoding.decoder(1)
decoder.route(1, rows, 0, 0)
def wal(payload):
    return b"d" + (len(payload) + 29).to_bytes(4) + b"w" + bytes(24) + payload
decoder.feed(wal(b"B" + bytes(20)) + wal(b"I\\0\\0\\0\\1N\\0\\1t\\0\\0\\0\\2hi"))
assert decoder.run() is None
assert rows.finish().column(0).to_pylist() == ["hi"]
print(Path(etl_postgres_cdc.__file__).parent, decoding.is_compiled())
"""


def uv(*arguments: str | Path, **environment: str) -> None:
    """Run uv; ask the network only for what the cache does not have."""
    command = ["uv", "--quiet", *map(str, arguments)]
    env = os.environ | environment
    if subprocess.run([*command, "--offline"], env=env, capture_output=True, check=False).returncode:
        subprocess.run(command, env=env, check=True)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy without anything that was built."""
    unwanted = shutil.ignore_patterns("build", "*.egg-info", "*.so", "__pycache__", "tests", "*.o")
    copy = tmp_path / "sources"
    shutil.copytree(PACKAGE, copy, ignore=unwanted)
    return copy


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("compiler", "compiled"), [("/bin/false", False), ("", True)])
def test_a_wheel_is_built_and_works(sources: Path, tmp_path: Path, compiler: str, compiled: bool) -> None:
    environment = {"CC": compiler} if compiler else {}
    uv("build", "--no-config", "--out-dir", tmp_path / "built", sources, **environment)
    (wheel,) = (tmp_path / "built").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert ("etl_postgres_cdc/_wire.abi3.so" in names) == compiled
    assert not [name for name in names if name.endswith((".c", ".h"))]
    site = tmp_path / "site"
    uv("pip", "install", "--no-deps", "--no-config", "--target", site, "--python", sys.executable, wheel)
    done = subprocess.run(
        [sys.executable, "-c", CHECK],
        env=os.environ | {"PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [str(site / "etl_postgres_cdc"), str(compiled)], done.stderr
