"""Opening an account while the transaction of a run that was killed still holds what it has locked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from etl_core import Duration, RetryableError
from etl_core.testing.contexts import KitContext
from etl_snowflake import account as accounts
from etl_snowflake import control
from etl_snowflake.account import Account
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.names import Names


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[KitContext]:
    ctx = KitContext(pipeline="p", connector="snowflake", spill=tmp_path / "spill")
    yield ctx
    ctx.close(5)


@pytest.fixture
def opening(config: SnowflakeConfig, names: Names, ctx: KitContext) -> Iterator[Account]:
    """An account whose requests are given up soon."""
    hasty = attrs.evolve(config, network_timeout=Duration(1))
    session = Session(hasty)
    yield Account(hasty, names, ctx, "second", session)
    session.close()


@pytest.fixture
def held(session: Session, names: Names, emulator: Emulator) -> Iterator[None]:
    """A transaction that touched the fence's row, and goes no further."""
    control.install(session, names)
    control.claim(session, names, "p", "first")
    session.execute("BEGIN")
    control.require(session, names, "p", "first")
    yield
    session.close()
    emulator.switch(transaction_idle=10.0)


@pytest.mark.usefixtures("held")
def test_it_waits_until_the_service_lets_go(opening: Account, names: Names, emulator: Emulator) -> None:
    emulator.switch(transaction_idle=2.5)
    opening.install()
    assert opening.session.execute(f"SELECT FENCE FROM {names.ours(control.PIPELINES)}") == [("second",)]


@pytest.mark.usefixtures("held")
def test_it_waits_for_so_long_only(opening: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_HELD", 0.0)
    with pytest.raises(RetryableError):
        opening.install()


@pytest.mark.usefixtures("held")
def test_a_cancel_ends_it(opening: Account, ctx: KitContext) -> None:
    timer = threading.Timer(0.5, ctx.scope.stop)
    timer.start()
    with pytest.raises(RetryableError):
        opening.install()
    timer.join()
