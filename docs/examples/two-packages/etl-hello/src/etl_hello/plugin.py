"""What this package registers; loading it imports neither pyarrow nor the connectors."""

from collections.abc import Sequence

from etl_core import Registration, hookimpl
from etl_hello.config import HelloConfig, ShoutConfig


@hookimpl
def etl_register_extract() -> Sequence[Registration]:
    return [Registration("hello", HelloConfig, "etl_hello.source:Hello", "Greetings, numbered.", api=1)]


@hookimpl
def etl_register_transform() -> Sequence[Registration]:
    return [Registration("shout", ShoutConfig, "etl_hello.transform:Shout", "A column in capitals.", api=1)]
