import asyncio
import signal
import socket
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.api.serving import served_by, serving
from webhook_runner.api.health import Readiness
from webhook_runner.api.server import ApiServer, parse_listen
from webhook_runner.errors import ConfigError


class State:
    def __init__(self) -> None:
        self.readiness = Readiness(False, {"broker": "connecting"})

    def ready(self) -> Readiness:
        return self.readiness


def connecting() -> Readiness:
    return State().ready()


def server(
    listen: str = "127.0.0.1:0",
    ready: Callable[[], Readiness] = connecting,
    metrics: Callable[[], bytes] = bytes,
) -> ApiServer:
    return ApiServer(listen, served_by(None, ready, metrics))


async def test_readiness_follows_the_world_from_one_request_to_the_next() -> None:
    state = State()
    async with serving(server(ready=state.ready)) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"ready": False, "parts": {"broker": "connecting"}}
        state.readiness = Readiness(True, {"broker": "ok", "queue default": "ok"})
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["parts"]["queue default"] == "ok"
        assert answer.headers["cache-control"] == "no-store"
        state.readiness = Readiness(False, {"daemon": "draining"})
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).text == "ok\n"


async def test_the_metrics_page_is_what_prometheus_reads() -> None:
    page = b"# HELP x_total X.\n# TYPE x_total counter\nx_total 3.0\n"
    async with serving(server(metrics=lambda: page)) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    (family,) = text_string_to_metric_families(answer.text)
    assert family.samples[0].value == 3.0


async def test_an_unknown_path_is_a_problem_document() -> None:
    async with serving(server()) as client:
        answer = await client.get("/nowhere")
        wrong = await client.post("/livez")
        pages = [(await client.get(path)).status_code for path in ("/docs", "/redoc")]
        document = (await client.get("/openapi.json")).json()
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is nothing at /nowhere; see /openapi.json",
        "instance": "/nowhere",
    }
    assert (wrong.status_code, wrong.json()["status"], wrong.headers["allow"]) == (405, 405, "GET")
    assert pages == [404, 404]
    assert {"/livez", "/v1/tasks", "/v1/events", "/v1/queues/{queue}/dead"} <= set(
        document["paths"]
    )


async def test_a_failing_readiness_is_a_problem_document_too() -> None:
    def broken() -> Readiness:
        raise RuntimeError("canary")

    async with serving(server(ready=broken)) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (500, 500)
    assert "canary" not in answer.text


async def test_a_port_in_use_is_the_operators_to_mend_and_names_the_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        listen = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(ConfigError) as caught:
            await server(listen).run()
    (problem,) = caught.value.problems
    assert problem == (
        f'[api] listen = "{listen}": cannot listen there: Address already in use; '
        'choose another port, or "" to switch the HTTP API off'
    )


async def test_an_address_of_another_machine_is_refused_with_the_same_words() -> None:
    with pytest.raises(ConfigError, match=r"\[api\] listen"):
        await server("192.0.2.1:80").run()


async def test_an_empty_address_opens_nothing() -> None:
    closed = server("")
    running = asyncio.create_task(closed.run())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(closed.started.wait(), 0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_signals_stay_with_the_daemon() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(server()) as client:
        await client.get("/livez")
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_when_it_has_stopped_the_port_is_free_again() -> None:
    api = server()
    async with serving(api) as client:
        await client.get("/livez")
    with socket.create_server(api.address) as listener:
        assert listener.getsockname()[1] == api.address[1]


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:7676", ("127.0.0.1", 7676)), ("[::1]:80", ("::1", 80)), ("box:0", ("box", 0))],
)
def test_an_address_is_host_and_port(listen: str, address: tuple[str, int]) -> None:
    assert parse_listen(listen) == address


@pytest.mark.parametrize("listen", ["7676", ":7676", "box:http", "box:65536"])
def test_any_other_address_is_refused_with_the_right_form(listen: str) -> None:
    with pytest.raises(ConfigError, match=r'write "HOST:PORT"'):
        parse_listen(listen)
