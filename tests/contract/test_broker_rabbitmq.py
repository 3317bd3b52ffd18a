"""What only RabbitMQ meets with: messages of publishers whose properties are their own."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.rabbit_rig import RabbitRig, rabbitmq

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def rabbit(request: pytest.FixtureRequest) -> AsyncIterator[RabbitRig]:
    async with rabbitmq(request) as opened:
        yield opened


async def test_an_absurd_timestamp_harms_only_itself(rabbit: RabbitRig) -> None:
    recorder = await rabbit.consuming()
    about = {"headers": {"traceparent": "x"}, "content_type": "text/odd", "correlation_id": "c"}
    await rabbit.submit("q", b"absurd", timestamp=2**63, message_id="m", **about)
    await rabbit.submit("q", b"sound", timestamp=1_700_000_000)
    taken = {each.delivery.message.body: each.delivery.message for each in await recorder.until(2)}
    assert taken[b"sound"].timestamp == 1_700_000_000
    message = taken[b"absurd"]
    assert (message.message_id, message.correlation_id, message.timestamp) == ("m", "c", None)
    assert (message.content_type, message.traceparent) == ("text/odd", "x")
    assert rabbit.broker.state().connected


async def test_an_invalid_message_keeps_the_harmless_headers_of_its_publisher(
    rabbit: RabbitRig,
) -> None:
    recorder = await rabbit.consuming(settles=False)
    await rabbit.submit("q", b"bad", headers={"theirs": 1, "x-a": 2, "CC": ["other"], "wr-id": "t"})
    (taken,) = await recorder.until(1)
    await rabbit.broker.quarantine(taken.delivery, "not_json", "is no JSON")
    (kept,) = await rabbit.invalid("q")
    assert kept.headers["theirs"] == 1
    assert set(kept.headers) == {"theirs", "wr-error", "wr-source", "wr-explanation"}
