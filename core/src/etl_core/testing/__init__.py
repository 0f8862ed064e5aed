"""The conformance kit: what every connector promises, as clauses that its author's tests inherit.

Subclass the kit of your connector's kind in a test module, give a registration and a config (for a
destination also `read_back`), and pytest runs its clauses; `etl-core certify` runs the same without pytest.
"""

from __future__ import annotations

from etl_core.testing.base import Conformance
from etl_core.testing.verdicts import Verdict

__all__ = ["Conformance", "Verdict"]
