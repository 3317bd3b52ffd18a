"""What only RabbitMQ meets with: messages of publishers whose properties are their own."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.rabbit_rig import RabbitRig, rabbitmq
from tests.parts.odd_publisher import publish_by_key, publish_nested
from webhook_runner.broker.amqp.stacks import STACKS

pytestmark = pytest.mark.rabbitmq


NESTED = 5_000


@pytest.fixture(params=STACKS)
async def rabbit(request: pytest.FixtureRequest) -> AsyncIterator[RabbitRig]:
    async with rabbitmq(request, request.param) as opened:
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


async def test_tables_within_tables_without_end_harm_only_their_message(rabbit: RabbitRig) -> None:
    recorder = await rabbit.consuming()
    await publish_nested(rabbit.url, "q", b"nested", NESTED)
    await rabbit.submit("q", b"sound", message_id="m")
    taken = {each.delivery.message.body: each.delivery.message for each in await recorder.until(2)}
    assert (taken[b"nested"].headers, taken[b"sound"].message_id) == ({}, "m")
    assert rabbit.broker.state().connected


async def test_a_routing_key_that_is_no_text_harms_nothing(rabbit: RabbitRig) -> None:
    recorder = await rabbit.consuming()
    await publish_by_key(rabbit.url, "q", b"odd", b"\xff\xfe")
    await rabbit.submit("q", b"sound")
    assert {each.delivery.message.body for each in await recorder.until(2)} == {b"odd", b"sound"}
    assert rabbit.broker.state().connected
