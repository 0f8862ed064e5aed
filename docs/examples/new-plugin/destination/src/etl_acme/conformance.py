"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from typing import Any
from urllib.parse import quote

import pyarrow as pa
from etl_core import Stream
from etl_core.testing import DestinationConformance
from pyarrow import feather

from etl_acme.plugin import etl_register_destination


class AcmeConformance(DestinationConformance):
    registration = etl_register_destination()[0]
    ordered = True

    def config(self) -> dict[str, Any]:
        return {"directory": str(self.directory)}

    def read_back(self, stream: Stream) -> pa.Table | None:
        files = sorted(self.directory.glob(f"{quote(str(stream), safe='')}@*.arrow"))
        tables = [feather.read_table(file, memory_map=False) for file in files]
        return pa.concat_tables(tables, promote_options="permissive") if tables else None
