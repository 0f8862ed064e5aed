"""Pipeline documents: YAML text, variables, settings, and every problem at once."""

from __future__ import annotations

from etl_core.document.model import Document, Section
from etl_core.document.reading import Draft, Written, expanded, read
from etl_core.document.structure import structure

__all__ = ["Document", "Draft", "Section", "Written", "expanded", "read", "structure"]
