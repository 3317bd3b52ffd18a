"""Send tasks with the Python client: one, one that waits, many, and one that is refused.

``python examples/send_with_client.py [API [TARGET]]``: API is where the daemon listens,
http://127.0.0.1:7676 when not given; TARGET is what the tasks call, http://127.0.0.1:8000.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from webhook_runner.client import (
    AsyncClient,
    Client,
    InvalidTaskError,
    Rejected,
    ServiceUnavailableError,
    Task,
)


def one(client: Client, target: str) -> None:
    """Send a task: at once, then one for later with all that may go wrong provided for."""
    hello = client.send(f"{target}/hello", payload={"to": "you"})
    print(f"accepted {hello.id} for queue {hello.queue}")
    later = client.send(
        f"{target}/invoice",
        id="invoice-7",
        payload=b'{"amount": 10.00}',  # JSON already: arrives byte for byte
        eta=datetime.now(UTC) + timedelta(seconds=1),
        max_retries=3,
        roll_back=f"{target}/undo-invoice",
    )
    print(f"accepted {later.id} for queue {later.queue}")


def refused(client: Client, target: str) -> None:
    """Send a task that breaks a rule, and say which."""
    try:
        client.send(f"{target}/hello", max_retries=-5)
    except InvalidTaskError as error:
        print(f"refused: {error.field} ({error.reason})")


async def many(api: str, target: str) -> None:
    """Send a batch; what is wrong with one task does not stop the others."""
    tasks = [Task(url=f"{target}/batch", payload=number) for number in range(9)]
    async with AsyncClient(api) as client:
        results = await client.send_many([*tasks, {"url": "no/address"}])
    wrong = [each for each in results if isinstance(each, Rejected)]
    print(f"{len(results) - len(wrong)} accepted, {len(wrong)} refused")


def main(api: str = "http://127.0.0.1:7676", target: str = "http://127.0.0.1:8000") -> None:
    """Show all of it; the daemon must be running."""
    try:
        with Client(api, timeout=5) as client:
            one(client, target)
            refused(client, target)
        asyncio.run(many(api, target))
    except ServiceUnavailableError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:3])
