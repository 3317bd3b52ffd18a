"""One process: start, serve until told to stop."""

from webhook_runner.config.loader import Loaded


def serve(loaded: Loaded) -> int:
    """Run the daemon and return its exit code."""
    raise NotImplementedError(str(loaded.path))
