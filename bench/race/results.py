"""What is kept of a run: the ratios and figures by name, all lines with all runs, the machine."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.race.finding import Findings

PLACE = Path(__file__).resolve().parents[1] / "results"
RATIOS = ("go", "celery", "dramatiq", "taskiq", "faststream", "taskqueue_shape")
FIGURES = ("cpu_us_per_task", "late_p99_ms", "late_max_ms", "parked_per_s", "rss_mb")
_LIBRARIES = ("aio-pika", "httpx2", "httptools", "msgspec", "uvloop")


def latest(found: Findings, machine: str, at: str) -> dict[str, object]:
    """Return the short form: how many times theirs our rate is, and figures; null: not measured."""
    return {
        "ratios": {name: _rounded(found.ratios, name) for name in RATIOS},
        "figures": {name: _rounded(found.figures, name) for name in FIGURES},
        "machine": machine,
        "at": at,
    }


def _rounded(values: Mapping[str, float], name: str) -> float | None:
    return round(values[name], 3) if name in values else None


def whole(found: Findings, machine: str, at: str, took: float) -> dict[str, object]:
    """Return all that is known of a run."""
    return latest(found, machine, at) | {
        "seconds": round(took, 1),
        "versions": {name: version(name) for name in _LIBRARIES} | {"python": machine_python()},
        "rows": [asdict(row) for row in found.rows],
        "runs": {name: [asdict(lap) for lap in laps] for name, laps in found.runs.items()},
        "troubles": found.troubles,
    }


def keep(found: Findings, took: float, *, complete: bool, place: Path = PLACE) -> Path:
    """Write the whole, and of a complete run the short form; return the file of the whole."""
    place.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    at, machine = now.isoformat(timespec="seconds"), describe_machine()
    file = place / f"{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(whole(found, machine, at, took), indent=1) + "\n")
    if complete:
        short = json.dumps(latest(found, machine, at), indent=1)
        (place / "latest.json").write_text(f"{short}\n")
    return file


def machine_python() -> str:
    return platform.python_version()


def describe_machine() -> str:
    """Return the processor, how many, the memory and the system."""
    model = "processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    python = f"Python {machine_python()}"
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, {name}, {python}"
