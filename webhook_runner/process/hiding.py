"""What must never show in a line of the log."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from webhook_runner.api.credentials import token_in
from webhook_runner.config.secrets import password_in
from webhook_runner.errors import ConfigError
from webhook_runner.observe.redact import Redaction
from webhook_runner.settings import Settings


def hide_secrets(settings: Settings, redaction: Redaction) -> None:
    """Register what must never show in a line, wherever it may turn up."""
    for url in (*settings.servers, settings.store_url):
        redaction.register_secret(password_in(url))
        redaction.register_secret(unquote(password_in(url)))
    for file in (settings.broker.password_file, settings.store.password_file):
        with suppress(OSError, ValueError):
            redaction.register_secret(Path(file).read_text().strip() if file else "")
    for token in settings.api.tokens:
        with suppress(ConfigError):
            redaction.register_secret(token_in(token))
    for queue in settings.queues.values():
        for value in queue.headers.values():
            redaction.register_secret(value)
