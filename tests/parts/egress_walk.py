"""Goes through the corpus of targets with the real dispatcher, and says what each one met with.

``python -m tests.parts.egress_walk CA CERTIFICATE [stub]``, in a network of its own; ``stub``: in
any network, where nothing is connected to and names are told by a table.
"""

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.contract.dispatching import ENGINES, ENVELOPE, post
from tests.parts.everywhere import Arrival, Everywhere
from tests.parts.name_server import NameServer
from tests.parts.own_network import NAME_SERVER
from tests.parts.targets import Case, Table, cases
from webhook_runner.dispatch.failure import AttemptError
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.dispatch.resolver import Resolver, SystemResolver, system_lookup
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Outcome, Refused, Responded, TimedOut, Trouble, Unreachable

FENCED = ("127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1",
          "169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fc00::1",
          "fe80::1%lo", "fec0::1", "64:ff9b::7f00:1", "2002:7f00:1::1", "240.0.0.1")  # fmt: skip
"""Where a connection would be heard of, if one were made."""

_LONGEST_CHAIN = 8
_WORDS = frozenset({"NXDOMAIN", "SERVFAIL", "REFUSED", "GARBAGE", "SILENCE"})


@dataclass
class Met:
    """What the requests of one case met with, by one engine.

    ``tried`` are the addresses that this process asked the kernel to connect to; ``arrived`` those
    at which a connection was accepted.
    """

    case: str
    engine: str
    verdicts: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    arrived: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    server_names: list[str] = field(default_factory=list)


class StubResolver:
    """Says what the table says; for names beside it, what the system knows without asking."""

    def __init__(self) -> None:
        self._table: Table = {}
        self._asked = 0

    def tell(self, table: Table) -> None:
        """From now on say what this table says, from the first turn on."""
        self._table, self._asked = table, 0

    async def resolve(self, host: str) -> tuple[str, ...]:
        turns = self._table.get(host)
        if turns is None:
            return _known(host)
        turn = turns[min(self._asked, len(turns) - 1)]
        self._asked += 1
        for _ in range(_LONGEST_CHAIN):
            turn = next((self._table[each][-1] for each in turn if each in self._table), turn)
        addresses = [each for each in turn if ":" in each or each[0].isdigit()]
        if _WORDS & set(turn) or not addresses:
            raise AttemptError(Trouble.DNS, f"{host}: told so")
        return tuple(addresses)


def _known(host: str) -> tuple[str, ...]:
    if host == "localhost":
        return ("::1", "127.0.0.1")
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except UnicodeError:
        return system_lookup(host)
    except OSError as error:
        raise AttemptError(Trouble.DNS, f"{host}: {error}") from None
    return (str(found[0][4][0]),)


@contextmanager
def _watched(*, blocked: bool) -> Iterator[list[str]]:
    """Give the addresses that Python code asks the kernel to connect to."""
    tried: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            tried.append(str(arguments[1][0]))
            if blocked:
                raise PermissionError("this network is not to be disturbed")

    sys.addaudithook(note)
    yield tried


class Walk:
    """Goes through the corpus with one dispatcher for each set of settings and engine."""

    def __init__(self, ca_file: str, tried: list[str], here: Everywhere | None) -> None:
        self._ca_file = ca_file
        self._tried = tried
        self._arrivals: list[Arrival] = here.arrivals if here else []
        stub = StubResolver()
        self._names = NameServer({}, NAME_SERVER, 53) if here else stub
        self._resolver: Resolver = SystemResolver(ttl=0, limit=60) if here else stub
        self._dispatchers: dict[tuple[str, str], HttpDispatcher] = {}

    async def go(self) -> list[Met]:
        """Return what every case met with, by each engine."""
        found = [await self._met(case, engine) for case in cases() for engine in ENGINES]
        for dispatcher in self._dispatchers.values():
            await dispatcher.close()
        return found

    async def _met(self, case: Case, engine: str) -> Met:
        self._names.tell(case.names)
        met = Met(case.id, engine)
        dispatcher = self._dispatcher(case, engine)
        tried_before, arrived_before = len(self._tried), len(self._arrivals)
        for _ in case.verdicts:
            mark = len(self._tried)
            request = post(case.url, timeout=90.0, connect_timeout=case.patience)
            outcome = await dispatcher.send(request, ENVELOPE)
            arrived = self._arrivals[-1].address if self._arrivals else ""
            verdict, detail = _told(outcome, arrived, self._tried[mark:])
            met.verdicts.append(verdict)
            met.details.append(detail)
        met.tried = self._tried[tried_before:]
        for arrival in self._arrivals[arrived_before:]:
            met.arrived.append(arrival.address)
            met.hosts.append(arrival.host)
            met.server_names.append(arrival.server_name)
        return met

    def _dispatcher(self, case: Case, engine: str) -> HttpDispatcher:
        given: Any = {"profile": case.profile, "ca_file": self._ca_file, **case.egress}
        egress = EgressSettings(**given)
        key = (engine, repr(egress))
        if key not in self._dispatchers:
            self._dispatchers[key] = ENGINES[engine](egress, resolver=self._resolver)
        return self._dispatchers[key]


def _told(outcome: Outcome, arrived: str, tried: list[str]) -> tuple[str, str]:
    """Say it in the words of the corpus."""
    match outcome:
        case Responded(200):
            return f"reached {arrived}", ""
        case Responded(status):
            return f"answered {status} by {arrived}", ""
        case Refused(rule, detail):
            return rule, detail
        case Unreachable(Trouble.CONNECT, detail) if "not to be disturbed" in detail:
            return f"reached {tried[0]}", detail
        case Unreachable(trouble, detail):
            return trouble.value, detail
        case TimedOut():
            return "timeout", ""
        case _:
            return str(outcome), ""


def main(ca_file: str, certificate: str, mode: str = "") -> None:
    """Print what every case met with, and where anybody arrived at all, as JSON."""
    with ExitStack() as stack:
        tried = stack.enter_context(_watched(blocked=bool(mode)))
        here = None
        if not mode:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            here = stack.enter_context(Everywhere(context))
        found = asyncio.run(Walk(ca_file, tried, here).go())
        if here:
            here.settle()
        arrivals = [each.address for each in here.arrivals] if here else []
        heard = here.heard_at(FENCED) if here else []
    met = [asdict(each) for each in found]
    json.dump({"met": met, "arrivals": arrivals, "heard": heard}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
