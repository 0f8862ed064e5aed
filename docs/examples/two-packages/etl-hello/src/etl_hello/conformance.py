"""How the conformance kit tries these connectors; `etl-core certify etl-hello` finds the classes here."""

import pyarrow as pa

from etl_core.testing import SourceConformance, TransformConformance
from etl_hello.plugin import etl_register_extract, etl_register_transform


class HelloConformance(SourceConformance):
    registration = etl_register_extract()[0]


class ShoutConformance(TransformConformance):
    registration = etl_register_transform()[0]
    key = ("n",)

    def config(self):
        return {"column": "text"}

    def rows(self):
        texts = [None if n % 5 == 0 else f"hello {n}" for n in range(24)]
        return pa.record_batch({"n": range(24), "text": texts})
