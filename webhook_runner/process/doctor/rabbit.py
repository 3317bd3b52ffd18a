"""RabbitMQ's servers as the daemon would find them."""

import time
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from webhook_runner.broker.amqp.faults import LostError
from webhook_runner.broker.amqp.probe import Probe
from webhook_runner.errors import BrokerUnavailableError
from webhook_runner.policy.rate import prefetch
from webhook_runner.process.doctor.check import Check, note, ok, problem, warning
from webhook_runner.process.doctor.objects import check_objects
from webhook_runner.settings import QueueSettings, Settings, is_loopback

OLDEST = (3, 10)
_FOR_CLUSTERS = (3, 13)
_CONSUMER_TIMEOUT = 1800.0
_SOON_SECONDS = 14 * 86_400
_DAY = 86_400


async def check_rabbit(settings: Settings) -> list[Check]:
    """Look at every server, and through the first that answers at what is in it."""
    found: list[Check] = []
    async with AsyncExitStack() as opened:
        probes: list[Probe] = []
        for server in settings.servers:
            try:
                probe = await Probe.open(server, settings.broker)
            except BrokerUnavailableError as error:
                found.append(problem("broker", str(error), "is it running, and is `server` right?"))
                continue
            opened.push_async_callback(probe.close)
            probes.append(probe)
            found += await _server(probe)
        if probes:
            try:
                found += await check_objects(probes[0], settings)
            except LostError as error:
                found.append(problem("broker", f"{probes[0].place}: the connection ended: {error}"))
    return [*found, judge_consumer_timeout(settings)]


async def _server(probe: Probe) -> list[Check]:
    found = [judge_version(probe.place, probe.version)]
    if probe.is_encrypted:
        found.append(await _certificate(probe))
    elif not is_loopback(urlsplit(probe.place).hostname or ""):
        text = f"{probe.place}: passwords and tasks travel in the clear"
        found.append(
            warning("broker", text, "amqps:// in `server`, unless the network is your own")
        )
    return found


def judge_version(place: str, version: str) -> Check:
    text = f"{place} is RabbitMQ {version}"
    numbers = tuple(int(word) for word in version.split(".")[:2] if word.isdecimal())
    if len(numbers) < len(OLDEST):
        return warning("broker", f"{text}, which says nothing of what it can do")
    if numbers < OLDEST:
        return problem("broker", f"{text}, which has not what is needed", "3.10 or later")
    if numbers < _FOR_CLUSTERS:
        return note("broker", f"{text}: good as a single node", "for a cluster 3.13 or later")
    return ok("broker", text)


async def _certificate(probe: Probe) -> Check:
    try:
        left = await probe.certificate_ends() - time.time()
    except BrokerUnavailableError as error:
        return note("tls", f"its certificate could not be looked at: {error}")
    return judge_certificate(probe.place, left)


def judge_certificate(place: str, left: float) -> Check:
    text = f"{place}: trusted; its certificate is good for {max(left, 0) // _DAY:.0f} days"
    return warning("tls", text, "have it renewed") if left < _SOON_SECONDS else ok("tls", text)


def judge_consumer_timeout(settings: Settings) -> Check:
    longest = max(map(_longest_hold, settings.queues.values()))
    text = (
        f"a message may stay unacknowledged for {longest:.0f} s, when each request takes its"
        " whole timeout; the broker's consumer_timeout cannot be asked over AMQP"
    )
    look = "`rabbitmqctl eval 'application:get_env(rabbit, consumer_timeout).'` must be above it"
    if longest >= _CONSUMER_TIMEOUT:
        return warning("broker", text, f"{look} (milliseconds; usually 1800000): raise it")
    return note("broker", text, f"{look} (milliseconds; usually 1800000)")


def _longest_hold(queue: QueueSettings) -> float:
    """Return for how many seconds the last message of a full prefetch waits and runs."""
    rounds = -(-prefetch(queue.concurrency, queue.rate) // queue.concurrency)
    return rounds * queue.timeout
