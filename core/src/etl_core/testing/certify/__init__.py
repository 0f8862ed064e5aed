"""`etl-core certify`: the kit's clauses on an installed connector, without pytest.

The command finds what is meant (`targets`) and its settings (`settings`), runs the clauses in a process of
their own (`supervising`, `worker`, which fits the kit by `kits`) and prints how they end (`report`).
"""

from __future__ import annotations
