"""Loads landed by COPY, each with the mark that it reaches, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pyarrow as pa
from attrs import frozen

from etl_snowflake import control
from etl_snowflake.account import Account
from etl_snowflake.bulk import Staged
from etl_snowflake.gathering import Load
from etl_snowflake.lanes import Lane

__all__ = ["Copies"]


@frozen
class Copies:
    """Lands loads; `committed` waits until all that was streamed into a lane is committed."""

    account: Account
    committed: Callable[[Lane], None]

    def land(self, loads: Sequence[Load]) -> None:
        """COPY loads of one stream into one table, with the mark that they reach."""
        lane = loads[0].lane
        self.committed(lane)  # the mark of a COPY would hide the loss of what is not
        for load in loads:
            if load.window is not None and load.mark:
                lane.extend(load.mark, partial=load.window)
        rows = pa.concat_tables([load.rows for load in loads])
        mark = next((load.mark for load in reversed(loads) if load.mark), None)
        with self.account.lock:
            staged = self._copy(lane, loads[0].table, rows, mark)
            if mark:
                lane.kept = attrs.evolve(lane.kept, mark=max(lane.kept.mark or "", mark))
        self._count(rows, staged)

    def _copy(self, lane: Lane, table: str, rows: pa.Table, mark: str | None) -> Sequence[Staged]:
        account = self.account
        return account.bulk.load(
            table,
            rows,
            directory=account.directory(lane.stream),
            name=mark or "rows",
            transaction=lambda: control.transaction(*account.identity),
            after=lambda: self._keep_mark(lane, mark),
            landed=lambda: self._has_mark(lane, mark),
        )

    def keep_marks(self, lanes: Sequence[Lane]) -> None:
        """Keep how far streams were streamed: so that it is known also without their channels."""
        account = self.account
        behind = [lane for lane in lanes if lane.mark and lane.mark > (lane.kept.mark or "")]
        with control.transaction(*account.identity):
            for lane in behind:
                self._keep_mark(lane, lane.mark)
        for lane in behind:
            lane.kept = attrs.evolve(lane.kept, mark=lane.mark)

    def _keep_mark(self, lane: Lane, mark: str | None) -> None:
        account = self.account
        if mark is not None:
            control.advance(account.session, account.names, account.pipeline, lane.stream, mark, lane.windows)

    def _has_mark(self, lane: Lane, mark: str | None) -> bool:
        account = self.account
        found = control.find(account.session, account.names, account.pipeline, lane.stream)
        return mark is not None and found is not None and (found.mark or "") >= mark

    def _count(self, rows: pa.Table, staged: Sequence[Staged]) -> None:
        metrics = self.account.ctx.metrics
        metrics.count("snowflake.copied_rows", rows.num_rows)
        metrics.count("snowflake.copied_bytes", sum(each.bytes for each in staged))
        metrics.count("snowflake.copies")
        metrics.count("snowflake.files", len(staged))
        metrics.gauge("snowflake.rows_per_copy", rows.num_rows)
