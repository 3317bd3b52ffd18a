"""Words that the shell may complete, asked of the daemon; silence when it does not answer."""

from collections.abc import Sequence

import typer

from webhook_runner.cli.call import Call
from webhook_runner.cli.daemon import daemon
from webhook_runner.cli.report import EXPECTED

# Less than the first wait before a repetition: one try, of a second at most.
_PATIENCE_SECONDS = 0.05


def queue_names(ctx: typer.Context, incomplete: str) -> Sequence[str]:
    """Return the queues of the daemon that begin so."""
    api, token, file, config = (
        ctx.params.get(name) for name in ("api", "token", "token_file", "config")
    )
    try:
        with daemon(Call(api, token, file, config), timeout=_PATIENCE_SECONDS) as client:
            names = [queue.name for queue in client.queues()]
    except EXPECTED:
        return []
    return [name for name in names if name.startswith(incomplete)]
