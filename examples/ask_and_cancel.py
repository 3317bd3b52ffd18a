"""Look at tasks, cancel one, run one again, and steer a queue, with the Python client.

``python examples/ask_and_cancel.py [API [TARGET]]``: API is where the daemon listens,
http://127.0.0.1:7676 when not given; TARGET is what the tasks call, http://127.0.0.1:8000.
"""

import sys

from webhook_runner.client import Client, ConflictError, NoStoreError, ServiceUnavailableError


def cancelled(client: Client, target: str) -> None:
    """Call off a task that waits; a second time is the same as once."""
    waits = client.send(f"{target}/later", countdown=3600)
    print(f"later: {client.status(waits.id).state}")
    print(f"later: {client.cancel(waits.id).state}")


def done(client: Client, target: str) -> str:
    """Wait for a task's end and tell of its attempts; what has ended cannot be cancelled."""
    task = client.send(f"{target}/hello", payload={"to": "you"})
    print(f"hello: {client.wait(task.id, timeout=10).state}")
    for attempt in client.attempts(task.id):
        print(f"hello: attempt {attempt.attempt} met {attempt.outcome} {attempt.status}")
    try:
        client.cancel(task.id)
    except ConflictError as error:
        print(f"hello: not cancelled, {error}")
    return task.id


def again(client: Client, task_id: str) -> None:
    """Run it again: the same id, another run."""
    first = client.status(task_id).run
    client.replay(task_id)
    second = client.wait(task_id, timeout=10)
    print(f"hello: {second.state} again, as another run: {second.run != first}")


def steered(client: Client) -> None:
    """Limit a queue while it runs, and take that back."""
    queue = client.change("default", concurrency=2)
    print(f"default: changed {', '.join(queue.changed)}")
    queue = client.change("default", concurrency=None)
    print(f"default: changed {', '.join(queue.changed) or 'nothing'}")


def main(api: str = "http://127.0.0.1:7676", target: str = "http://127.0.0.1:8000") -> None:
    """Show all of it; the daemon must be running, and have a store."""
    try:
        with Client(api, timeout=5) as client:
            cancelled(client, target)
            again(client, done(client, target))
            steered(client)
    except (NoStoreError, ServiceUnavailableError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:3])
