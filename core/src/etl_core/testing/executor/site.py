"""A package that is installed for one clause, here and in child processes."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from etl_core import plugins

__all__ = ["Site"]

_DISTRIBUTION = "etl-conformance"
_FILES = {
    "METADATA": f"Metadata-Version: 2.1\nName: {_DISTRIBUTION}\nVersion: 1.0\nSummary: for a clause\n",
    "entry_points.txt": "[etl_core]\nconformance = etl_core.testing.executor.plugin\n",
}
_VARIABLES = ("PYTHONPATH", plugins.LOAD)


class Site:
    """A directory of packages with one that registers the kit's connectors, here and in child processes."""

    def __init__(self) -> None:
        self._path = Path(tempfile.mkdtemp(prefix="etl-conformance-site-"))
        self._before = {name: os.environ.get(name) for name in _VARIABLES}
        info = self._path / "etl_conformance-1.0.dist-info"
        info.mkdir()
        for name, text in _FILES.items():
            (info / name).write_text(text, encoding="utf-8")
        sys.path.append(str(self._path))
        found = filter(None, (os.environ.get("PYTHONPATH"), str(self._path)))
        os.environ["PYTHONPATH"] = os.pathsep.join(found)
        if (allowed := os.environ.get(plugins.LOAD)) is not None:
            os.environ[plugins.LOAD] = f"{allowed},{_DISTRIBUTION}"
        _look_again()

    def remove(self) -> None:
        """Leave everything as it was before."""
        for name, value in self._before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if str(self._path) in sys.path:
            sys.path.remove(str(self._path))
        shutil.rmtree(self._path, ignore_errors=True)
        _look_again()


def _look_again() -> None:
    importlib.invalidate_caches()
    plugins._discover.cache_clear()  # noqa: SLF001 - what is installed changes for a clause, and nowhere else
