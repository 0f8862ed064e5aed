"""Decoding alone, in a process of its own and on one core: a recorded stream in memory to Arrow.

Usage: python -m benchmarks.speed.decoding FILE frozen|compiled
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from benchmarks.frozen.stream import decode
from benchmarks.speed.clock import Moment, peak_memory
from benchmarks.speed.compiled import compiled_decode
from benchmarks.speed.contents import COLUMNS, Contents
from benchmarks.speed.processes import environment
from benchmarks.speed.recording import payloads
from benchmarks.speed.runs import Run

from etl_core import FatalError

__all__ = ["decoded"]


def frozen_decode(stream: bytes) -> list[pa.RecordBatch]:
    """Return the batches of a recorded stream, by the frozen copy."""
    return list(decode(payloads(stream)))


DECODERS = {"frozen": frozen_decode, "compiled": compiled_decode}


def decoded(path: Path, decoder: str, wanted: Contents) -> Callable[[], Run]:
    """Return the run that decodes a recorded stream; its seconds are CPU seconds."""
    command = [sys.executable, "-m", "benchmarks.speed.decoding", str(path), decoder]

    def run() -> Run:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise FatalError("a decoder failed", decoder=decoder, said=done.stderr.strip()[-2000:])
        found = json.loads(done.stdout.splitlines()[-1])
        made = Run(found["cpu"], found["cpu"], found["peak"], facts={"wall": found["wall"]})
        return made.checked(Contents.from_json(found["contents"]), wanted)

    return run


def main(path: str, decoder: str) -> None:
    """Decode once, then print what that took and what came of it, as JSON."""
    stream, function = Path(path).read_bytes(), DECODERS[decoder]
    started = Moment.now()
    batches = function(stream)
    ended, peak = Moment.now(), peak_memory()
    from benchmarks.speed import digest

    contents = digest.of_arrow((pa.Table.from_batches([batch]) for batch in batches), COLUMNS)
    wall, cpu = ended.wall - started.wall, ended.cpu - started.cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "contents": contents.to_json()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
