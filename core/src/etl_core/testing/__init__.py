"""The conformance kit: what every connector promises, as clauses that its author's tests inherit.

Subclass the kit of your connector's kind in a test module, give a registration and a config (for a
destination also `read_back`), and pytest runs its clauses; `etl-core certify` runs the same without pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etl_core.testing.base import Conformance
    from etl_core.testing.command import CommandConformance
    from etl_core.testing.destination import DestinationConformance
    from etl_core.testing.executor import ExecutorConformance
    from etl_core.testing.loader import LoaderConformance
    from etl_core.testing.observer import ObserverConformance
    from etl_core.testing.source import SourceConformance
    from etl_core.testing.state import StateStoreConformance
    from etl_core.testing.transform import TransformConformance
    from etl_core.testing.verdicts import Verdict

__all__ = [
    "CommandConformance",
    "Conformance",
    "DestinationConformance",
    "ExecutorConformance",
    "LoaderConformance",
    "ObserverConformance",
    "SourceConformance",
    "StateStoreConformance",
    "TransformConformance",
    "Verdict",
]

#: The module (below etl_core.testing) each public name lives in, loaded when it is first used: the command
#: `certify` is registered from this package, and looking at plugins imports neither Arrow nor the engine.
_HOMES = {
    "CommandConformance": "command",
    "Conformance": "base",
    "DestinationConformance": "destination",
    "ExecutorConformance": "executor",
    "LoaderConformance": "loader",
    "ObserverConformance": "observer",
    "SourceConformance": "source",
    "StateStoreConformance": "state",
    "TransformConformance": "transform",
    "Verdict": "verdicts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
