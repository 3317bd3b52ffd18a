"""A message that is given the id of its path keeps every other byte."""

import json

import pytest

from webhook_runner.api.aliases import named
from webhook_runner.errors import InvalidTaskError


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"url": "/x"}', b'{"id": "a", "url": "/x"}'),
        (b' {\n"payload": {"id": 1.10}}\n', b' {"id": "a", \n"payload": {"id": 1.10}}\n'),
        (b"{ }", b'{"id": "a" }'),
        (b'{"id": "a", "url": "/x"}', b'{"id": "a", "url": "/x"}'),
        (b'{"id": 5}', b'{"id": 5}'),
        (b"[{}]", b"[{}]"),
        (b"nonsense", b"nonsense"),
        (b"\xff", b"\xff"),
    ],
)
def test_the_id_is_put_in_first(body: bytes, wanted: bytes) -> None:
    assert named(body, "a") == wanted


@pytest.mark.parametrize("own", ["b", None])
def test_another_id_is_refused(own: str | None) -> None:
    with pytest.raises(InvalidTaskError, match="in the path 'a'"):
        named(json.dumps({"id": own, "url": "/x"}).encode(), "a")
