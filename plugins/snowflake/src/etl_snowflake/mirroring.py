"""When landed changes are merged into mirrors, and how far.

Never past what is durable: a row that was refused without a word would no longer be missed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import attrs
from attrs import define, field

from etl_core import Rejected, Stream
from etl_snowflake import merging, tasks
from etl_snowflake.account import Account
from etl_snowflake.kept import Kept
from etl_snowflake.lanes import Lane, Lanes

__all__ = ["Mirrors"]

#: A task that has not merged after so many schedules is not waited for.
_SCHEDULES = 3


@define(eq=False)
class Mirrors:
    """Merges the lanes of an open destination. `rejected` is called when rows were refused."""

    account: Account
    lanes: Lanes
    rejected: Callable[[], None]
    catch_up: Callable[[Lane], None]
    """Opens a lane's channel."""
    _next: float = field(init=False)
    #: Up to where a task had merged, and since when it is so.
    _waiting: dict[Stream, tuple[str | None, float]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._next = time.monotonic() + self.account.config.merge_interval

    @property
    def due(self) -> bool:
        """Whether it is time to merge."""
        return time.monotonic() >= self._next

    def merge_all(self, ready: Mapping[Stream, str]) -> None:
        """Merge all streams up to the seqs at which they are durable and complete."""
        for lane in self.lanes:
            upto = ready.get(lane.stream)
            if upto is None and lane.left_over and lane.seen is None:
                upto = self._left_over(lane)
            self.merge(lane, upto)
        self._next = time.monotonic() + self.account.config.merge_interval

    def merge(self, lane: Lane, upto: str | None, *, by_task: bool = True) -> None:
        """Merge a stream up to a seq."""
        account = self.account
        if lane.history or upto is None or lane.kept.staging is not None:
            return
        with account.lock:
            kept = attrs.evolve(lane.kept, windows=lane.windows)
            windows = merging.due(kept, upto)
            if not windows:
                return
            if by_task and account.by_task:
                kept, rejected = self._hand_over(lane, kept, upto)
            else:
                kept, rejected = merging.merge(*account.identity, kept, upto, task=account.by_task)
            lane.kept = attrs.evolve(lane.kept, merged=kept.merged)
            lane.merged(kept.merged)
        account.ctx.metrics.count("snowflake.merges", len(windows))
        if rejected:
            self.rejected()

    def _hand_over(self, lane: Lane, kept: Kept, upto: str) -> tuple[Kept, list[Rejected]]:
        """Let the task merge; where it has done nothing for long, merge here, and say so."""
        account = self.account
        kept, rejected = tasks.hand_over(*account.identity, kept, upto)
        if self._is_overdue(lane.stream, kept, upto):
            account.ctx.logger.warning(
                "a task of Snowflake's does not merge: look at TASK_HISTORY, and at EXECUTE TASK of the role",
                stream=str(lane.stream),
            )
            kept, more = merging.merge(*account.identity, kept, upto, task=True)
            rejected = [*rejected, *more]
        return kept, rejected

    def _is_overdue(self, stream: Stream, kept: Kept, upto: str) -> bool:
        """Whether a task has left what is due where it was for so many schedules."""
        now, minutes = time.monotonic(), self.account.config.task_schedule_minutes or 0
        merged, since = self._waiting.get(stream, (kept.merged, now))
        if merged != kept.merged or not merging.due(kept, upto):
            since = now
        self._waiting[stream] = kept.merged, since
        return now - since > _SCHEDULES * 60 * minutes

    def _left_over(self, lane: Lane) -> str | None:
        """Return how far a life before this one had landed a stream that nothing has come of since.

        None where rows of it were refused and nobody has looked for them: those come again.
        """
        lane.left_over = False
        with self.account.lock:
            if not lane.has_landing():
                return None
            seq = self.account.names.column("_etl_seq")
            found = self.account.session.execute(f"SELECT MAX({seq}) FROM {lane.landing}")[0][0]
        if not found:
            return None
        self.catch_up(lane)
        if lane.channel is not None and lane.channel.opened.errors > lane.kept.errors:
            return None
        if not lane.windows or lane.windows[-1].upto < found:
            lane.extend(found, partial=False)
        return str(found)
