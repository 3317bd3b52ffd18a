"""Sends to names that hang and to names that do not, and says who was held up by whom.

``python -m tests.parts.slow_names ENGINE``, in a network of its own.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Iterable

from tests.contract.dispatching import ENGINES, ENVELOPE, post
from tests.parts.everywhere import Everywhere
from tests.parts.name_server import HELD, NameServer
from tests.parts.own_network import NAME_SERVER
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.dispatch.resolver import SystemResolver
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Outcome, Responded, Unreachable

ADDRESS = "93.184.216.34"
SOME, MANY, QUICK = 100, 200, 20

_TABLE = {f"slow{n}.test": [[HELD]] for n in range(MANY)} | {
    f"{kind}{n}.test": [[ADDRESS]] for kind in ("new", "known") for n in range(QUICK)
}


class Sender:
    """A dispatcher whose queue has room for all of them."""

    def __init__(self, engine: str) -> None:
        self._dispatcher: HttpDispatcher = ENGINES[engine](
            EgressSettings(), resolver=SystemResolver(ttl=0, limit=60)
        )
        self._dispatcher.configure("q", MANY + QUICK)

    def begin(self, kind: str, numbers: Iterable[int]) -> list[asyncio.Task[Outcome]]:
        """Start a request to each of these names."""
        return [asyncio.create_task(self._send(f"http://{kind}{n}.test/")) for n in numbers]

    async def _send(self, url: str) -> Outcome:
        return await self._dispatcher.send(post(url, timeout=60, connect_timeout=60), ENVELOPE)


async def _run(engine: str) -> dict[str, object]:
    sender = Sender(engine)
    with (
        NameServer(_TABLE, NAME_SERVER, 53) as names,
        Everywhere(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
    ):
        known = await asyncio.gather(*sender.begin("known", range(QUICK)))
        slow = sender.begin("slow", range(SOME))
        await names.wait_for(QUICK + SOME)
        new = await asyncio.gather(*sender.begin("new", range(QUICK)))
        early = sum(each.done() for each in slow)
        slow += sender.begin("slow", range(SOME, MANY))
        again = await asyncio.gather(*sender.begin("known", range(QUICK)))
        early += sum(each.done() for each in slow)
        names.release()
        late = await asyncio.gather(*slow)
    return {
        "known": _reached(known),
        "new beside some": _reached(new),
        "known beside many": _reached(again),
        "slow that ended before": early,
        "slow": sorted({str(each.trouble) for each in late if isinstance(each, Unreachable)}),
    }


def _reached(outcomes: Iterable[Outcome]) -> int:
    return sum(isinstance(outcome, Responded) for outcome in outcomes)


if __name__ == "__main__":
    json.dump(asyncio.run(_run(sys.argv[1])), sys.stdout)
