"""Whether the daemon does its work: what /readyz and systemd are told."""

from collections.abc import Mapping
from types import MappingProxyType

from webhook_runner.api.health import Readiness
from webhook_runner.engine.consumer import Hold
from webhook_runner.engine.queues import Queues
from webhook_runner.ports import BrokerState, StoreState

FINE = frozenset({"ok", "resting", Hold.STEERED.value})


NOTHING: Mapping[str, str] = MappingProxyType({})


def readiness(
    state: BrokerState,
    store: StoreState,
    queues: Queues,
    others: Mapping[str, str] = NOTHING,
    *,
    draining: bool,
) -> Readiness:
    """Ready means: connected, not blocked, every queue consumed, resting, or paused by request.

    A store in trouble that nobody waits for is told, and does no harm. ``others`` are parts more.
    """
    parts = {"broker": (state.blocked and f"blocked: {state.blocked}") or "ok"}
    if not state.connected:
        parts["broker"] = "not connected"
    if store.trouble and store.waits:
        parts["store"] = store.trouble
    for name, consumer in queues.consumers.items():
        parts[f"queue {name}"] = consumer.condition(consumed=name in state.consuming)
    parts |= others
    if draining:
        parts["daemon"] = "draining"
    return Readiness(all(text in FINE for text in parts.values()), parts)


def status(state: BrokerState, queues: Queues) -> str:
    """Return the one line that ``systemctl status`` shows."""
    consumed = f"{len(state.consuming)} of {len(queues.consumers)} queues consumed"
    broker = "connected" if state.connected else "broker not connected"
    if state.blocked:
        broker = f"blocked by the broker: {state.blocked}"
    return f"{broker}, {consumed}, {queues.in_flight} in flight"
