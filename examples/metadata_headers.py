"""Send the metadata of a task along, one X-Meta-* header for each of its entries.

A task with ``"metadata": {"tenant": "acme", "try": 2}`` is then sent with the headers
``X-Meta-Tenant: acme`` and ``X-Meta-Try: 2``. To switch it on for a queue:

    [queues.default]
    extensions = ["examples.metadata_headers:add_headers"]

Text is sent as it is, anything else as JSON. What does not fit into a header is left out:
names that are not letters, digits, ``-`` or ``_``, values with line breaks or beyond ASCII,
values longer than 1024 characters, everything after the first 32 entries, and metadata that is
no object. A header that the task itself set is never replaced.
"""

import json
import re
from dataclasses import replace

from webhook_runner.task.model import Task
from webhook_runner.task.request import Request

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
VALUE = re.compile(r"[\x20-\x7e]{0,1024}")
MOST_HEADERS = 32


def add_headers(request: Request, task: Task) -> Request:
    """Return the request with the metadata's entries added as headers."""
    metadata = json.loads(task.metadata) if task.metadata else None
    if not isinstance(metadata, dict):
        return request
    taken = {name.lower() for name in request.headers}
    added: dict[str, str] = {}
    for key, value in list(metadata.items())[:MOST_HEADERS]:
        name = "X-Meta-" + key.replace("_", "-").title()
        text = value if isinstance(value, str) else json.dumps(value)
        if NAME.fullmatch(key) and VALUE.fullmatch(text) and name.lower() not in taken:
            added[name] = text
    return replace(request, headers={**request.headers, **added})
