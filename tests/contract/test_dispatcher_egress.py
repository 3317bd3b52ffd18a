"""Every dispatcher and the egress guard: not a byte goes to an address that was not checked."""

from collections.abc import Callable

import pytest

from tests.contract.dispatching import ENGINES, ENVELOPE, TableResolver, post
from tests.contract.scripted import OK, Peer, endpoint, saying
from webhook_runner.dispatch.http import HttpDispatcher
from webhook_runner.errors import ConfigError
from webhook_runner.settings import EgressSettings
from webhook_runner.task.outcome import Refused, Responded, Trouble, Unreachable

Make = Callable[..., HttpDispatcher]


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    return ENGINES[request.param]


async def test_a_name_that_turns_to_loopback_is_never_connected_to(make: Make) -> None:
    """The first answer is public (and silent), every later one is this machine."""
    resolver = TableResolver({"rebind.test": [("192.0.2.1",), ("127.0.0.1",)]})
    egress = EgressSettings(profile="public", allow=("192.0.2.0/24",))
    dispatcher = make(egress, resolver=resolver)
    async with endpoint(saying(OK), host="rebind.test") as server:
        request = post(server.url, connect_timeout=0.2)
        outcomes = [await dispatcher.send(request, ENVELOPE) for _ in range(3)]
        await dispatcher.close()
        assert server.connections == 0
    assert isinstance(outcomes[0], Unreachable)
    for outcome in outcomes[1:]:
        assert isinstance(outcome, Refused)
        assert outcome.rule == "egress_loopback"


@pytest.mark.parametrize("answers", [("8.8.8.8", "127.0.0.1"), ("127.0.0.1", "8.8.8.8"),
                                     ("127.0.0.1", "169.254.169.254")])  # fmt: skip
async def test_one_bad_answer_refuses_them_all(make: Make, answers: tuple[str, ...]) -> None:
    resolver = TableResolver({"mixed.test": [answers]})
    internal = "169.254.169.254" in answers
    egress = EgressSettings() if internal else EgressSettings(profile="public")
    dispatcher = make(egress, resolver=resolver)
    async with endpoint(saying(OK), host="mixed.test") as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        await dispatcher.close()
        assert server.connections == 0
    assert isinstance(outcome, Refused)
    assert outcome.rule in {"egress_loopback", "egress_metadata"}


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
     "017700000001", "localhost", "LOCALHOST", "localhost.", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "[::127.0.0.1]", "0.0.0.0", "0", "[::1]", "127.0.0.1.",
     "①②⑦.⓪.⓪.①", "127。0。0。1"],
)  # fmt: skip
async def test_no_spelling_of_this_machine_is_called_in_the_public_profile(
    make: Make, host: str
) -> None:
    dispatcher = make(EgressSettings(profile="public"))
    async with endpoint(saying(OK), host=host) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        await dispatcher.close()
        assert server.connections == 0
    assert isinstance(outcome, Refused | Unreachable), outcome
    if isinstance(outcome, Unreachable):
        assert outcome.trouble is Trouble.DNS


async def test_a_host_that_is_allowed_is_called_in_the_public_profile(make: Make) -> None:
    resolver = TableResolver({"home.test": [("127.0.0.1",)]})
    dispatcher = make(EgressSettings(profile="public", allow=("home.test",)), resolver=resolver)
    async with endpoint(saying(OK), host="home.test") as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        await dispatcher.close()
    assert isinstance(outcome, Responded)


async def test_the_environment_names_no_proxy(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    dispatcher = make(EgressSettings())
    async with endpoint(saying(OK)) as server:
        outcome = await dispatcher.send(post(server.url), ENVELOPE)
        await dispatcher.close()
    assert isinstance(outcome, Responded)


async def test_a_configured_proxy_gets_the_request_but_for_direct_hosts(make: Make) -> None:
    asked: list[bytes] = []

    async def proxy(peer: Peer) -> None:
        asked.append(await peer.request())
        await peer.say(OK)

    async with endpoint(proxy) as via, endpoint(saying(OK)) as direct:
        dispatcher = make(
            EgressSettings(
                profile="public",
                allow=("127.0.0.1",),
                proxy=f"http://me:se%20cret@127.0.0.1:{via.port}",
                no_proxy=("127.0.0.0/8", ".direct.test"),
            )
        )
        far = await dispatcher.send(post("http://far.test/x"), ENVELOPE)
        near = await dispatcher.send(post(direct.url), ENVELOPE)
        refused = await dispatcher.send(post("http://10.0.0.1/"), ENVELOPE)
        await dispatcher.close()
        assert direct.connections == 1
    assert isinstance(far, Responded)
    assert isinstance(near, Responded)
    assert isinstance(refused, Refused)
    assert len(asked) == 1
    assert asked[0].startswith(b"POST http://far.test/x HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2UgY3JldA==" in asked[0]


async def test_a_tunnel_that_the_proxy_refuses_is_a_connect_error(make: Make) -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    async with endpoint(saying(answer)) as via:
        dispatcher = make(EgressSettings(proxy=f"http://127.0.0.1:{via.port}"))
        outcome = await dispatcher.send(post("https://far.test/"), ENVELOPE)
        await dispatcher.close()
    assert isinstance(outcome, Unreachable)
    assert (outcome.trouble, outcome.sent) == (Trouble.CONNECT, False)
    assert "403" in outcome.detail


@pytest.mark.parametrize(
    "egress",
    [EgressSettings(allow=("10.0.0.1/8",)), EgressSettings(deny=("*",)),
     EgressSettings(proxy="socks5://h:1"), EgressSettings(proxy="h:3128"),
     EgressSettings(proxy="http://h:99999"), EgressSettings(no_proxy=("a b",))],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_told_at_the_start(
    make: Make, egress: EgressSettings
) -> None:
    with pytest.raises(ConfigError, match="egress"):
        make(egress)
