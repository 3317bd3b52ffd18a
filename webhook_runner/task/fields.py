"""The fields of a message: their names, types and bounds, and what to tell who broke them."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, cast

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webhook_runner.errors import InvalidTaskError
from webhook_runner.settings import QUEUE_NAME
from webhook_runner.task.document import read_object

DEDUP_KEY = r"^[!-~]{1,200}$"
TASK_ID = r"^[A-Za-z0-9_-]{1,96}$"
MAX_RETRIES = 2**31 - 1
RAW_FIELDS = frozenset({"payload", "metadata"})  # never read here, only carried

Method = Literal["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class RollBackFields(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    url: str
    method: Method = "POST"
    headers: dict[str, str] = Field(default_factory=dict)


class DedupFields(BaseModel):
    """``wanted`` is what a message says that writes true or false instead of an object."""

    model_config = ConfigDict(strict=True, frozen=True)

    wanted: bool = True
    key: Annotated[str, Field(pattern=DEDUP_KEY)] | None = None
    window: Annotated[Seconds, Field(gt=0)] | None = None


class TaskFields(RollBackFields):
    """What a sender may say, without payload and metadata. Durations are seconds."""

    countdown: Annotated[Seconds, Field(ge=0)] | None = None
    eta: Seconds | str | None = None
    expires: Seconds | str | None = None
    max_retries: Annotated[int, Field(ge=-1, le=MAX_RETRIES)] | None = None
    timeout: Annotated[Seconds, Field(gt=0)] | None = None
    roll_back: RollBackFields | None = None
    queue: Annotated[str, Field(pattern=QUEUE_NAME)] | None = None
    id: Annotated[str, Field(pattern=TASK_ID)] | None = None
    dedup: DedupFields | None = None


_TIME = ("epoch seconds or an RFC 3339 string", '"2026-01-31T08:30:00Z"')
_RIGHT = {
    "url": ("a string", '"http://HOST/PATH" or "/PATH"'),
    "method": (f"one of {', '.join(Method.__args__)} in upper case", '"POST"'),  # type: ignore[attr-defined]
    "headers": ("an object with strings as values", '{"X-Name": "value"}'),
    "countdown": ("a number of seconds >= 0", "10"),
    "eta": _TIME,
    "expires": _TIME,
    "max_retries": (f"an integer from -1 to {MAX_RETRIES}", "3"),
    "timeout": ("a number of seconds > 0", "30"),
    "roll_back": ("a string or an object with url, method, headers", '"/undo"'),
    "queue": ("the name of a queue: letters, digits, dot, _ or -, at most 100", '"default"'),
    "id": ("1 to 96 letters, digits, _ or -", '"order-7"'),
    "dedup": ("true, false or an object with key, window", '{"key": "order-7", "window": 600}'),
    "key": ("1 to 200 visible ASCII characters", '"order-7"'),
    "window": ("a number of seconds > 0", "600"),
}
_READ = frozenset(TaskFields.model_fields)
_READ_IN = {
    "roll_back": frozenset(RollBackFields.model_fields),
    "dedup": frozenset({"key", "window"}),
}
_UNIONS = frozenset({"eta", "expires"})  # pydantic adds the branch to the path
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "a number"),
    (float, "a number"),
    (list, "an array"),
    (dict, "an object"),
)
_VALUE = msgspec.json.Decoder()


def read_fields(document: Mapping[str, bytes]) -> TaskFields:
    """Return the checked fields of a message; null is the same as absent.

    Raises:
        InvalidTaskError: a field is missing, of the wrong type or out of bounds.

    """
    values = {
        name: _value(name, raw)
        for name, raw in document.items()
        if name in _READ and raw != b"null"
    }
    try:
        return TaskFields.model_validate(values)
    except ValidationError as error:
        raise _complaint(error) from None


def unknown_fields(document: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the paths of fields that nobody reads."""
    unknown = [name for name in document if name not in _READ and name not in RAW_FIELDS]
    for path, read in _READ_IN.items():
        raw = document.get(path, b"")
        if raw.startswith(b"{"):
            inside = read_object(raw, path)
            unknown += [f"{path}.{name}" for name in inside if name not in read]
    return tuple(unknown)


def _value(path: str, raw: bytes) -> object:
    """Read one field; objects of ours member by member, because keys may not repeat in them."""
    name = path.rpartition(".")[2]
    if name == "headers" and raw.startswith(b"{"):
        return {
            key: _plain(f"{path}.{key:.60}", value) for key, value in read_object(raw, path).items()
        }
    if path not in _READ_IN:
        return _plain(path, raw)
    if path == "roll_back" and raw.startswith(b'"'):
        return {"url": _plain(path, raw)}
    if path == "dedup" and raw in {b"true", b"false"}:
        return {"wanted": raw == b"true"}
    if not raw.startswith(b"{"):
        return _plain(path, raw)
    members = read_object(raw, path).items()
    return {
        key: _value(f"{path}.{key}", value)
        for key, value in members
        if value != b"null" and key in _READ_IN[path]
    }


def _plain(path: str, raw: bytes) -> object:
    try:
        return cast("object", _VALUE.decode(raw))
    except msgspec.ValidationError as error:
        raise InvalidTaskError("out_of_range", f"cannot be read: {error}", path) from None


def _complaint(error: ValidationError) -> InvalidTaskError:
    """Say what the first broken rule is, in the words of the contract."""
    first = error.errors(include_url=False, include_context=False)[0]
    path = [str(part)[:60] for part in first["loc"]]
    name = next((part for part in path if part not in _READ_IN), path[0])
    field = path[0] if name in _UNIONS else ".".join(path)
    if first["type"] == "missing":
        return InvalidTaskError("missing_field", f"is missing; write {_RIGHT[name][1]}", field)
    found = first["input"]
    right, example = _RIGHT[name]
    if name == "headers" and len(path) > path.index("headers") + 1:
        right, example = "a string", '"value"'
    is_type = first["type"].endswith("_type") or (name == "method" and not isinstance(found, str))
    if is_type:
        seen = _kind(found)
        remark = f', not "{found}"' if isinstance(found, str) and _NUMBER.fullmatch(found) else ""
        example = str(found)[:40] if remark else example
    else:
        seen, remark = f"{found!r:.60}", ""
    text = f"must be {right}, not {seen}; write {example}{remark[:60]}"
    return InvalidTaskError(_reason(name, is_type=is_type), text, field)


def _kind(value: object) -> str:
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "null")


def _reason(name: str, *, is_type: bool) -> str:
    if is_type:
        return "wrong_type"
    return f"bad_{name}" if name in {"method", "queue", "id", "key"} else "out_of_range"
