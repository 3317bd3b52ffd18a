"""Write docs/reference anew from the code: settings, states, log events, metrics, routes.

``python -m docs.generate``; a test fails while a page is not what this gives.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tests.parts.house import House
from tests.unit.observe.events import ENVELOPE, FAILURE, ONE_OF_EACH
from webhook_runner.api.schema import EVERYWHERE
from webhook_runner.api.server import make_app
from webhook_runner.config.sample import sample
from webhook_runner.observe.gauges import WATCHED
from webhook_runner.observe.lines import Renderer
from webhook_runner.observe.metrics import MetricsObserver
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.task.event import (
    AttemptFinished,
    ConfigReloaded,
    ConsumingChanged,
    DaemonDraining,
    Event,
    TaskFailed,
)
from webhook_runner.task.model import Envelope
from webhook_runner.task.outcome import Refused, Responded
from webhook_runner.task.state import LAWFUL

PLACE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `make docs` from the code; changes belong there. -->\n"
QUEUE_TABLE = "queues.default"

_HEADING = re.compile(r"^\[([\w.]+)\]")
_PAIR = re.compile(r"^(\w+) = (.*?)\s+# (.*)$")
_EXAMPLE = re.compile(r"^#example (.*)$")
_BOUNDS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
_OF_A_TASK = {
    *("task_id", "queue", "attempt", "run", "kind", "correlation_id", "trace_id", "metadata")
}
_ANYWHERE = frozenset(str(status) for status in EVERYWHERE)
# What the samples of the tests do not show: a level or a field that depends on a value.
ALSO: tuple[Event, ...] = (
    TaskFailed(ENVELOPE, FAILURE, expired=False, rolled_back=False),
    ConfigReloaded(("queues.default.rate",), ()),
    ConsumingChanged("default", consuming=False),
    DaemonDraining(3, 30.0, "the broker is lost"),
    AttemptFinished(ENVELOPE, Refused("egress_deny", "refused"), 0.1),
    AttemptFinished(ENVELOPE, Responded(200, note="broke off"), 0.1),
)


def pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    return {
        "settings.md": settings_page(),
        "states.md": states_page(),
        "events.md": events_page(),
        "metrics.md": metrics_page(),
        "http-api.md": http_api_page(),
    }


def settings_page() -> str:
    words = [
        "# Settings\n",
        "The file is TOML. Durations are seconds, sizes bytes. A key is overridden by a variable",
        "such as `WEBHOOK_RUNNER_BROKER__PREFIX` or `WEBHOOK_RUNNER_QUEUES__DEFAULT__CONCURRENCY`.",
        "`webhook-runner check-config --print` shows what is in force and where it came from.",
    ]
    table = ""
    for line in sample().splitlines():
        if heading := _HEADING.match(line):
            table = heading[1]
            words += _section(table)
        elif line.startswith("server = "):
            words += _section("")
        if pair := _PAIR.match(line):
            words.append(_setting(table, *pair.groups()))
        elif example := _EXAMPLE.match(line):
            words[-1] = words[-1].removesuffix(" |") + f" Example: `{_cell(example[1])}` |"
    return _page(words)


def _section(table: str) -> list[str]:
    name = "Top of the file" if not table else f"[{table}]"
    note = (
        "One such table for each queue, under the queue's name.\n" if table == QUEUE_TABLE else ""
    )
    head = ["| key | default | values | meaning |", "|---|---|---|---|"]
    return [f"\n## {name}\n", *([note] if note else []), *head]


def _setting(table: str, key: str, default: str, meaning: str) -> str:
    model = QueueSettings if table == QUEUE_TABLE else _model(table)
    values = _values(model.model_fields[key])
    return f"| `{key}` | `{_cell(default)}` | {values} | {_cell(meaning)} |"


def _model(table: str) -> type[BaseModel]:
    kind = Settings.model_fields[table].annotation if table else Settings
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        raise TypeError(f"[{table}] is no table of its own")
    return kind


def _values(info: FieldInfo) -> str:
    kind = info.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f'`"{word}"`' for word in get_args(kind))
    bounds = [
        f"{sign} {getattr(rule, name):.15g}"
        for rule in info.metadata
        for name, sign in _BOUNDS
        if getattr(rule, name, None) is not None
    ]
    return ", ".join([_kind(kind), *bounds])


def _kind(kind: object) -> str:
    if get_origin(kind) is tuple:
        return "list"
    if isinstance(get_origin(kind), type) and issubclass(get_origin(kind) or object, Mapping):
        return "table"
    words = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}
    return next((word for known, word in words.items() if kind is known), "see the meaning")


def states_page() -> str:
    words = [
        "# States of a task\n",
        "Where a task may go from where it is. A state without a next one is final.\n",
        "| state | may become |",
        "|---|---|",
    ]
    for state, following in LAWFUL.items():
        names = ", ".join(f"`{each.value}`" for each in LAWFUL if each in following)
        words.append(f"| `{state.value}` | {names or 'final'} |")
    words += ["\n```mermaid", "stateDiagram-v2"]
    for state, following in LAWFUL.items():
        words += [f"    {state.value} --> {each.value}" for each in LAWFUL if each in following]
    words += [
        "```\n",
        "Nothing in this version sets `cancelled` or `held`: a task that waits for a paused",
        "destination is told as scheduled. No store keeps states: they show in the log",
        "([events](events.md)) and in the [metrics](metrics.md).",
    ]
    return _page(words)


def events_page() -> str:
    told: dict[str, tuple[set[str], set[str], str]] = {}
    for event in (*ONE_OF_EACH, *ALSO):
        level, name, fields = Renderer(metadata=True).line(event)
        levels, names, _ = told.get(name, (set(), set(), ""))
        levels.add(logging.getLevelName(level).lower())
        about_task = isinstance(getattr(event, "envelope", None), Envelope)
        own = set(fields) - _OF_A_TASK if about_task else set(fields)
        told[name] = (levels, names | own, type(event).__name__)
    words = [
        "# Log events\n",
        "Every line has `timestamp`, `level` and `event`. A line about a task that was",
        "understood (all `task.*` but `task.rejected`) also has `task_id`, `queue`, `attempt` and,",
        "where known, `run`, `kind`, `correlation_id`, `trace_id`; `metadata` only with",
        "`[log] metadata = true`. The line that ends an attempt also says what it met with:",
        "`status` or `error`, `duration_ms`, `lag_ms`. Payloads, bodies and values of headers are",
        "never logged. Fields without a value are left out.\n",
        "| event | level | fields | from |",
        "|---|---|---|---|",
    ]
    for name, (levels, names, source) in sorted(told.items()):
        listed = ", ".join(f"`{each}`" for each in sorted(names)) or "none"
        words.append(f"| `{name}` | {', '.join(sorted(levels))} | {listed} | `{source}` |")
    words += [
        "\nBesides, `library` lines carry what the libraries warn of. Invalid messages of one",
        "queue and reason are told once a minute, with `suppressed` counting those left out. A",
        "`warning` is told once for each `about`.",
    ]
    return _page(words)


def metrics_page() -> str:
    words = [
        "# Metrics\n",
        "`GET /metrics` on `[api] listen`, for a Prometheus server. The label `queue` is a",
        "configured name or `other`; a label written by others has at most fifty values.\n",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
        *_metrics(),
        "\nThe `process_*` metrics of the Prometheus client (CPU, memory, file descriptors) are",
        "there too.",
    ]
    return _page(words)


def _metrics() -> Iterator[str]:
    observer = MetricsObserver("1.0", ["default"])
    for name, text in WATCHED:
        observer.watch(name, text, float)
    for event in ONE_OF_EACH:
        observer.notice(event)
    for family in sorted(observer.registry.collect(), key=lambda each: each.name):
        if not family.name.startswith("webhook_runner_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        listed = ", ".join(f"`{each}`" for each in sorted(labels)) or "none"
        yield f"| `{name}` | {family.type} | {listed} | {family.documentation} |"


def http_api_page() -> str:
    words = [
        "# Routes of the HTTP API\n",
        "Read from `GET /openapi.json`, which has the shapes of all bodies and answers too. What",
        "may be answered nearly everywhere is left out: 401, 403, 429, 503. A token of",
        "the role `read` may use GET only. Examples: [http-api.md](../guide/http-api.md),",
        "[steering.md](../guide/steering.md).\n",
        "| route | does | parameters | answers |",
        "|---|---|---|---|",
    ]
    document = make_app(House().served, "127.0.0.1:7676").openapi()
    for path, operations in document["paths"].items():
        words += [_route(method.upper(), path, told) for method, told in operations.items()]
    return _page(words)


def _route(method: str, path: str, told: Mapping[str, Any]) -> str:
    names = [each["name"] for each in told.get("parameters", []) if each["in"] != "path"]
    listed = ", ".join(f"`{name}`" for name in names)
    answers = ", ".join(each for each in sorted(told["responses"]) if each not in _ANYWHERE)
    return f"| `{method} {path}` | {_cell(told['description'])} | {listed} | {answers} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _page(words: Iterable[str]) -> str:
    return NOTE + "\n".join(words) + "\n"


def main() -> int:
    PLACE.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PLACE / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
