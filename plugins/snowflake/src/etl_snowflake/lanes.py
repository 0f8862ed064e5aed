"""Lanes: per stream, what is kept with it and how far it has come since the destination was opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import attrs
import pyarrow as pa
from attrs import define, field

from etl_core import RESERVED, Mode, Position, Stream, TableSchema, unpack_seq
from etl_snowflake import control, merging, snapshots
from etl_snowflake.account import Account
from etl_snowflake.control import Kept, Window
from etl_snowflake.kept import order
from etl_snowflake.names import LONGEST, Names
from etl_snowflake.streaming import Channel, Place, Wait, channel_name, writer
from etl_snowflake.target import is_history

__all__ = ["Lane", "Lanes"]


@define(eq=False)
class Lane:
    """One stream. Seqs are hex; `mark` is the highest that was taken, `seen` the highest that came."""

    account: Account
    kept: Kept
    mark: str | None = None
    seen: str | None = None
    windows: tuple[Window, ...] = ()
    channel: Channel | None = None
    staged: int | None = None
    #: Loads that have not landed.
    pending: int = 0
    #: Whether it is known what a life before this one has streamed.
    caught_up: bool = False
    #: Whether a life before this one may have landed what is not merged.
    left_over: bool = True
    #: Whether a history's snapshot has ended, and it is not known that a position after it was saved.
    unsaved: bool = False
    #: The generation that ended last in this life.
    ended: int | None = None
    #: Whether its task, where one is wanted, was made in this life.
    scheduled: bool = False
    #: In this life, the mark just below the beginning of the last snapshot.
    begun: str | None = None
    #: Two threads open channels, and note and take out windows.
    _opening: threading.Lock = field(factory=threading.Lock)
    _noting: threading.Lock = field(factory=threading.Lock)

    @classmethod
    def of(cls, account: Account, kept: Kept) -> Lane:
        marks = [mark for mark in (kept.mark, kept.merged) if mark]
        mark = max(marks, default=None)
        unsaved = is_history(kept) and kept.merged is not None and kept.staging is None
        return cls(account, kept, mark, windows=merging.clip(kept.windows, mark), unsaved=unsaved)

    @property
    def stream(self) -> Stream:
        return self.kept.stream

    @property
    def history(self) -> bool:
        return is_history(self.kept)

    @property
    def landing(self) -> str:
        """The quoted name of the table that changes go into."""
        names = self.account.names
        return self.kept.target(names) if self.history else names.ours(self.kept.landing)

    def has_landing(self) -> bool:
        """Whether there is a landing table: a table that only takes snapshots has none."""
        account = self.account
        found = account.session.execute(*control.table_there(account.names, self.kept.landing))
        return not self.history and bool(found)

    @property
    def place(self) -> Place:
        database = self.account.config.database
        if self.history:
            return Place(database, self.kept.schema, self.kept.table)
        return Place(database, self.account.names.landing_schema, self.kept.landing)

    def is_new(self, seq: bytes | None) -> bool:
        """Whether a seq is above the mark; True for none. Raises StateError for one of an earlier epoch."""
        if seq is None or self.mark is None:
            return True
        control.check_epoch(attrs.evolve(self.kept, mark=self.mark), unpack_seq(seq)[0])
        return seq.hex() > self.mark

    def came(self, seq: str) -> None:
        self.seen = max(self.seen or "", seq)

    def taken(self, seq: str) -> None:
        self.mark = max(self.mark or "", seq)

    def catch_up(self, wait: Wait, patience: float) -> None:
        """Open the channel, and count as taken what was streamed through it before; any thread.

        Raises StateError without the fence: neither is the channel taken from the copy that has it, nor kept.
        """
        off = self.off
        if self.caught_up and (off or self.has_streamed()):
            return
        if off and not self.has_streamed():
            self.caught_up = True
            return
        self._announce()
        with self._opening:
            if not self.caught_up:
                self._open(wait, patience)
        self.account.require()

    @property
    def off(self) -> bool:
        """Whether nothing is streamed: by the settings, or since the pipe's name would be too long."""
        return self.account.config.streaming == "off" or len(self.place.pipe) > LONGEST

    def has_streamed(self) -> bool:
        """Whether rows may have gone through the generation's channel, in this life or before."""
        return self.kept.streamed == self.kept.generation

    def _announce(self) -> None:
        """Keep that the generation is streamed into, before anything is."""
        account = self.account
        with account.lock:
            generation = self.kept.generation
            with control.transaction(*account.identity):
                control.streamed(account.session, account.names, account.pipeline, self.stream, generation)
            self.kept = attrs.evolve(self.kept, streamed=generation)

    def _open(self, wait: Wait, patience: float) -> None:
        config = self.account.config
        off = self.off
        asking = attrs.evolve(config, streaming="rest") if off else config
        name = channel_name(self.account.pipeline, str(self.stream), self.kept.generation)
        channel = Channel(writer(asking, self.place, name, wait), name, wait=wait, patience=patience)
        token = channel.opened.committed
        if token and token > (self.mark or ""):
            self.extend(token, partial=False)
            self.taken(token)
        if off:
            channel.close()
        self.channel, self.caught_up = None if off else channel, True

    def extend(self, upto: str, *, partial: bool) -> None:
        """Note a Write that goes into the landing table."""
        if not self.history:
            with self._noting:
                self.windows = merging.extend(self.windows, upto, partial)

    def merged(self, upto: str | None) -> None:
        """Forget the windows up to a seq."""
        with self._noting:
            self.windows = tuple(each for each in self.windows if each.upto > (upto or ""))

    def restart(self, kept: Kept) -> None:
        """Begin anew, as after a snapshot's marker or a truncate."""
        if kept.generation != self.kept.generation:
            self.release(drop=True)
        self.kept, self.windows, self.left_over = kept, (), False
        self.mark = kept.mark

    def begin(self, seq: bytes | None) -> None:
        """Begin a snapshot."""
        self.restart(snapshots.begin(*self.account.identity, self.kept, seq, task=self.account.by_task))
        self.begun, self.staged = self.mark, 0

    def end(self, mode: Mode, seq: bytes | None) -> None:
        """Let the snapshot appear. Another one that ended in this life stays: this one is a later one."""
        above = self.begun if self.ended else self.kept.merged
        who = self.account.identity
        self.restart(snapshots.end(*who, self.kept, mode, seq, above, task=self.account.by_task))
        if self.history:
            self.unsaved, self.ended = True, self.kept.generation

    def ended_before(self) -> None:
        """The end of the snapshot came again, and was skipped: it may not be saved."""
        if self.unsaved:
            self.ended = self.kept.generation

    def confirm(self, generation: int) -> None:
        """Keep that the end of a history's snapshot is saved: a later one is added to it."""
        if not self.unsaved:
            return
        last = generation == self.kept.generation
        self.kept = snapshots.confirm(*self.account.identity, self.kept, None if last else self.begun)
        self.unsaved = not last

    def note_end(self, generation: int, position: Position) -> None:
        """Keep with the end of a history's snapshot the position with which it is saved."""
        if self.unsaved and generation == self.kept.generation and self.kept.ended is None:
            self.kept = snapshots.noted(*self.account.identity, self.kept, order(position))

    def saved(self, position: Position | None) -> None:
        """Learn which position is saved, where another life has ended a history's snapshot."""
        if not self.unsaved or self.kept.ended is None:
            return
        if position is not None and order(position) >= self.kept.ended:
            self.confirm(self.kept.generation)
        else:  # what comes has positions of its own
            self.kept = snapshots.noted(*self.account.identity, self.kept, None)

    def truncate(self, seq: bytes | None) -> None:
        """Empty the table."""
        kept = attrs.evolve(self.kept, mark=self.mark)
        self.restart(snapshots.truncate(*self.account.identity, kept, seq, task=self.account.by_task))

    def release(self, *, drop: bool = False) -> None:
        """Close the channel; the next use opens it again, unless it is to be dropped."""
        with self._opening:
            channel, self.channel, self.caught_up = self.channel, None, False
        if channel is not None:
            channel.close(drop=drop)

    def next_number(self) -> int:
        """Return the number of the next row that is staged."""
        if self.staged is None:
            self.staged = snapshots.count(self.account.session, self.account.names, self.kept)
        return self.staged


@define(eq=False)
class Lanes:
    """The streams of an open destination, looked up when they are first used."""

    account: Account
    _lanes: dict[Stream, Lane] = field(factory=dict)

    def __iter__(self) -> Iterator[Lane]:
        return iter(list(self._lanes.values()))

    def load(self) -> None:
        """Look up all streams of the pipeline."""
        account = self.account
        with account.lock:
            found = control.load(account.session, account.names, account.pipeline)
        for kept in found.values():
            self._lanes.setdefault(kept.stream, Lane.of(account, kept))

    def find(self, stream: Stream) -> Lane | None:
        return self._lanes.get(stream)

    def look(self, stream: Stream) -> Lane | None:
        """Look a stream up that another copy of the pipeline has made meanwhile. Needs the fence."""
        account = self.account
        kept = control.find(account.session, account.names, account.pipeline, stream)
        if kept is None:
            return None
        account.require()
        return self.keep(kept)

    def keep(self, kept: Kept) -> Lane:
        """Take over what is now kept with a stream's table."""
        lane = self._lanes.get(kept.stream)
        if lane is None:
            lane = self._lanes[kept.stream] = Lane.of(self.account, kept)
        lane.kept = kept
        return lane

    def of(self, stream: Stream, mode: Mode, rows: pa.Table | None, absent: Callable[[], Exception]) -> Lane:
        """Return the lane of a Write; a table that others made, or have another key, is adopted."""
        lane, account = self.find(stream), self.account
        key = _key_of(rows) if mode is Mode.MERGE and rows is not None else None
        if lane is not None and (key is None or key == lane.kept.key):
            return lane
        with account.lock:
            there = account.tables.table(stream, lane.kept if lane else None)
            if there is None:
                raise absent()
            table = _adopted(account.names, there, key or (), changes=mode is not Mode.REPLACE)
            return self.keep(account.tables.adopt(table, lane.kept if lane else None))

    def release(self) -> None:
        """Close all channels and forget everything."""
        for lane in self:
            lane.release()
        self._lanes.clear()


def _key_of(rows: pa.Table) -> tuple[str, ...]:
    return tuple(each.name for each in rows.schema.field("_etl_old_key").type)


def _adopted(names: Names, table: TableSchema, key: Sequence[str], *, changes: bool) -> TableSchema:
    """Return a table that others made as one of ours: with its control columns, where it has them."""
    if table.control is not None and len(table.control):
        return attrs.evolve(table, key=tuple(key) or table.key)
    ours = {names.fold(name): name for name in (*RESERVED, "_etl_deleted")}
    found = [each.with_name(ours[each.name]) for each in table.columns if each.name in ours]
    rest = [each for each in table.columns if each.name not in ours]
    control_columns = pa.schema(found) if changes else None
    return attrs.evolve(table, columns=pa.schema(rest), control=control_columns, key=tuple(key) or table.key)
