"""The header fields of a request as they go out, the same whichever client sends them."""

from webhook_runner import __version__
from webhook_runner.dispatch.target import Origin
from webhook_runner.task.request import Request

Fields = list[tuple[str, str]]

# We read bodies as they are on the wire: an encoding would only hide what was said.
_ALWAYS = ("Accept-Encoding", "identity")
_ACCEPT = ("Accept", "*/*")
_USER_AGENT = ("User-Agent", f"webhook_runner/{__version__}")
_BODY_EXPECTED = frozenset({"PATCH", "POST", "PUT"})


def fields_of(request: Request, origin: Origin) -> Fields:
    """Return the fields in order; of names that differ in case only, the last one counts.

    The length is told where there is a body or one would be expected (RFC 9110 8.6).
    """
    given = {name.lower(): (name, value.strip(" \t")) for name, value in request.headers.items()}
    given["accept-encoding"] = _ALWAYS
    given.setdefault("accept", _ACCEPT)
    given.setdefault("user-agent", _USER_AGENT)
    fields = [("Host", origin.authority), *given.values()]
    if request.body or request.method.upper() in _BODY_EXPECTED:
        fields.append(("Content-Length", str(len(request.body))))
    return fields
