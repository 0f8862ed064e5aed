"""The executor of the core under its kit."""

from __future__ import annotations

from etl_core.engine.plugin import etl_register_executor
from etl_core.testing.executor import ExecutorConformance


class TestThreads(ExecutorConformance):
    (registration,) = etl_register_executor()
