"""Everything an installation can be asked about, in one list; nothing is changed by it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from webhook_runner.config.loader import Loaded, load
from webhook_runner.config.secrets import store_address
from webhook_runner.dispatch.failure import AttemptError
from webhook_runner.dispatch.probe import way_to
from webhook_runner.errors import ConfigError, RefusedError
from webhook_runner.process.doctor.check import Check, note, ok, problem, warning
from webhook_runner.process.doctor.files import check_queue_file, check_store
from webhook_runner.process.doctor.machine import check_machine
from webhook_runner.process.doctor.rabbit import check_rabbit
from webhook_runner.settings import MEMORY, Settings


def examine(config: Path | None, environ: Mapping[str, str]) -> list[Check]:
    """Look at the configuration, and at all that it names. Takes some seconds."""
    try:
        loaded = load(config, environ, to_serve=True)
    except ConfigError as error:
        return [problem("configuration", line) for line in error.problems]
    return [*_configuration(loaded), *asyncio.run(_world(loaded.settings))]


def _configuration(loaded: Loaded) -> list[Check]:
    queues = ", ".join(loaded.settings.queues)
    where = loaded.path or "no file, every setting has its default"
    found = [ok("configuration", f"{where}; queues: {queues}")]
    found += (warning("configuration", line) for line in loaded.warnings)
    return found


async def _world(settings: Settings) -> list[Check]:
    found: list[Check] = []
    if not settings.queue_file:
        found += await check_rabbit(settings)
    elif settings.queue_file != MEMORY:
        found += check_queue_file(settings.queue_file)
    if settings.state_file != MEMORY:
        found.append(check_store(store_address(settings)))
    found += await _egress(settings)
    found += check_machine(settings)
    return found


async def _egress(settings: Settings) -> list[Check]:
    named = {"base_url": settings.base_url}
    for name, queue in settings.queues.items():
        named[f"base_url of queue {name}"] = queue.base_url
    found = [await _base_url(name, url, settings) for name, url in named.items() if url]
    return found or [note("egress", "no base_url: the url of every task must be a whole one")]


async def _base_url(name: str, url: str, settings: Settings) -> Check:
    try:
        way = await way_to(url, settings.egress)
    except RefusedError as error:
        remedy = "until [egress] allow names it, every task for it fails without a request"
        return problem("egress", f"{name} {url}: {error}", remedy)
    except AttemptError as error:
        remedy = "see to the name service of this machine; until then tasks are only retried"
        return problem("egress", f"{name} {url}: {error}", remedy)
    return ok("egress", f"{name} {url} leads to {way}")
