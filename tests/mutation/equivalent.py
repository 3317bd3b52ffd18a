"""Changes that change nothing anybody could notice, by file and name, with the reason."""

EQUIVALENT: dict[str, dict[str, str]] = {}
