"""The daemon's configuration for a measurement: defaults, but for what it measures."""

CONCURRENCY = 50
_CONFIG = """
server = "{server}"
base_url = "{receiver}"
[api]
listen = "127.0.0.1:{port}"
[store]
url = "{store}"
[log]
format = "json"
[queues.default]
concurrency = {concurrency}
"""


def config_for(server: str, receiver: str, *, port: int = 0, store: str = "none") -> str:
    """Return a configuration; port 0: any. Nothing is kept of tasks unless a ``store`` is named."""
    return _CONFIG.format(
        server=server, receiver=receiver, port=port, store=store, concurrency=CONCURRENCY
    )
