"""From a delivery to an envelope that this daemon can carry: decoded, routed, addressed."""

from collections.abc import Callable
from dataclasses import replace

from webhook_runner.engine.lane import Lanes
from webhook_runner.errors import InvalidTaskError
from webhook_runner.ports import Clock, Delivery, Observer
from webhook_runner.settings import Settings
from webhook_runner.task.codec import Rules, decode
from webhook_runner.task.event import Warned
from webhook_runner.task.model import Envelope, Kind
from webhook_runner.task.url import absolute, host_of, is_allowed


class Reception:
    """Reads deliveries by the rules of the configuration, which a reload replaces."""

    def __init__(
        self,
        settings: Settings,
        lanes: Lanes,
        clock: Clock,
        observer: Observer,
        make_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._lanes = lanes
        self._clock = clock
        self._observer = observer
        self._make_id = make_id
        self._last_run = 0

    def reconfigure(self, settings: Settings) -> None:
        self._settings = settings

    def read(self, delivery: Delivery) -> Envelope:
        """Return the envelope of a delivery.

        Raises:
            InvalidTaskError: whatever is wrong with the message; says what would be right.

        """
        now = self._clock.now()
        rules = Rules(
            max_message_bytes=self._settings.max_message_bytes,
            max_delay=self._settings.max_delay,
            strict=self._settings.strict,
            body_on_get=self._lanes[delivery.queue].settings.body_on_get,
        )
        decoded = decode(
            delivery.message, delivery.queue, now=now, rules=rules, make_id=self._make_id
        )
        for warning in decoded.warnings:
            self._observer.notice(Warned(f"{delivery.queue}: {warning}", warning))
        envelope = self._routed(decoded.envelope)
        if not delivery.message.headers:
            # At the door only: a copy of ours that a reload made impossible fails as a task does.
            self._check_addresses(envelope)
        return self._numbered(envelope, delivery, now)

    def _routed(self, envelope: Envelope) -> Envelope:
        name = envelope.task.queue
        if name in self._lanes:
            return envelope
        if self._settings.unknown_queue == "default":
            task = replace(envelope.task, queue=self._settings.default_queue)
            return replace(envelope, task=task)
        known = ", ".join(sorted(self._lanes))
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

    def _numbered(self, envelope: Envelope, delivery: Delivery, now: float) -> Envelope:
        """Give a publisher's message a run of its own: it is a new run of its id."""
        if delivery.message.headers or envelope.kind is Kind.ROLLBACK:
            return replace(envelope, doubtful=envelope.doubtful or delivery.redeliveries > 0)
        self._last_run = max(self._last_run + 1, int(now * 1000))
        again = delivery.redeliveries > 0
        return replace(envelope, run=self._last_run, doubtful=again, again=again)
