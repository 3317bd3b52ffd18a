"""Messages that are copies of one, packed once."""

import json

import pytest
from pamqp import body, commands, frame, header

from bench.race.contender import Contender, Message, plain
from bench.race.ours import ours
from bench.race.publish import waits, with_countdown
from bench.race.rivals import PYTHON
from bench.race.wire import letter, numbered


def unpacked(packed: bytes) -> list[object]:
    found: list[object] = []
    while packed:
        taken, channel, each = frame.unmarshal(packed)
        assert channel == 1
        found.append(each)
        packed = packed[taken:]
    return found


def published(message: Message, number: int, wait: float = 0.0) -> bytes:
    packed = numbered(letter("default", message.body, message.properties), number, wait)
    method, head, content = unpacked(packed)
    assert isinstance(method, commands.Basic.Publish)
    assert isinstance(head, header.ContentHeader)
    assert isinstance(content, body.ContentBody)
    assert method.routing_key == "default"
    assert head.properties.delivery_mode == 2
    assert head.body_size == len(content.value)
    return content.value


@pytest.mark.parametrize("contender", [ours(), *PYTHON], ids=lambda each: each.name)
def test_every_message_has_its_number_and_about_the_same_size(contender: Contender) -> None:
    content = published(contender.message("http://127.0.0.1:1/t/00000000"), 1234)

    assert b"http://127.0.0.1:1/t/00001234" in content
    assert b"00000000" not in content
    assert 480 < len(content) < 720
    assert json.loads(content)


def test_a_countdown_takes_the_place_that_is_kept_for_it() -> None:
    message = with_countdown(plain("http://127.0.0.1:1/t/00000000"))

    assert json.loads(published(message, 5, 1.25))["countdown"] == 1.25
    assert json.loads(published(message, 6, 29.999))["countdown"] == 29.999


def test_countdowns_are_always_the_same_and_within_their_bounds() -> None:
    assert waits(100, (1, 30)) == waits(100, (1, 30))
    assert 1 <= min(waits(1000, (1, 30))) < 2
    assert 29 < max(waits(1000, (1, 30))) <= 30
