from __future__ import annotations

import pytest

from etl_core.engine.stages import stage
from etl_core.errors import Cancelled, FatalError, SchemaError


def test_an_untyped_exception_gets_a_type_and_a_place_but_not_its_text() -> None:
    with pytest.raises(FatalError) as caught, stage("transform"):
        raise ValueError("alice@example.org")
    assert caught.value.facts["stage"] == "transform"
    assert caught.value.facts["error"] == "ValueError"
    assert "test_stages.py" in str(caught.value)
    assert "alice" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("error", [SchemaError("x"), Cancelled(), KeyboardInterrupt()])
def test_typed_errors_and_interrupts_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, stage("source"):
        raise error
    assert caught.value is error
