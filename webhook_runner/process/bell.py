"""Rings when something has happened that others have to look after."""

import asyncio

from webhook_runner.task.event import (
    BrokerBlocked,
    BrokerConnected,
    BrokerLost,
    BrokerUnblocked,
    ConfigReloaded,
    ConsumingChanged,
    Event,
    StoreFailed,
    StoreMended,
)


class Bell:
    """An observer that rings when readiness may have changed."""

    hears = (
        BrokerBlocked,
        BrokerConnected,
        BrokerLost,
        BrokerUnblocked,
        ConfigReloaded,
        ConsumingChanged,
        StoreFailed,
        StoreMended,
    )

    def __init__(self) -> None:
        self.rung = asyncio.Event()
        self.store_turned = asyncio.Event()

    def notice(self, event: Event) -> None:
        if isinstance(event, StoreFailed | StoreMended):
            self.store_turned.set()
        if isinstance(event, self.hears):
            self.rung.set()
