"""A daemon that is to end when it loses its broker ends with 69; what it had is given on."""

import pytest

from tests.parts.proxy import FaultProxy
from tests.parts.rabbit_stage import RabbitStage
from tests.parts.receiver import Answer
from tests.parts.stage import QUICK

pytestmark = [pytest.mark.rabbitmq, pytest.mark.system]


@pytest.mark.parametrize("mode", ["drain_exit", "abort_exit"])
def test_a_lost_broker_ends_the_daemon(rabbit_stage: RabbitStage, mode: str) -> None:
    with FaultProxy("127.0.0.1", rabbit_stage.node.port) as proxy:
        server = proxy.url_for(rabbit_stage.url)
        top = f'on_disconnect = "{mode}"\n'
        daemon = rabbit_stage.daemon({"a": f"{QUICK}\nconcurrency = 1"}, server=server, top=top)
        rabbit_stage.receiver.script("/hangs", [Answer(hang=True)])
        rabbit_stage.publish("a", {"url": "/hangs", "id": "runs"}, {"url": "/x", "id": "waits"})
        rabbit_stage.receiver.wait_for(1, "/hangs")
        proxy.refuse()
        told = daemon.wait_for_event("daemon.draining", in_flight=2)
        assert f'on_disconnect = "{mode}"' in str(told["reason"])
        if mode == "drain_exit":
            rabbit_stage.receiver.release()
        assert daemon.wait(20) == 69
        assert bool(rabbit_stage.receiver.aborted) == (mode == "abort_exit")
        daemon.wait_for_event("task.attempt.finished", task_id="runs")
        assert rabbit_stage.receiver.received("/x") == []
        rabbit_stage.wait_for_depths("a", 2, 0)
        daemon.close()


def test_a_broker_that_was_never_there_is_waited_for(rabbit_stage: RabbitStage) -> None:
    top = 'on_disconnect = "abort_exit"\n[broker]\nreconnect_min_seconds = 0.1\n'
    with FaultProxy("127.0.0.1", rabbit_stage.node.port) as proxy:
        proxy.refuse()
        server = proxy.url_for(rabbit_stage.url)
        daemon = rabbit_stage.unready({"a": QUICK}, server=server, top=top)
        daemon.wait_for_event("broker.lost")
        proxy.pass_through()
        daemon.ready()
        daemon.close()
