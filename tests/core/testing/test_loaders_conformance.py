"""The core's loaders under the kit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from etl_core.loaders.plugin import etl_register_load
from etl_core.testing.loader import LoaderConformance

_LOADERS = {each.name: each for each in etl_register_load()}


class TestAppend(LoaderConformance):
    registration = _LOADERS["append"]


class TestUpsert(LoaderConformance):
    registration = _LOADERS["upsert"]


class TestUpsertThatKeepsDeletedRows(LoaderConformance):
    registration = _LOADERS["upsert"]

    def config(self) -> Mapping[str, Any]:
        return {"delete": "soft", "metadata": True}


class TestUpsertByAnotherKey(LoaderConformance):
    registration = _LOADERS["upsert"]
    key: ClassVar[tuple[str, ...] | None] = ("id",)

    def config(self) -> Mapping[str, Any]:
        return {"keys": ["id"]}


class TestReplace(LoaderConformance):
    registration = _LOADERS["replace"]
