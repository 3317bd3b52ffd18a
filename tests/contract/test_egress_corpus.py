"""Every dispatcher and every target of tests/corpus/targets.jsonl, in a network of its own."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.contract.dispatching import ENGINES
from tests.parts.egress_walk import FENCED
from tests.parts.own_network import in_own_network, need_own_network, obstacle
from tests.parts.targets import Case, cases

ROOT = Path(__file__).parents[2]
CASES = cases()
PROGRAM = (sys.executable, "-m", "tests.parts.egress_walk")


@dataclass(frozen=True)
class Walk:
    """What a walk through the corpus has said."""

    met: Mapping[tuple[str, str], Mapping[str, Any]]
    arrivals: Counter[str]
    heard: list[str]
    is_whole: bool

    def is_as_wanted(self, told: str, wanted: str) -> bool:
        """Whether it is what was wanted; of what is reached a lesser walk knows no more."""
        if _kind(wanted) == "reached" and not self.is_whole:
            return _kind(told) == "reached"
        return fnmatchcase(told, wanted)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """One walk for all tests: a second or two in a network of its own, else a lesser one."""
    directory = tmp_path_factory.mktemp("walk")
    ca_file, certificate = directory / "ca.pem", directory / "server.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    issued = authority.issue_cert(*{case.server_name for case in CASES if case.server_name})
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    program = (*PROGRAM, str(ca_file), str(certificate))
    is_whole = not obstacle()
    network = in_own_network(*program) if is_whole else nullcontext((*program, "stub"))
    with network as command:
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    met = {(each["case"], each["engine"]): each for each in told["met"]}
    return Walk(met, Counter(told["arrivals"]), told["heard"], is_whole)


def test_the_corpus_is_long_enough_to_mean_something() -> None:
    ends = Counter(_kind(verdict) for case in CASES for verdict in case.verdicts)
    assert len({case.id for case in CASES}) == len(CASES) >= 240
    assert len({case.name for case in CASES}) >= 120
    assert ends["refused"] >= 200
    assert ends["reached"] >= 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.id))
def test_a_target_is_reached_or_refused_as_it_is_written(walk: Walk, case: Case) -> None:
    allowed = sum(_kind(verdict) == "reached" for verdict in case.verdicts)
    for engine in ENGINES:
        met = walk.met[case.id, engine]
        told = list(zip(met["verdicts"], case.verdicts, strict=True))
        assert all(walk.is_as_wanted(*each) for each in told), (engine, told, met)
        assert bool(met["tried"]) == bool(allowed), (engine, met)
        assert len(met["arrived"]) == (allowed if walk.is_whole else 0), (engine, met)


def _kind(verdict: str) -> str:
    if verdict.startswith(("reached ", "answered ")) or verdict == "certificate":
        return "reached"
    return "troubled" if verdict in {"dns", "connect"} else "refused"


def test_the_network_is_one_in_which_every_connection_is_heard(walk: Walk) -> None:
    need_own_network()
    assert walk.heard == list(FENCED)


def test_nobody_arrived_where_nobody_was_let(walk: Walk) -> None:
    """Also none that was given up, or came late: counted once more when all had come to rest."""
    need_own_network()
    let = Counter(address for met in walk.met.values() for address in met["arrived"])
    assert walk.arrivals == let
    assert sum(let.values()) > 100


@pytest.mark.parametrize("case", [c for c in CASES if c.host or c.server_name], ids=lambda c: c.id)
def test_host_and_name_stay_those_of_the_url(walk: Walk, case: Case) -> None:
    need_own_network()
    for engine in ENGINES:
        met = walk.met[case.id, engine]
        assert {case.server_name} >= set(met["server_names"])
        assert not case.host or {case.host} >= set(met["hosts"])
