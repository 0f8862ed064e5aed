"""Look for faults in the C of etl-postgres-cdc: its tests under sanitizers or valgrind, or a fuzzer.

Usage: python tools/sanitize.py address [PYTEST ARGUMENT...]     AddressSanitizer and UBSan (gcc)
       python tools/sanitize.py valgrind [PYTEST ARGUMENT...]    memcheck
       python tools/sanitize.py fuzz [SECONDS [CORPUS]]          libFuzzer (clang); 600 seconds

Run it with the Python of the workspace: `uv run python tools/sanitize.py address`. The module is compiled
into a directory of its own, which then stands before the installed package; nothing that is installed
changes. Without arguments the tests are those of the decoder and of its values. Ends with the status of
what it ran.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "plugins" / "postgres-cdc"
SOURCES = PLUGIN / "csrc"
TESTS = PLUGIN / "tests"
COMMON = ["-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-D_GNU_SOURCE=1"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
#: Allocations may fail, and columns are full soon: see fuzz/target.c.
FUZZED = ["-Drealloc=fuzz_realloc", "-Dcalloc=fuzz_calloc", "-DMAX_DATA=2048"]
#: Python keeps much for its whole life; exceptions of Arrow's C++ pass through a library loaded later.
#: Little is held back from the allocator, as tests measure memory.
ASAN = "detect_leaks=0:alloc_dealloc_mismatch=0:strict_string_checks=1:quarantine_size_mb=8"
PRELOADED = ("libasan.so", "libubsan.so", "libstdc++.so.6")
VALGRIND = ["valgrind", "--quiet", "--num-callers=30", "--track-origins=yes"]


def main(arguments: list[str]) -> int:
    """Do what the first argument says."""
    commands = {"address": address, "valgrind": valgrind, "fuzz": fuzz}
    if not arguments or arguments[0] not in commands:
        print(__doc__)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        return commands[arguments[0]](Path(directory), arguments[1:])


def address(directory: Path, arguments: list[str]) -> int:
    """Run tests with the module instrumented."""
    build(directory, SANITIZERS)
    libraries = [output("gcc", f"-print-file-name={name}") for name in PRELOADED]
    environment = {
        "LD_PRELOAD": ":".join(libraries),
        "ASAN_OPTIONS": ASAN,
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return test(directory, [], arguments, environment)


def valgrind(directory: Path, arguments: list[str]) -> int:
    """Run tests under memcheck, with Python's objects from malloc so that it sees each of them.

    What it says of Python itself and of libraries is left out: it counts what our code has a part in.
    """
    build(directory, [])
    log = directory / "valgrind"
    command = [*VALGRIND, f"--log-file={log}"]
    status = test(directory, command, arguments, {"PYTHONMALLOC": "malloc"})
    ours = tuple(f"({path.name}:" for path in SOURCES.glob("*.c"))
    errors = log.read_text("utf-8", "replace").split("== \n")
    found = [error for error in errors if any(name in error for name in ours)]
    print(*found, f"{len(found)} of {len(errors)} errors have a part in this module", sep="\n")
    return status or bool(found)


def build(directory: Path, flags: list[str]) -> None:
    """Put the package into a directory, with the module compiled anew."""
    package = directory / "etl_postgres_cdc"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PLUGIN / "src" / "etl_postgres_cdc", package, ignore=ignored)
    include = f"-I{sysconfig.get_paths()['include']}"
    limited = "-DPy_LIMITED_API=0x030B0000"
    files = sorted(map(str, SOURCES.glob("*.c")))
    out = str(package / "_wire.abi3.so")
    run(["gcc", *COMMON, *flags, limited, include, "-shared", "-fPIC", *files, "-o", out])


def test(directory: Path, wrapper: list[str], arguments: list[str], environment: dict[str, str]) -> int:
    """Run pytest in one process; a sanitizer that finds something ends it."""
    wanted = arguments or [
        *map(str, sorted(TESTS.glob("test_cdc_decoder*.py"))),
        str(TESTS / "test_cdc_values.py"),
    ]
    command = [*wrapper, sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider"]
    command += ["-o", "timeout=0", *wanted]
    env = os.environ | environment | {"PYTHONPATH": str(directory)}
    where = [sys.executable, "-c", "from etl_postgres_cdc import _wire; print(_wire.__file__)"]
    found = subprocess.run(where, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
    assert found.startswith(str(directory)), found
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def fuzz(directory: Path, arguments: list[str]) -> int:
    """Run the fuzzer from the seeds of the tests on; what it finds is written into the corpus' directory."""
    clang = next(filter(None, map(shutil.which, ["clang", *(f"clang-{n}" for n in range(30, 10, -1))])), None)
    if clang is None:
        print("the fuzzer needs clang")
        return 2
    seconds, corpus = (*arguments, *["600", str(directory / "corpus")][len(arguments) :])[:2]
    Path(corpus).mkdir(parents=True, exist_ok=True)
    fuzzer = directory / "fuzzer"
    files = [path for path in sorted(SOURCES.glob("*.c")) if not path.name.startswith("py_")]
    target = [*map(str, files), str(SOURCES / "fuzz" / "target.c")]
    run(
        [
            clang,
            *COMMON,
            "-fsanitize=fuzzer,address,undefined",
            *SANITIZERS[1:],
            *FUZZED,
            *target,
            "-o",
            str(fuzzer),
        ]
    )
    seeds = directory / "seeds"
    run([sys.executable, str(TESTS / "fuzz_seeds.py"), str(seeds)])
    options = [f"-max_total_time={seconds}", "-max_len=6000", "-timeout=20", "-print_final_stats=1"]
    found = f"-artifact_prefix={corpus}/found-"
    return subprocess.run([str(fuzzer), *options, found, corpus, str(seeds)], check=False).returncode


def run(command: list[str]) -> None:
    """Run a command; its failure is ours."""
    subprocess.run(command, cwd=ROOT, check=True)


def output(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
