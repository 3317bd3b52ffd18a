"""`topology`: everything the daemon needs in RabbitMQ, for who has to make it by hand."""

import os
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from webhook_runner.broker.amqp.topology import definitions
from webhook_runner.cli.option import ConfigOption, OutputOption
from webhook_runner.cli.report import (
    HELP,
    CommandError,
    Exit,
    Output,
    print_json,
    print_table,
    warn,
)
from webhook_runner.config.loader import load

EXAMPLES = """Examples:

  webhook-runner topology

  webhook-runner topology --output json > definitions.json && rabbitmqctl import_definitions definitions.json"""  # noqa: E501 - one command to copy

app = typer.Typer(add_completion=False)


@app.command("topology", context_settings=HELP, epilog=EXAMPLES)
def topology(
    config: ConfigOption = None,
    vhost: Annotated[
        str | None, typer.Option(help="Virtual host; else the one in server.", show_default=False)
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print RabbitMQ definitions of every exchange, queue and binding, and the rights needed."""
    loaded = load(config, os.environ)
    warn(loaded.warnings)
    settings = loaded.settings
    if settings.queue_file:
        raise CommandError(
            "the server is embedded: nothing has to be made in RabbitMQ",
            "for a RabbitMQ name it in the file, or by WEBHOOK_RUNNER_SERVER=amqp://...",
            Exit.USAGE,
        )
    place = vhost or unquote(urlsplit(settings.servers[0]).path[1:]) or "/"
    found = definitions(settings.broker.prefix, tuple(settings.queues), place)
    if output is Output.JSON:
        # A user is the administrator's to make: the rights are told by the table.
        print_json({name: value for name, value in found.items() if name != "permissions"})
    else:
        _print_table(found)


def _print_table(found: dict[str, object]) -> None:
    rows = [
        (kind.removesuffix("s"), _name(each), _details(each))
        for kind, objects in found.items()
        for each in (objects if isinstance(objects, list) else [])
    ]
    print_table(("kind", "name", "details"), rows)


def _name(each: dict[str, object]) -> str:
    return str(each.get("name") or each.get("user") or f"{each['source']} -> {each['destination']}")


def _details(each: dict[str, object]) -> str:
    arguments = each.get("arguments")
    flat = {**each, **(arguments if isinstance(arguments, dict) else {})}
    hidden = {"name", "user", "vhost", "arguments", "source", "destination", "destination_type"}
    return " ".join(f"{key}={value}" for key, value in flat.items() if key not in hidden)
