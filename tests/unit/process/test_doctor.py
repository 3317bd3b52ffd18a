"""What an examination makes of what it sees: the verdict, and a remedy where one is needed."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhook_runner.broker.amqp.probe import Standing
from webhook_runner.broker.amqp.topology import Topology
from webhook_runner.broker.sqlite.examine import Examined
from webhook_runner.broker.sqlite.queue_file import QueueFile
from webhook_runner.process.doctor.check import Check, Verdict
from webhook_runner.process.doctor.examination import examine
from webhook_runner.process.doctor.files import (
    check_queue_file,
    check_store,
    judge_queue_file,
    judge_room,
    judge_store,
)
from webhook_runner.process.doctor.machine import (
    Door,
    is_clock_synchronised,
    judge_clock,
    judge_door,
    judge_files,
    look_at_door,
)
from webhook_runner.process.doctor.objects import Found, judge_objects
from webhook_runner.process.doctor.rabbit import (
    judge_certificate,
    judge_consumer_timeout,
    judge_version,
)
from webhook_runner.settings import QueueSettings, Settings
from webhook_runner.store.sighting import Sighting
from webhook_runner.store.sqlite.state_file import StateFile

OK, NOTE, WARNING, PROBLEM = Verdict
TOPOLOGY = Topology("wr.v1", ("q",), board=True)
DAY = 86_400


def told(checks: list[Check], area: str) -> list[tuple[Verdict, str]]:
    return [(check.verdict, check.text) for check in checks if check.area == area]


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("3.9.29", PROBLEM), ("3.10.8", NOTE), ("3.13.0", OK), ("4.3.5", OK), ("?", WARNING)],
)
def test_the_version_of_a_broker_is_judged(version: str, verdict: Verdict) -> None:
    assert judge_version("amqp://h/", version).verdict is verdict


@pytest.mark.parametrize(("days", "verdict"), [(90, OK), (3, WARNING), (-1, WARNING)])
def test_a_certificate_that_ends_soon_is_told(days: int, verdict: Verdict) -> None:
    assert judge_certificate("amqps://h/", days * DAY).verdict is verdict


def test_requests_that_may_take_longer_than_the_broker_waits_are_told() -> None:
    brief = Settings(queues={"a": QueueSettings(timeout=10)})
    long = Settings(queues={"a": QueueSettings(concurrency=1, timeout=60)})
    assert judge_consumer_timeout(brief).verdict is NOTE
    assert judge_consumer_timeout(long).verdict is WARNING
    assert "3000 s" in judge_consumer_timeout(long).text


def whole() -> Found:
    names = [queue.name for queue in TOPOLOGY.own_queues()]
    queues = {name: Standing(0, 0) for name in names} | {"q": Standing(0, 1)}
    return Found(queues, rings={0: 64, 1: 0, 2: 64, 3: 0, 4: 0})


def judged(found: Found, mode: str = "declare") -> list[Check]:
    return list(judge_objects(found, TOPOLOGY, mode))


def test_what_is_as_it_should_be_is_ok() -> None:
    assert {check.verdict for check in judged(whole())} == {OK}


def test_rights_that_are_wanting_are_a_problem() -> None:
    found = whole()
    found.forbidden = ["read q", "write to wr.v1.work"]
    ((verdict, text),) = told(judged(found), "rights")
    assert verdict is PROBLEM
    assert text.endswith("read q, write to wr.v1.work")


@pytest.mark.parametrize(("mode", "verdict"), [("declare", NOTE), ("verify", PROBLEM)])
def test_what_is_missing_is_a_problem_where_nobody_makes_it(mode: str, verdict: Verdict) -> None:
    found = whole()
    found.missing = ["a", "b", "c", "d", "e"]
    found.rings = dict.fromkeys(found.rings, 64)
    ((seen, text),) = told(judged(found, mode), "objects")
    assert seen is verdict
    assert text.startswith("missing: a, b, c and 2 more")


def test_a_ring_that_lacks_a_slot_is_a_problem() -> None:
    found = whole()
    found.rings[2] = 63
    ((verdict, text),) = told(judged(found), "delays")
    assert verdict is PROBLEM
    assert "63 of 64" in text
    assert [each for each, _ in told(judged(whole(), "verify"), "delays")] == [PROBLEM] * 3


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (Standing(3, 1), OK),
        (Standing(0, 0), OK),
        (Standing(3, 0), WARNING),
        (Standing(0, 1, differs="its type is classic"), WARNING),
    ],
)
def test_a_work_queue_is_judged(seen: Standing, verdict: Verdict) -> None:
    found = whole()
    found.queues["q"] = seen
    assert told(judged(found), "queue q")[0][0] is verdict


def test_what_lies_where_it_should_not_is_told() -> None:
    found = whole()
    found.queues |= {
        "q": Standing(0, 1, compared=False),
        "wr.v1.unrouted": Standing(4, 0),
        "wr.v1.poison": Standing(1, 0),
        "wr.v1.dead.q": Standing(2, 0),
        "wr.v1.invalid.q": Standing(0, 0, differs="its x-max-length is 5, ours would be none"),
    }
    checks = judged(found)
    verdicts = [verdict for verdict, _ in told(checks, "objects")]
    assert verdicts == [WARNING, WARNING, NOTE]
    assert [text for _, text in told(checks, "queue q")][1:] == [
        "its arguments could not be compared: that takes the right to configure",
        "2 dead and 0 invalid messages are kept",
    ]


def test_a_sound_queue_file_is_looked_at_without_a_trace(tmp_path: Path) -> None:
    path = str(tmp_path / "queue.db")
    assert told(check_queue_file(path), "queue file")[0][1] == f"{path} is made at the first start"
    QueueFile.open(path).close()
    before = sorted(tmp_path.iterdir())
    assert told(check_queue_file(path), "queue file") == [
        (OK, f"{path} is sound; 0 tasks wait in it")
    ]
    assert sorted(tmp_path.iterdir()) == before


def test_a_queue_file_that_a_daemon_has_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "queue.db")
    file = QueueFile.open(path)
    try:
        ((verdict, text),) = told(check_queue_file(path), "queue file")
    finally:
        file.close()
    assert verdict is OK
    assert "has it" in text


def test_a_damaged_queue_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    QueueFile.open(str(path)).close()
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    path.write_bytes(content)
    ((verdict, text),) = told(check_queue_file(str(path)), "queue file")
    assert verdict is PROBLEM
    assert "damaged" in text
    path.write_text("no database")
    assert told(check_queue_file(str(path)), "queue file")[0][0] is PROBLEM


def test_what_a_queue_file_keeps_is_told() -> None:
    seen = Examined(2**40, exists=True, waiting=5, dead=2)
    first, second, third = judge_queue_file("/x/q.db", seen)
    assert "5 tasks wait" in first.text
    assert "2 dead and 0 invalid" in second.text
    assert third.verdict is OK
    unclean = judge_queue_file("/x/q.db", Examined(0, exists=True, unchecked="it was not closed"))
    assert [check.verdict for check in unclean] == [NOTE]


def test_a_state_file_is_looked_at_without_a_trace(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/state.db"
    check = check_store(url)
    assert (check.verdict, check.text) == (OK, f"{url} is made at the first start")
    file = StateFile(f"{tmp_path}/state.db")
    file.open()
    assert "has it" in check_store(url).text
    file.close()
    before = sorted(tmp_path.iterdir())
    check = check_store(url)
    assert (check.verdict, "of version" in check.text) == (OK, True)
    assert sorted(tmp_path.iterdir()) == before
    QueueFile.open(f"{tmp_path}/queue.db").close()
    assert check_store(f"sqlite:{tmp_path}/queue.db").verdict is PROBLEM


def test_a_store_is_judged() -> None:
    assert check_store("none").verdict is NOTE
    old = judge_store("s", Sighting(exists=True, version=1, known=2))
    assert (old.verdict, "version 1, and 2 is known" in old.text) == (NOTE, True)
    assert judge_store("s", Sighting(unchecked="it was not closed")).verdict is NOTE
    assert judge_store("s", Sighting(problem="of a newer")).text == "s: of a newer"


@pytest.mark.parametrize(("free", "verdict"), [(10**7, PROBLEM), (10**9, WARNING), (10**10, OK)])
def test_room_that_runs_out_is_told(free: int, verdict: Verdict) -> None:
    assert judge_room("/x/q.db", free).verdict is verdict


def test_a_clock_is_judged_by_what_the_kernel_says() -> None:
    verdicts = [judge_clock(said).verdict for said in (True, False, None)]
    assert verdicts == [OK, WARNING, NOTE]
    assert is_clock_synchronised() in {True, False, None}


def test_too_few_open_files_are_told() -> None:
    assert judge_files(1024, 1256).verdict is WARNING
    assert judge_files(65_536, 1256).verdict is OK


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of a program that answers any request with a line that is no HTTP."""

    def answer(listener: socket.socket) -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_an_address_that_another_program_has_is_a_problem(stranger: int) -> None:
    listen = f"127.0.0.1:{stranger}"
    check = judge_door(listen, look_at_door(listen))
    assert (check.verdict, check.text) == (PROBLEM, f"{listen}: another program listens there")


def test_an_address_that_is_not_of_this_machine_is_a_problem() -> None:
    assert judge_door("192.0.2.1:7676", look_at_door("192.0.2.1:7676")).verdict is PROBLEM


def test_a_daemon_that_answers_is_told_with_what_it_lacks() -> None:
    lacking = Door(is_ours=True, parts={"broker": "not connected", "queue a": "ok"})
    check = judge_door("h:1", lacking)
    assert (check.verdict, "broker: not connected" in check.text) == (WARNING, True)
    assert "queue a" not in check.text
    assert judge_door("h:1", Door(is_ours=True, ready=True)).verdict is OK
    assert judge_door("", look_at_door("")).verdict is NOTE
    assert judge_door("127.0.0.1:0", look_at_door("127.0.0.1:0")).verdict is OK


def test_a_configuration_that_is_wrong_is_all_that_is_told(tmp_path: Path) -> None:
    file = tmp_path / "t.ini"
    file.write_text("max_total = 0\nstrict = 5")
    assert [(check.area, check.verdict) for check in examine(file, {})] == [
        ("configuration", PROBLEM)
    ] * 2


def test_an_installation_without_rabbitmq_is_examined(tmp_path: Path) -> None:
    file = tmp_path / "t.ini"
    file.write_text(
        f'server = "embedded:{tmp_path}/queue.db"\nbase_url = "http://169.254.169.254"\n'
        '[queues.a]\nbase_url = "http://127.0.0.1:8000"\nconcurrency = 2000\n[api]\nlisten = ""\n'
    )
    checks = examine(file, {})
    verdicts = [verdict for verdict, _ in told(checks, "configuration")]
    assert verdicts == [OK, WARNING, WARNING]
    assert [verdict for verdict, _ in told(checks, "egress")] == [PROBLEM, OK]
    areas = [check.area for check in checks]
    assert {"queue file", "store", "disk", "clock", "open files", "http api"} <= set(areas)
    assert [each.name for each in tmp_path.iterdir()] == ["t.ini"]
