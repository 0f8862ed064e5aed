"""What a child process needs to go on with a clause of a destination: its kit, without its author's class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etl_core.testing.children import registration_of
from etl_core.testing.destination.kit import DestinationKit

__all__ = ["kit_of"]


def kit_of(spec: Mapping[str, Any]) -> DestinationKit:
    """Return a kit of the connector that `spec_of` described, with its settings, directory and namespace."""
    kit = DestinationKit()
    kit.registration = registration_of(spec)  # type: ignore[misc]
    kit.given = (spec["settings"], Path(spec["base"]))
    kit.begin(Path(spec["directory"]), spec["namespace"])
    return kit
