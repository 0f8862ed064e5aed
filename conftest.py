"""What every test directory of the workspace shares."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import tempfile
from importlib.util import find_spec

from hypothesis import HealthCheck, settings

# A plugin's own environment may be without it: `tox -e duckdb`.
pytest_plugins = ["etl_pglib.testing"] if find_spec("etl_pglib") else []

# A deadline would assert a time. CI repeats the same examples: what it says depends on the change alone.
settings.register_profile(
    "etl", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("etl")

# A shell that starts the tests in the background has these ignored, and every process of theirs inherits it.
if sys.platform != "win32":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# Where modules may not be kept compiled, each of the many processes that tests start would compile all of
# its own again, which takes longer than what it is started for: while tests run they are kept elsewhere.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, tempfile.mkdtemp(prefix="etl-core-compiled-")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    atexit.register(shutil.rmtree, sys.pycache_prefix, ignore_errors=True)
