"""Runs one peer's program, times its work and tells what that took, as JSON.

Usage: python script.py PROGRAM OPTIONS

Programs run in environments of their own, with nothing of this workspace. OPTIONS is JSON with `dsn`,
`tables`, `output` (a directory) and `kind` (`parquet`, `duckdb` or `json`). A program has a function
`work(options, timer)`, which starts the timer when it is ready to begin, so that imports and connecting are
left out, and may stop it before it returns.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path


class Timer:
    """Wall and CPU seconds since the last `start`, those of ended child processes included."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), _cpu()
        self._stopped: tuple[float, float] | None = None

    def stop(self) -> tuple[float, float]:
        if self._stopped is None:
            self._stopped = time.perf_counter() - self._wall, _cpu() - self._cpu
        return self._stopped


def main(program: str, options: str) -> None:
    """Run a program; what it returns are facts to report."""
    timer = Timer()
    facts = import_module(program).work(json.loads(options), timer)
    seconds, cpu = timer.stop()
    peak = max(_own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "facts": facts or {}}))


def _own_peak() -> int:
    """Return kB; Linux also counts in `ru_maxrss` what the process had before it became this program."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main(*sys.argv[1:])
