"""What the kit asks of a source that has a lag, or can take a snapshot again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from support.planted.source_settings import LedgerSettings
from support.planted.sources import PASSWORD, Copying, Ledger

from etl_core import Context, Lag, Registration, Stream
from etl_core.testing.clauses import run
from etl_core.testing.source import SourceConformance
from etl_core.testing.verdicts import Verdict

CLAUSES = LAG, ANEW = ("lag_is_a_measure", "a_stream_can_be_read_anew")


class Offering(Copying):
    def lag(self, ctx: Context, value: Any) -> Lag | None:
        told = value["told"] if value else 0
        return Lag(bytes=len(self.transactions()) - told, status="reserved")

    def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
        return {**value, "copied": False}


class LagFallsBelow(Offering):
    def lag(self, ctx: Context, value: Any) -> Lag | None:
        return Lag(seconds=-0.5)


class LagIsANumber(Offering):
    def lag(self, ctx: Context, value: Any) -> Any:
        return 7


class ReadsNothingAnew(Offering):
    def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
        return value


class CopiesALittle(Offering):
    """Its second copy lacks what the first had last."""

    def resync(self, value: Any, streams: Sequence[Stream]) -> Any:
        self.short = True
        return super().resync(value, streams)

    def transactions(self) -> list[Any]:
        return super().transactions()[: 1 if getattr(self, "short", False) else None]


def verdicts(source: type[Ledger]) -> dict[str, Verdict]:
    class Kit(SourceConformance):
        registration = Registration("offering", LedgerSettings, source, "Offers more")
        deadline = 10.0

        def prepare(self) -> None:
            lines = [[["i", 1, "one"]], [["i", 2, "two"], ["u", 1, "uno"]]]
            (self.directory / "ledger").write_text("\n".join(map(json.dumps, lines)))

        def config(self) -> Mapping[str, Any]:
            return {"path": str(self.directory / "ledger"), "password": PASSWORD, "endless": False}

    return {one.clause.name: one.verdict for one in run(Kit, only=CLAUSES)}


def test_what_is_offered_is_tried() -> None:
    assert verdicts(Offering) == {LAG: Verdict.PASS, ANEW: Verdict.PASS}


def test_what_is_not_offered_is_not_asked_for() -> None:
    assert verdicts(Copying) == {LAG: Verdict.SKIP, ANEW: Verdict.SKIP}


@pytest.mark.parametrize(
    ("source", "clause"),
    [(LagFallsBelow, LAG), (LagIsANumber, LAG), (ReadsNothingAnew, ANEW), (CopiesALittle, ANEW)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_is_wrong_is_caught(source: type[Ledger], clause: str) -> None:
    assert verdicts(source) == {LAG: Verdict.PASS, ANEW: Verdict.PASS} | {clause: Verdict.FAIL}
