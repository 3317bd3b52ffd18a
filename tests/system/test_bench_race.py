"""The parts of the race in earnest: the receiver in C, and one small race on a real RabbitMQ."""

import http.client
import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.race import built
from bench.race.arena import Arena, Course, RaceError
from bench.race.contender import Command, Contender, plain
from bench.race.ours import ours
from bench.race.rivals import go
from bench.race.sink import Sink
from bench.race.throughput import present
from bench.race.times import lateness
from tests.parts.node import RabbitNode
from tests.parts.tls import Tls
from tests.parts.vhosts import VhostPool

HOW_TO_GET_ONE = "no C compiler with OpenSSL's headers: sh tests/parts/install_bench.sh c"
SLOW_MS = 50
GO_LIBRARY = Path("/usr/share/gocode/src/github.com/rabbitmq/amqp091-go")


@pytest.fixture
def compiled() -> None:
    try:
        built.receiver()
    except built.NotThereError as error:
        if os.environ.get("CI"):
            pytest.fail(f"{HOW_TO_GET_ONE}: {error}", pytrace=False)
        pytest.skip(HOW_TO_GET_ONE)


@pytest.fixture
def sink(compiled: None, tmp_path: Path) -> Iterator[Sink]:
    with Sink(tmp_path, hosts=3, delay_ms=SLOW_MS) as sink:
        yield sink


@pytest.fixture
def arena(node: RabbitNode, _vhosts: VhostPool, tmp_path: Path) -> Arena:
    return Arena(tmp_path, node, _vhosts)


def post(connection: http.client.HTTPConnection, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, b"{}", named)
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.system
def test_the_receiver_notes_what_came_and_when(sink: Sink) -> None:
    due = datetime(2026, 2, 28, 23, 59, 58, 125000, UTC)
    with closing(http.client.HTTPConnection("127.0.0.1", sink.port)) as first:
        assert post(first, "/t/00000007") == 200
        assert post(first, "/t/8", Webhook_Runner_Eta="2026-02-28T23:59:58.125Z") == 200
    with closing(http.client.HTTPConnection("127.0.0.3", sink.port)) as third:
        assert post(third, "/t/12345678") == 200

    assert sink.numbers() == [7, 8, 12345678]
    assert sink.dues() == [0, due.timestamp(), 0]
    assert sink.times() == sorted(sink.times())
    assert abs(sink.times()[0] - datetime.now(UTC).timestamp()) < 60
    sink.forget()
    assert sink.numbers() == []


@pytest.mark.system
def test_the_receiver_does_what_a_path_says(sink: Sink) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", sink.port)) as connection:
        assert post(connection, "/fail/1", webhook_runner_attempt="1") == 500
        assert post(connection, "/fail/1", WEBHOOK_RUNNER_ATTEMPT="2") == 200
        assert post(connection, "/slow/2") == 200
        assert datetime.now(UTC).timestamp() - sink.times()[2] >= SLOW_MS / 1000 * 0.99

    assert sink.statuses() == [500, 200, 200]


@pytest.mark.system
@pytest.mark.usefixtures("compiled")
def test_the_receiver_speaks_tls(tmp_path: Path) -> None:
    files = Tls().write(tmp_path)
    context = ssl.create_default_context(cafile=str(files.authority))
    with Sink(tmp_path, tls=(files.server_certificate, files.server_key)) as sink:
        connection = http.client.HTTPSConnection("127.0.0.1", sink.port, context=context)
        with closing(connection):
            assert [post(connection, f"/t/{number}") for number in range(3)] == [200] * 3
        assert sink.numbers() == [0, 1, 2]


@pytest.mark.system
@pytest.mark.rabbitmq
def test_a_race_is_over_when_every_task_is_done(sink: Sink, arena: Arena) -> None:
    lap = arena.race(ours(cpus=()), "quorum", sink, Course(200, hosts=3))

    assert set(sink.numbers()) == set(range(200))
    assert lap.per_second > 0
    assert lap.resident > lap.proportional > 10e6


@pytest.mark.system
@pytest.mark.rabbitmq
def test_the_consumer_in_go_takes_part_where_there_is_go(sink: Sink, arena: Arena) -> None:
    if not (shutil.which("go") and GO_LIBRARY.is_dir()):
        pytest.skip("the race does without it too: there is no Go, or not its AMQP library")
    contender = go("go", ())
    present(contender)

    arena.race(contender, "quorum", sink, Course(200))

    assert set(sink.numbers()) == set(range(200))


@pytest.mark.system
@pytest.mark.rabbitmq
def test_a_worker_that_does_one_task_for_all_has_not_done_them(sink: Sink, arena: Arena) -> None:
    always_the_first = (str(built.load()), str(sink.port), "1", "1")
    contender = Contender("lazy", 100, lambda _: Command(always_the_first), plain)

    with pytest.raises(RaceError, match="99 of 100 were not done"):
        arena.race(contender, "classic", sink, Course(100))


@pytest.mark.system
@pytest.mark.rabbitmq
def test_a_worker_that_ends_too_early_is_told_with_its_last_words(sink: Sink, arena: Arena) -> None:
    quitter = Contender("quitter", 100, lambda _: Command(("sh", "-c", "echo no more")), plain)

    with pytest.raises(RaceError, match="0 of 15 came\nno more"):
        arena.race(quitter, "classic", sink, Course(100))


@pytest.mark.system
@pytest.mark.rabbitmq
def test_delayed_tasks_are_handed_in_at_a_pace_and_never_early(sink: Sink, arena: Arena) -> None:
    found = lateness(arena, sink, 100, (0.5, 1), per_second=200)

    assert found.holds
    assert found.twice == 0
    assert found.parked_per_s <= 200
