"""Which deliveries of a channel are open, and the fewest frames that settle the others."""

from bisect import bisect_left

from webhook_runner.broker.amqp import frames


class Settling:
    """``open`` are the tags that were delivered and not settled; they count up from 1.

    An ack "of all up to" a tag is sent only when nothing below the tag is open: whoever holds a
    delivery, of whichever consumer of the channel, keeps it.
    """

    def __init__(self, channel: int) -> None:
        self.open: set[int] = set()
        self.latest = 0
        self._channel = channel
        self._lowest = 1
        self._acked: list[int] = []
        self._first: list[bytes] = []

    def arrived(self, tag: int) -> None:
        self.open.add(tag)
        self.latest = tag

    def ack(self, tag: int, *, before: bool) -> None:
        """Note a tag as settled, or all up to it."""
        if before:
            self.open = {each for each in self.open if each > tag}
            self._acked = [each for each in self._acked if each > tag]
            self._first.append(frames.ack(self._channel, tag, before=True))
        elif tag in self.open:
            self.open.remove(tag)
            self._acked.append(tag)
        else:
            # Settled twice: the broker says what it thinks of that.
            self._first.append(frames.ack(self._channel, tag))

    def release(self, tag: int) -> None:
        """Note a tag as given back."""
        self.open.discard(tag)
        self._first.append(frames.give_back(self._channel, tag))

    def pack(self) -> bytes:
        """Return the frames for what was noted since the last time."""
        acked, packed = self._acked, self._first
        self._acked, self._first = [], []
        if acked:
            # What was given back goes first, so that no ack of many can be of it.
            packed += self._ack_frames(acked)
        return b"".join(packed)

    def _ack_frames(self, acked: list[int]) -> list[bytes]:
        acked.sort()
        together = bisect_left(acked, self._lowest_open())
        packed = []
        if together:
            packed.append(frames.ack(self._channel, acked[together - 1], before=together > 1))
        packed += [frames.ack(self._channel, tag) for tag in acked[together:]]
        return packed

    def _lowest_open(self) -> int:
        """Walk on from the last answer, but never further than a look at all would take."""
        lowest, still_open = self._lowest, self.open
        patience = len(still_open)
        while lowest <= self.latest and lowest not in still_open:
            lowest += 1
            patience -= 1
            if patience < 0:
                lowest = min(still_open, default=self.latest + 1)
                break
        self._lowest = lowest
        return lowest
