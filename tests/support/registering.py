"""The code of a plugin that is as it should be, to be installed for one test."""

from __future__ import annotations

__all__ = ["good"]

GOOD = """
    import attrs
    from etl_core import Registration, hookimpl

    @attrs.frozen
    class Config:
        path: str = "x"

    @hookimpl
    def etl_register_extract():
        return [Registration("{name}", Config, "nowhere:Source", summary="reads nothing")]
"""


def good(name: str = "good") -> str:
    """Return the code of a plugin with one source of that name."""
    return GOOD.replace("{name}", name)
