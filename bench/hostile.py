"""What do hostile endpoints cost? Memory and time of a hundred of them at once, for each client.

``python -m bench.hostile [ENDPOINTS] [DEADLINE_SECONDS]``: for each kind of endpoint and each HTTP
client a process of its own sends to so many of them at once; the endpoints are another process.
"""

import asyncio
import gzip
import json
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.settings import EgressSettings
from webhook_runner.task.model import Envelope, Task
from webhook_runner.task.outcome import Responded
from webhook_runner.task.request import Request

Client = Literal["lean", "httpx2"]

CLIENTS: tuple[Client, ...] = ("lean", "httpx2")
MOST_MEGABYTES_EACH = 2.0
MOST_LATE_SECONDS = 0.05

_HEAD = b"HTTP/1.1 200 OK\r\n"
_ENCODED = _HEAD + b"Content-Encoding: gzip\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_BOMB = gzip.compress(bytes(30_000_000))
_BLOCK = b"x" * 65_536
_FIELD = b"X-Filler: " + b"x" * 4_000 + b"\r\n"

# What is said first, what then without end, and the seconds between.
KINDS: dict[str, tuple[bytes, bytes, float]] = {
    "bomb": (_ENCODED + b"\r\n", _BOMB, 0),
    "bomb in chunks": (_ENCODED + _CHUNKED, b"%x\r\n%s\r\n" % (len(_BOMB), _BOMB), 0),
    "endless body": (_HEAD + b"\r\n", _BLOCK, 0),
    "endless small chunks": (_HEAD + _CHUNKED, b"1\r\nx\r\n" * 1000, 0),
    "endless fields": (_HEAD, _FIELD, 0),
    "endless interim answers": (b"", b"HTTP/1.1 103 Hints\r\n\r\n" * 100, 0.01),
    "dripped head": (_HEAD, b"x", 0.05),
    "dripped body": (_HEAD + b"\r\n", b"x", 0.05),
    "silence": (b"", b"", 1),
}


def listen(parent: Connection) -> None:
    """Listen on a free port of loopback, tell it, and do what each request's path asks for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            number = int((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].strip(b"/"))
            first, then, pause = list(KINDS.values())[number]
            writer.write(first)
            while not writer.is_closing():
                writer.write(then)
                await writer.drain()
                await asyncio.sleep(pause)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
        parent.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def resident() -> tuple[float, float]:
    """Return how many megabytes of this process are resident, and how many ever were."""
    status = Path("/proc/self/status").read_text()
    found = dict(line.split(":", 1) for line in status.splitlines())
    now, most = (int(found[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return now, most


async def attack(client: Client, url: str, endpoints: int, deadline: float) -> dict[str, object]:
    """Send to so many at once, and return what that came to."""
    dispatcher = HttpDispatcher(EgressSettings(), client=client)
    dispatcher.configure("default", endpoints)
    task = Task(id="t1", queue="default", url=url, source=b"{}")
    envelope = Envelope(task, first_at=0.0, due_at=0.0)
    request = Request("POST", url, {}, b"{}", timeout=deadline, connect_timeout=deadline)
    before = resident()[0]

    async def one() -> tuple[str, float]:
        began = time.monotonic()
        outcome = await dispatcher.send(request, envelope)
        name = str(outcome.status) if isinstance(outcome, Responded) else type(outcome).__name__
        return name, time.monotonic() - began

    ended = await asyncio.gather(*(one() for _ in range(endpoints)))
    peak = resident()[1]
    await dispatcher.close()
    return {
        "each": max(0.0, peak - before) / endpoints,
        "late": max(0.0, *(seconds - deadline for _, seconds in ended)),
        "met": dict(Counter(name for name, _ in ended)),
    }


def figures(port: int, endpoints: int, deadline: float) -> Iterator[bool]:
    """Print a line for each kind and client, and give whether its targets hold."""
    for number, kind in enumerate(KINDS):
        for client in CLIENTS:
            command = (client, f"http://127.0.0.1:{port}/{number}", str(endpoints), str(deadline))
            said = subprocess.run(
                [sys.executable, "-m", "bench.hostile", "one", *command],
                check=True,
                capture_output=True,
            ).stdout
            found = json.loads(said)
            holds = found["each"] <= MOST_MEGABYTES_EACH and found["late"] <= MOST_LATE_SECONDS
            print(
                f"{kind:24} {client:7} {found['each']:6.2f} MB each (limit {MOST_MEGABYTES_EACH})"
                f" {found['late'] * 1000:6.0f} ms late (limit {MOST_LATE_SECONDS * 1000:.0f})"
                f"  {'PASS' if holds else 'FAIL'}  {found['met']}",
                flush=True,
            )
            yield holds


def main(endpoints: int = 100, deadline: float = 3.0) -> int:
    """Print the figures; returns the exit code."""
    ours, theirs = multiprocessing.Pipe()
    listener = multiprocessing.get_context("spawn").Process(
        target=listen, args=(theirs,), daemon=True
    )
    listener.start()
    try:
        hold = list(figures(ours.recv(), endpoints, deadline))
    finally:
        listener.terminate()
    return 0 if all(hold) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        which: Client = "lean" if sys.argv[2] == "lean" else "httpx2"
        json.dump(
            asyncio.run(attack(which, sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))),
            sys.stdout,
        )
    else:
        sys.exit(main(*map(int, sys.argv[1:2]), *map(float, sys.argv[2:3])))
