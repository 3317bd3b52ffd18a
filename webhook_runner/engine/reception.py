"""From a message to an envelope that this daemon can carry: decoded, routed, addressed."""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from webhook_runner.engine.lane import Lanes
from webhook_runner.errors import InvalidTaskError
from webhook_runner.ports import Clock, Delivery, Observer
from webhook_runner.settings import Settings
from webhook_runner.task.codec import Rules, check_bodies, decode
from webhook_runner.task.event import Warned
from webhook_runner.task.model import Envelope, Message
from webhook_runner.task.url import absolute, host_of, is_allowed


class Reception:
    """Reads messages by the rules of the configuration, which a reload replaces.

    The door is the same for every task, whichever way it comes; copies of ours are inside already.
    """

    def __init__(
        self,
        settings: Settings,
        lanes: Lanes,
        clock: Clock,
        observer: Observer,
        make_id: Callable[[], str],
        *,
        has_store: bool = False,
    ) -> None:
        self._settings = settings
        self._rules = _rules(settings)
        self._lanes = lanes
        self._clock = clock
        self._observer = observer
        self._make_id = make_id
        self._has_store = has_store
        self._last_run = 0

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self._settings

    def reconfigure(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = _rules(settings)

    def read(self, delivery: Delivery) -> Envelope:
        """Return the envelope of a delivery.

        Raises:
            InvalidTaskError: whatever is wrong with the message; says what would be right.

        """
        now = self._clock.now()
        envelope = self._decoded(delivery.message, delivery.queue, now)
        again = delivery.redeliveries > 0
        if delivery.message.headers:
            # A copy of ours that a reload made impossible fails as a task does.
            envelope = self._routed(envelope, self._lanes)
            return replace(
                envelope, turn=delivery.redeliveries, doubtful=envelope.doubtful or again
            )
        envelope = self._let_in(envelope, delivery.queue)
        return replace(
            envelope,
            run=self._next_run(now),
            turn=delivery.redeliveries,
            doubtful=again,
            again=again,
        )

    def admit(self, message: Message, queue: str = "") -> Envelope:
        """Return the first copy of a task that no broker handed over, ready to be published.

        A task that does not name a queue is for ``queue``, or for ``default_queue``.

        It has its id and its generation, so the message is no publisher's any more: nothing needs
        to name it, and its redeliveries are told by (id, run, gen). An id that came with it is
        not to be used twice, if there is a store.

        Raises:
            InvalidTaskError: whatever is wrong with the message; says what would be right.

        """
        now, home = self._clock.now(), queue or self._settings.default_queue
        envelope = self._decoded(message, home, now)
        envelope = self._let_in(envelope, "")
        given = envelope.named and self._has_store
        return replace(envelope, run=self._next_run(now), gen=1, named=True, dedup=given)

    def again(self, message: Message, queue: str) -> Envelope:
        """Return a copy of ours that was kept for long, as it stood then, as a run of its own.

        Raises:
            InvalidTaskError: as ``read`` does.

        """
        now = self._clock.now()
        envelope = self._routed(self._decoded(message, queue, now), self._lanes)
        return replace(envelope, run=self._next_run(now))

    def _decoded(self, message: Message, queue: str, now: float) -> Envelope:
        decoded = decode(message, queue, now=now, rules=self._rules, make_id=self._make_id)
        for warning in decoded.warnings:
            self._observer.notice(Warned(f"{queue}: {warning}", warning))
        return decoded.envelope

    def _let_in(self, envelope: Envelope, came_by: str) -> Envelope:
        """Check at the door what depends on the queue, and answer the task for that queue.

        A queue that a reload took away keeps its lane for what came by it, and gets nothing new.
        """
        envelope = self._routed(envelope, {came_by, *self._settings.queues})
        if not self._lanes[envelope.task.queue].settings.body_on_get:
            check_bodies(envelope.task)
        self._check_addresses(envelope)
        dedup = envelope.task.dedup
        if dedup is not None and dedup.wanted and not self._has_store:
            text = "duplicates are known by a store only; none is configured: [store] url"
            raise InvalidTaskError("needs_store", text, "dedup")
        return envelope

    def later_run(self, run: int, least: int) -> int:
        """Return the number of a run that was just numbered here, if it is to be ``least`` or more.

        What comes after it gets a later one.
        """
        self._last_run = max(self._last_run, least)
        return max(run, least)

    def _next_run(self, now: float) -> int:
        """Number a new run of its id, whichever way it came: no other run here has that number."""
        self._last_run = max(self._last_run + 1, int(now * 1000))
        return self._last_run

    def _routed(self, envelope: Envelope, names: Collection[str]) -> Envelope:
        """Return it with a queue that is one of ``names`` and has a lane."""
        name = envelope.task.queue
        if name in names and name in self._lanes:
            return envelope
        default = self._settings.default_queue
        if self._settings.unknown_queue == "default" and default in self._lanes:
            return replace(envelope, task=replace(envelope.task, queue=default))
        known = ", ".join(sorted(self._settings.queues))
        raise InvalidTaskError("unknown_queue", f"{name!r} is not one of {known}", "queue")

    def _check_addresses(self, envelope: Envelope) -> None:
        """Refuse now what could never be sent: no base_url for a path, a host not allowed."""
        lane = self._lanes[envelope.task.queue]
        roll_back = envelope.task.roll_back
        for field, url in (("url", envelope.task.url), ("roll_back", roll_back and roll_back.url)):
            if not url:
                continue
            host, port = host_of(absolute(url, lane.base_url, field))
            allowed = lane.settings.allow_hosts
            if allowed and not is_allowed(host, port, allowed):
                right = ", ".join(allowed)
                raise InvalidTaskError(
                    "host_not_allowed", f"{host}:{port} is not one of {right}", field
                )


def _rules(settings: Settings) -> Rules:
    return Rules(
        max_message_bytes=settings.max_message_bytes,
        max_delay=settings.max_delay,
        strict=settings.strict,
        body_on_get=True,  # asked of the queue that it turns out to be for
    )
