"""What a daemon does that loses its broker: stay and wait for it, or end (`on_disconnect`)."""

import asyncio

from webhook_runner.task.event import BrokerConnected, BrokerLost, Event

NO_BROKER = 69
"""Exit code: EX_UNAVAILABLE of sysexits.h."""


class Loss:
    """An observer that notes when a broker that was connected is lost; ``error`` says how."""

    hears = (BrokerConnected, BrokerLost)

    def __init__(self) -> None:
        self.noticed = asyncio.Event()
        self.error = ""
        self._connected = False

    def notice(self, event: Event) -> None:
        if isinstance(event, BrokerConnected):
            self._connected = True
        elif isinstance(event, BrokerLost) and self._connected:
            self._connected = False
            self.error = event.error
            self.noticed.set()
