"""The fuzzer's target takes its seeds, and what fuzzers found once, without a fault."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cdc_values import SOURCES, WARNINGS, compiler
from fuzz_seeds import main, seeds

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
#: See tools/sanitize.py.
FUZZED = ["-Drealloc=fuzz_realloc", "-Dcalloc=fuzz_calloc", "-DMAX_DATA=2048"]


def build(program: Path) -> None:
    """Compile with sanitizers, or where the compiler has none without."""
    core = [path for path in SOURCES.glob("*.c") if not path.name.startswith("py_")]
    files = [*map(str, core), *(str(SOURCES / "fuzz" / name) for name in ("target.c", "replay.c"))]
    command = [compiler(), "-std=gnu11", "-O1", "-g", "-D_GNU_SOURCE=1", *WARNINGS, *FUZZED]
    sanitized = [*command, *SANITIZERS, *files, "-o", str(program)]
    if subprocess.run(sanitized, capture_output=True, check=False).returncode:
        done = subprocess.run(
            [*command, *files, "-o", str(program)], capture_output=True, text=True, check=False
        )
        assert not done.returncode, done.stderr


def test_seeds_and_findings(tmp_path: Path) -> None:
    build(tmp_path / "replay")
    main(tmp_path / "seeds")
    inputs = [*sorted((tmp_path / "seeds").iterdir()), *sorted((SOURCES / "fuzz" / "corpus").iterdir())]
    assert len(inputs) > len(list(seeds())) > 40
    command = [str(tmp_path / "replay"), *map(str, inputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{len(inputs)} inputs\n"), done.stderr[-4000:]
