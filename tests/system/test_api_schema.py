"""The daemon answers as its OpenAPI document says, whatever it is asked: requests made up by it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy, one_of
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.parts.intake import Intake
from tests.parts.receiver import Answer, Receiver

# A busy machine may take several times the minute that making requests up costs.
pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

EXAMPLES = 100
# Streams without an end; their routes have tests of their own.
STREAMS = r"/events$"
KNOWN = {"task_id": ("done", "dead", "later", "undone"), "queue": ("default", "other")}
QUIETLY = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# Which text is a URL, a time, a cursor or a letter no schema can say: those are refused by right.
EXCLUDED: list[Any] = [positive_data_acceptance]


@dataclass(frozen=True)
class Served:
    """A daemon with some history, and the document that it gives of itself."""

    schema: Any
    session: requests.Session


def plausible(name: str, value: object) -> object:
    """Return what is there in place of every other made-up name."""
    known = KNOWN.get(name)
    seed = crc32(repr(value).encode())
    return known[seed // 2 % len(known)] if known and seed % 2 else value


def mend_path(_: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: plausible(name, value) for name, value in (parameters or {}).items()}


def mend_body(_: Any, body: Any) -> Any:
    """Give tasks a URL, and no time that is far away."""
    if isinstance(body, dict) and isinstance(body.get("url"), str):
        return {**body, "url": "/ok"} if crc32(repr(body).encode()) % 4 else body
    return body


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("schema")
    with Receiver(scripts={"/bad": lambda _: Answer(500)}) as receiver:
        hosts = json.dumps([receiver.url.removeprefix("http://")])
        queue = f"retry_limit = 0\nallow_hosts = {hosts}\n"
        intake = Intake(f"embedded:{place}/queue.db", receiver, queue=queue)
        with intake.daemon, requests.Session() as session:
            intake.daemon.ready()
            history(intake)
            address = f"http://127.0.0.1:{intake.port}"
            schema: Any = schemathesis.openapi.from_url(f"{address}/openapi.json")
            schema.config.update(base_url=address)
            schema = schema.exclude(path_regex=STREAMS)
            schema.hook("map_path_parameters")(mend_path)
            schema.hook("map_body")(mend_body)
            yield Served(schema, session)
        assert [each for each in intake.daemon.events if each.get("level") == "critical"] == []


def history(intake: Intake) -> None:
    """Let some things have happened."""
    for task in (
        {"id": "done", "url": "/ok"},
        {"id": "dead", "url": "/bad"},
        {"id": "undone", "url": "/bad", "roll_back": "/ok"},
        {"id": "later", "url": "/ok", "countdown": 3600},
    ):
        assert intake.post(task).status == 202
    for name in ("dead", "undone"):
        intake.daemon.wait_for_event("task.failed", task_id=name)


def operations(schema: Any) -> list[Any]:
    return [each.ok() for each in schema.get_all_operations()]


def made_up(operation: Any) -> SearchStrategy[Case[Any]]:
    """Requests that keep to the document, and as many that break it."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    return one_of([operation.as_strategy(generation_mode=mode) for mode in modes])


def test_every_operation_answers_as_the_document_says(
    served: Served, subtests: pytest.Subtests
) -> None:
    load_all_checks()
    for operation in operations(served.schema):
        with subtests.test(operation=operation.label):

            @QUIETLY
            @given(case=made_up(operation))
            def holds(case: Case[Any]) -> None:
                case.call_and_validate(session=served.session, excluded_checks=EXCLUDED)

            holds()


def test_what_an_answer_links_to_answers_as_the_document_says(served: Served) -> None:
    load_all_checks()
    by_id = {each.definition.raw["operationId"]: each for each in operations(served.schema)}
    post = by_id["post_tasks"]

    @settings(QUIETLY, max_examples=30)
    @given(case=post.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def holds(case: Case[Any]) -> None:
        answer = case.call(session=served.session)
        links = post.definition.raw["responses"].get(str(answer.status_code), {}).get("links", {})
        for name in links if "id" in answer.json() else ():
            following = by_id[links[name]["operationId"]]
            asked = following.Case(path_parameters={"task_id": answer.json()["id"]})
            met = asked.call_and_validate(session=served.session, excluded_checks=EXCLUDED)
            assert met.status_code in {200, 202, 409}, name
            followed.append(name)

    followed: list[str] = []
    holds()
    assert set(followed) == {
        *("get_task", "get_attempts", "run_task", "replay_task", "cancel_task")
    }
