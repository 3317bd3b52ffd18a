"""JSON merge patches (RFC 7396) of messages: what a patch does not name keeps its very bytes."""

import msgspec

from webhook_runner.task.document import read_document, read_object


def patched(body: bytes, patch: bytes) -> bytes:
    """Return the message ``body`` as ``patch``, a JSON object, changes it.

    Raises:
        InvalidTaskError: one of them is no JSON object.

    """
    return _merged(read_document(body), read_document(patch))


def without(body: bytes, *names: str) -> bytes:
    """Return the message without these fields; as it is, when it has none of them.

    Raises:
        InvalidTaskError: it is no JSON object.

    """
    members = read_document(body)
    if not any(name in members for name in names):
        return body
    return _written({name: raw for name, raw in members.items() if name not in names})


def _merged(members: dict[str, bytes], patch: dict[str, bytes]) -> bytes:
    result = dict(members)
    for name, raw in patch.items():
        if raw == b"null":
            result.pop(name, None)
        elif raw.startswith(b"{"):
            before = result.get(name, b"{}")
            inside = read_object(before) if before.startswith(b"{") else {}
            result[name] = _merged(inside, read_object(raw))
        else:
            result[name] = raw
    return _written(result)


def _written(members: dict[str, bytes]) -> bytes:
    return msgspec.json.encode({name: msgspec.Raw(raw) for name, raw in members.items()})
