"""An array is taken apart without a change to what it holds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from webhook_runner.api import body
from webhook_runner.api.body import is_array, split

SPACE = st.text(" \t\r\n", max_size=3).map(str.encode)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def written(value: Any, escaped: bool) -> bytes:
    return json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


@given(
    st.lists(st.tuples(VALUES, st.booleans(), SPACE, SPACE), min_size=1, max_size=8),
    SPACE,
    SPACE,
)
def test_the_items_are_the_bytes_that_were_written(
    items: list[tuple[Any, bool, bytes, bytes]], before: bytes, after: bytes
) -> None:
    raw = [written(value, escaped) for value, escaped, _, _ in items]
    spaced = [left + each + right for each, (_, _, left, right) in zip(raw, items, strict=True)]
    array = before + b"[" + b",".join(spaced) + b"]" + after
    assert is_array(array)
    assert split(array) == raw


@pytest.mark.parametrize("text", [b"", b"{}", b'"["', b"  5", b"\xff["])
def test_nothing_else_is_an_array(text: bytes) -> None:
    assert not is_array(text)


def test_many_spaces_are_read_over() -> None:
    assert is_array(b" " * 100_000 + b"[1]")
    assert not is_array(b" " * 100_000)


@pytest.mark.parametrize(
    ("items", "status"), [(b"{}," * 1000 + b"{}", 422), (b"1," * 5000 + b"1", 422), (b"{},", 400)]
)
def test_items_are_counted_before_they_are_kept(
    items: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "_COMMAS", 0)
    with pytest.raises(HTTPException) as caught:
        split(b"[" + items + b"]")
    assert caught.value.status_code == status
