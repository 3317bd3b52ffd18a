"""What a reload takes over at once, and what waits for a restart."""

from webhook_runner.process.reload import applicable, changes
from webhook_runner.settings import QueueSettings, Settings

OLD = Settings(queues={"a": QueueSettings(), "b": QueueSettings()})


def test_a_changed_limit_is_named_by_its_key() -> None:
    new = Settings(queues={"a": QueueSettings(concurrency=3), "b": QueueSettings()})
    assert changes(OLD, new) == (("queues.a.concurrency",), ())


def test_a_queue_that_comes_or_goes_is_one_key() -> None:
    new = Settings(queues={"a": QueueSettings(), "b.c": QueueSettings()})
    assert changes(OLD, new) == (("queues.b", "queues.b.c"), ())


def test_what_lives_as_long_as_the_process_waits_for_a_restart() -> None:
    new = Settings(server="amqp://elsewhere/", base_url="http://h", queues=OLD.queues)
    assert changes(OLD, new) == (("base_url",), ("server",))
    taken = applicable(OLD, new)
    assert (taken.server, taken.base_url) == (OLD.server, "http://h")
