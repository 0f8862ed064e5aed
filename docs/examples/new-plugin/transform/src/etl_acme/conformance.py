"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from typing import Any

import pyarrow as pa
from etl_core.testing import TransformConformance

from etl_acme.plugin import etl_register_transform


class AcmeConformance(TransformConformance):
    registration = etl_register_transform()[0]
    key = ("id",)

    def config(self) -> dict[str, Any]:
        return {"columns": ["name", "amount"]}

    def rows(self) -> pa.RecordBatch:
        ids = range(24)
        return pa.record_batch(
            {
                "id": pa.array(ids, pa.int64()),
                "name": [None if n % 5 == 0 else f"name {n}" for n in ids],
                "amount": [None if n % 7 == 0 else n / 4 for n in ids],
                "city": ["Bergen", "Cork"] * 12,
            }
        )
