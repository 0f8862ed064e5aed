"""The kit of executors: a document runs elsewhere as it runs here."""

from __future__ import annotations

from typing import ClassVar

from etl_core.testing.executor.running import RunningClauses
from etl_core.testing.executor.secrecy import SecrecyClauses
from etl_core.testing.executor.stopping import StoppingClauses

__all__ = ["ExecutorConformance"]


class ExecutorConformance(StoppingClauses, SecrecyClauses, RunningClauses):
    """What every executor promises. Give `registration` and, where it has settings, `config`.

    The documents name connectors of a package that is there for the clause only; what runs in processes of
    this machine finds it through PYTHONPATH.
    """

    section: ClassVar[str] = "executor"
