"""Merge patches of messages: RFC 7396, and every byte kept that is not named."""

import json

import pytest

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.merge_patch import patched, without


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A, as far as both are objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "foo"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_a_patch_is_merged_as_the_rfc_says(
    target: dict[str, object], patch: dict[str, object], result: dict[str, object]
) -> None:
    found = patched(json.dumps(target).encode(), json.dumps(patch).encode())
    assert json.loads(found) == result


def test_what_is_not_named_keeps_its_bytes() -> None:
    body = b'{"url": "/x", "payload": {"n": 1.50,  "a": "\\u00e4", "deep": {"m": 1e2}}}'
    assert b'{"n": 1.50,  "a": "\\u00e4", "deep": {"m": 1e2}}' in patched(body, b'{"url": "/y"}')
    inside = patched(body, b'{"payload": {"deep": {"k": 1}}}')
    assert b"1.50" in inside
    assert b'"\\u00e4"' in inside
    assert b"1e2" in inside


@pytest.mark.parametrize("patch", [b"", b"[]", b"{", b'{"a": 1, "a": 2}', b'{"a":' * 100])
def test_a_patch_that_is_no_object_is_refused(patch: bytes) -> None:
    with pytest.raises(InvalidTaskError):
        patched(b'{"url": "/x"}', patch)


def test_a_field_is_left_out_or_the_message_stays_as_it_is() -> None:
    body = b'{ "url": "/x",  "expires": 5 }'
    assert json.loads(without(body, "expires")) == {"url": "/x"}
    assert without(body, "eta") is body
