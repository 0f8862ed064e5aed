"""What every test directory of the workspace shares."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["etl_pglib.testing"]

# A deadline would assert a time. CI repeats the same examples, so that what it says depends on the change alone.
settings.register_profile(
    "etl", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("etl")
