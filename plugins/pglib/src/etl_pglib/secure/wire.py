"""Messages over a channel, and raw bytes for those who frame by themselves."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from etl_pglib import failures
from etl_pglib.secure import messages
from etl_pglib.secure.channel import Channel

__all__ = ["Wire"]

#: Bytes handed over, and reads made, by one `fill`: a fast server does not keep its caller for ever.
_FILL, _READS = 4 << 20, 4096
#: Seconds between two looks at whether to go on.
_LOOK = 0.1


@define(eq=False, repr=False)
class Wire:
    """What `channel` brings, for one thread. Raises OSError where the connection ends."""

    channel: Channel
    #: What came and was not used yet.
    _rest: bytearray = field(init=False, factory=bytearray)

    def next(self, limit: int, look: Callable[[], object]) -> tuple[bytes, bytes]:
        """Wait for a message of at most `limit` bytes: its kind and body. Raises messages.Malformed.

        `look` is called before each wait, at least every 0.1 s; what it raises ends the waiting.
        """
        while (found := messages.take(self._rest, limit)) is None:
            look()
            self.channel.wait(_LOOK)
            self._rest += self.channel.pull() or b""
        return found

    def back(self, data: bytes) -> None:
        """Put `data` before what comes next."""
        self._rest[:0] = data

    def wait(self, timeout: float) -> bool:
        return bool(self._rest) or self.channel.wait(timeout)

    def fill(self, sink: Callable[[memoryview], object]) -> bool:
        """Hand over what has come, without waiting; say whether anything had.

        Raises RetryableError at the end, in a call of its own.
        """
        came = len(self._rest)
        if came:
            rest, self._rest = self._rest, bytearray()
            sink(memoryview(rest))
        for _ in range(_READS):
            if came >= _FILL:
                break
            try:
                data = self.channel.pull()
            except OSError:
                if came:
                    break  # the next call meets it again
                raise failures.executing(None, "reading", None) from None
            if data is None:
                break
            if data:
                sink(data)
            came += len(data)
        return came > 0
