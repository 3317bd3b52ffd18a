"""Hands the corpus of targets to whole daemons, as tasks and as roll-backs, and says what became.

``python -m tests.parts.egress_daemons CA CERTIFICATE DIRECTORY``, in a network of its own.
"""

import json
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.parts.embedded_stage import EmbeddedStage
from tests.parts.everywhere import Everywhere
from tests.parts.name_server import NameServer
from tests.parts.own_network import NAME_SERVER
from tests.parts.receiver import Receiver
from tests.parts.stage import QUICK, SetAside
from tests.parts.targets import PROFILES, Case, cases

PUBLIC = "93.184.216.34"
ENGINES = {"public": "lean", "internal": "httpx2"}
"""What each profile's daemon sends with: a pass through both costs no more than one."""

RETRIES = 2

_QUEUE = f"{QUICK}\nretry_limit = {RETRIES}\nrollback_retry_limit = {RETRIES}\nconcurrency = 20"
_REST_SECONDS = 60.0


def plain(profile: str) -> list[Case]:
    """Return the cases that one daemon can have all at once."""
    return [case for case in cases() if case.profile == profile and case.is_plain]


def _messages(number: int, case: Case) -> Iterator[dict[str, object]]:
    """Give the target as a url, and as the roll-back of a task that fails."""
    yield {"id": f"url-{number}", "queue": "q", "url": case.url}
    yield {
        "id": f"undo-{number}",
        "queue": "q",
        "max_retries": 0,
        "url": f"http://{PUBLIC}/fail",
        "roll_back": case.url,
    }


def _walk(profile: str, ca_file: str, directory: Path, here: Everywhere) -> dict[str, Any]:
    top = (
        f'[egress]\nprofile = "{profile}"\nca_file = "{ca_file}"\n'
        f'[performance]\nhttp = "{ENGINES[profile]}"\n'
    )
    messages = [each for n, case in enumerate(plain(profile)) for each in _messages(n, case)]
    mark = len(here.arrivals)
    with Receiver() as nobody, EmbeddedStage(directory, nobody) as stage:
        daemon = stage.daemon({"q": _QUEUE}, top=top)
        results = stage.post(json.dumps(messages).encode())["results"]
        stage.comes_to_rest(_REST_SECONDS)
        here.settle()
        fates: dict[str, tuple[object, ...]] = {
            str(message["id"]): ("refused", *_faults(result["problem"]))
            for message, result in zip(messages, results, strict=True)
            if "problem" in result
        }
        fates |= {str(each.headers["wr-id"]): _end(each) for each in stage.dead("q")}
        fates |= {
            str(each["task_id"]): ("done",)
            for each in daemon.events
            if each["event"] in {"task.succeeded", "task.rolled_back"}
        }
    return {"fates": fates, "arrivals": [each.address for each in here.arrivals[mark:]]}


def _faults(problem: dict[str, Any]) -> list[str]:
    return [f"{fault['field']}: {fault['reason']}" for fault in problem["errors"]]


def _end(letter: SetAside) -> tuple[object, ...]:
    """Return what a dead letter says: the error or the status, the reason, how many attempts.

    That of a roll-back names in its marks what it was to undo, and in its summary its own end.
    """
    told = json.loads(letter.headers["wr-summary"])
    return (
        "failed",
        told["last_error"] or str(told["last_status"]),
        told["reason"],
        told["attempts"],
    )


def main(ca_file: str, certificate: str, directory: str) -> None:
    """Print what became of every task, by profile, as JSON."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names = {name: turns for case in cases() if case.is_plain for name, turns in case.names.items()}
    found = {}
    with NameServer(names, NAME_SERVER, 53), Everywhere(context) as here:
        for profile in PROFILES:
            place = Path(directory, profile)
            place.mkdir()
            found[profile] = _walk(profile, ca_file, place, here)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
