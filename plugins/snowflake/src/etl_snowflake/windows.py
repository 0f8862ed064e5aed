"""Windows of landed rows that are merged together: noted as Writes land, cut where the mark is."""

from __future__ import annotations

from collections.abc import Sequence

from etl_snowflake.kept import Kept, Window

__all__ = ["clip", "due", "extend"]


def extend(windows: Sequence[Window], upto: str, partial: bool) -> tuple[Window, ...]:
    """Return the windows after another Write has landed, up to its last seq: whole Writes share one."""
    if windows and not partial and not windows[-1].partial:
        return (*windows[:-1], Window(upto, partial=False))
    return (*windows, Window(upto, partial))


def clip(windows: Sequence[Window], mark: str | None) -> tuple[Window, ...]:
    """Return the windows of what is there when a stream is taken up again: nothing above its mark is."""
    below = tuple(window for window in windows if mark is not None and window.upto <= mark)
    beyond = windows[len(below) : len(below) + 1]
    if mark is None or not beyond or (below and below[-1].upto == mark):
        return below
    return (*below, Window(mark, beyond[0].partial))


def due(kept: Kept, upto: str) -> tuple[Window, ...]:
    """Return the windows that are to be merged now: up to a seq at which all that is landed is complete."""
    found: list[Window] = []
    for window in kept.windows:
        done = found[-1].upto if found else kept.merged or ""
        if window.upto > upto:
            cut = [Window(upto, partial=False)] if not window.partial and upto > done else []
            return (*found, *cut)
        if window.upto > done:
            found.append(window)
    return tuple(found)
