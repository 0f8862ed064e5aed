"""What was measured, for people to read. Nothing here is slow to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl_core.cli.output import amount, size

__all__ = ["behind", "copied", "eta", "kept", "rate", "span"]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def rate(number: float) -> str:
    """Write rows per second: ``950``, ``41k``, ``1.2M``."""
    if number < 9_999.5:
        return amount(number)
    return f"{number / 1_000:.0f}k" if number < 999_500 else f"{number / 1_000_000:.1f}M"


def span(seconds: float) -> str:
    """Write a duration in its two largest units: ``2.5 s``, ``34 s``, ``12 min 5 s``, ``3 h 20 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds else "0 s"
    left, parts = round(seconds), list[str]()
    for length, unit in _UNITS:
        whole, left = divmod(left, length)
        if whole or parts:
            parts.append(f"{whole} {unit}" if whole else "")
    return " ".join(parts[:2]).strip()


def behind(lag: Mapping[str, Any] | None) -> str:
    """Write how far a source is ahead: ``1.2 MiB, 3.4 s``; nothing where it is not known."""
    if not lag:
        return ""
    parts = [size(lag["bytes"])] if lag["bytes"] is not None else []
    parts += [span(lag["seconds"])] if lag["seconds"] is not None else []
    return ", ".join(parts)


def kept(lag: Mapping[str, Any] | None) -> str:
    """Write what a source keeps of its log: ``28.0 MiB, reserved, 36.0 MiB left``."""
    if not lag:
        return ""
    parts = [size(lag["retained_bytes"])] if lag["retained_bytes"] is not None else []
    parts += [lag["status"]] if lag["status"] else []
    parts += [f"{size(lag['remaining_bytes'])} left"] if lag["remaining_bytes"] is not None else []
    return ", ".join(parts)


def copied(rows: int, estimate: int | None) -> str:
    """Write how far a snapshot is: ``1,234,567 / ~5,000,000 (25 %)``. 100 % is said of no estimate."""
    if not estimate:
        return amount(rows)
    if rows > estimate:
        return f"{amount(rows)} / ~{amount(estimate)} (more than estimated)"
    return f"{amount(rows)} / ~{amount(estimate)} ({min(99, 100 * rows // estimate)} %)"


def eta(rows: int, estimate: int | None, per_second: float) -> str:
    """Write how long a snapshot may still take; nothing where that cannot be said."""
    if not estimate or rows >= estimate or per_second <= 0:
        return ""
    return span((estimate - rows) / per_second)
