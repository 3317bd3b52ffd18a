"""What the receiver can do at the most: so that one sees that it is no bottleneck."""

import subprocess

from bench.race import built
from bench.race.arena import Arena
from bench.race.contender import IN_FLIGHT
from bench.race.finding import Findings, Row, Scale
from bench.race.sink import Sink

SECONDS = 2.0


def measure(arena: Arena, scale: Scale) -> Findings:
    """Send it requests from as many connections as a worker has, one after the other on each."""
    scale.step("receiver")
    with Sink(arena.directory) as sink:
        command = [str(built.load()), str(sink.port), str(IN_FLIGHT), str(SECONDS)]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        cpu = sink.cpu_seconds() / SECONDS
    rate = float(said.stdout)
    found = Findings()
    found.figures["receiver_per_s"] = rate
    who = f"sink.c alone, {IN_FLIGHT} connections, a load generator in C beside"
    found.rows.append(Row("receiver", who, f"{rate:,.0f}/s", "one run", f"{cpu / rate * 1000:.4f}"))
    return found
