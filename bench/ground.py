"""The daemon's configuration for a measurement: defaults, but for what it measures."""

CONCURRENCY = 50
_CONFIG = """
server = "{server}"
base_url = "{receiver}"
[api]
listen = "127.0.0.1:{port}"
[log]
format = "json"
[queues.default]
concurrency = {concurrency}
"""


def config_for(server: str, receiver: str, *, port: int = 0) -> str:
    """Return a configuration; port 0: any."""
    return _CONFIG.format(server=server, receiver=receiver, port=port, concurrency=CONCURRENCY)
