from __future__ import annotations

from etl_demo.conformance import Demo


class TestDemo(Demo):
    pass
