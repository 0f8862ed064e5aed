"""The kit for transforms."""

from __future__ import annotations

from etl_core.testing.transform.answers import AnswerClauses
from etl_core.testing.transform.lineage import LineageClauses
from etl_core.testing.transform.mirrors import MirrorClauses
from etl_core.testing.transform.repeats import RepeatClauses
from etl_core.testing.transform.runs import RunClauses

__all__ = ["TransformConformance"]


class TransformConformance(RunClauses, MirrorClauses, LineageClauses, RepeatClauses, AnswerClauses):
    """What a transform promises. Give `registration`, `config` and `rows`; `key`, `stream` where they matter.

    `bad_rows` are rows it must reject. `per_batch`, `fans_out` and `varies` say what it does not promise.
    """
