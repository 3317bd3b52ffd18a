"""The corpus of targets through whole daemons: refused for good, by its rule, and never reached."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.parts.egress_daemons import PUBLIC, RETRIES, plain
from tests.parts.own_network import in_own_network, need_own_network
from tests.parts.targets import PROFILES, Case

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "tests.parts.egress_daemons")


@pytest.fixture(scope="module")
def became(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of all tasks of each profile's daemon."""
    need_own_network()
    directory = tmp_path_factory.mktemp("daemons")
    ca_file, certificate = directory / "ca.pem", directory / "server.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    names = {case.server_name for profile in PROFILES for case in plain(profile)} - {""}
    authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(str(certificate))
    program = (*PROGRAM, str(ca_file), str(certificate), str(directory))
    with in_own_network(*program) as command:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def end(verdict: str) -> list[object]:
    """Return how a task ends, or a roll-back, whose target meets with this."""
    if verdict.startswith("reached "):
        return ["done"]
    if verdict.startswith("answered "):
        return ["failed", verdict.split()[1], "retries_exhausted", RETRIES + 1]
    if verdict == "dns":
        return ["failed", verdict, "retries_exhausted", RETRIES + 1]
    return ["failed", verdict, "non_retryable", 1]


def fates(number: int, case: Case) -> dict[str, list[object]]:
    """Return what becomes of a case as the url of a task, and as the roll-back of another."""
    url, undo = f"url-{number}", f"undo-{number}"
    if case.door:
        return {
            url: ["refused", f"url: {case.door}"],
            undo: ["refused", f"roll_back.url: {case.door}"],
        }
    first = ["failed", "404", "retries_exhausted", 1]
    return {url: end(case.verdicts[0]), undo: first, f"{undo}~rb": end(case.verdicts[0])}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_refused_target_ends_its_task_at_once_with_the_rule(
    became: dict[str, Any], profile: str
) -> None:
    """No retry; the same for a roll-back; what is allowed is done."""
    wanted: dict[str, list[object]] = {}
    for number, case in enumerate(plain(profile)):
        wanted |= fates(number, case)
    found = became[profile]["fates"]
    assert {
        key: (found.get(key), end) for key, end in wanted.items() if found.get(key) != end
    } == {}
    assert found.keys() == wanted.keys()
    refused = [fate for fate in wanted.values() if str(fate[1:2]).startswith("['egress_")]
    assert len(refused) > 100


@pytest.mark.parametrize("profile", PROFILES)
def test_nobody_arrives_but_where_the_profile_lets_them(
    became: dict[str, Any], profile: str
) -> None:
    wanted: Counter[str] = Counter()
    for case in plain(profile):
        if case.door:
            continue
        word, _, address = case.verdicts[0].rpartition(" ")
        times = {"reached": 1, "": 0}.get(word, RETRIES + 1)
        wanted += Counter({PUBLIC: 1}) + Counter({address: 2 * times})
    assert Counter(became[profile]["arrivals"]) == wanted
