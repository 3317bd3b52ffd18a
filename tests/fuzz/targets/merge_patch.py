"""A message and a patch with a NUL between: merged as RFC 7396 says, the payload's bytes kept."""

import json
from typing import Any

from webhook_runner.errors import InvalidTaskError
from webhook_runner.task.document import read_document
from webhook_runner.task.merge_patch import patched, without


def check(data: bytes) -> None:
    body, _, patch = data.partition(b"\0")
    try:
        result = patched(body, patch)
    except InvalidTaskError:
        return
    assert as_json(result) == merged(as_json(body), as_json(patch))
    before, named, after = read_document(body), read_document(patch), read_document(result)
    for name, raw in before.items():
        if name not in named:
            assert after[name] == raw
    assert without(body, *before) in {b"{}", body}
    assert read_document(without(body, *named)) == {
        k: v for k, v in before.items() if k not in named
    }


def as_json(raw: bytes) -> Any:
    return json.loads(raw, parse_int=str, parse_float=str)


def merged(target: Any, patch: Any) -> Any:
    """Follow the pseudo code of RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
