"""Every kind of store can be looked at from outside: there or not, of which version, why not."""

import asyncio

import psycopg
import pytest

from tests.contract.store_rig import open_store
from webhook_runner.process.doctor.check import Verdict
from webhook_runner.process.doctor.files import check_store
from webhook_runner.settings import POSTGRESQL
from webhook_runner.store.examine import examine
from webhook_runner.store.sighting import Sighting


async def test_a_store_is_there_once_a_daemon_has_opened_it(store_url: str) -> None:
    before = await asyncio.to_thread(examine, store_url)
    assert before == Sighting(known=before.known)
    async with open_store(store_url) as rig:
        await rig.store.usable()
    after = await asyncio.to_thread(examine, store_url)
    assert after == Sighting(exists=True, version=before.known, known=before.known)
    assert check_store(store_url).verdict is Verdict.OK


@pytest.mark.postgresql
async def test_a_database_of_a_newer_version_is_a_problem(postgresql_url: str) -> None:
    async with open_store(postgresql_url) as rig:
        await rig.store.usable()
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("UPDATE wr_schema SET version = 99")
    check = check_store(postgresql_url)
    assert (check.verdict, "of version 99" in check.text) == (Verdict.PROBLEM, True)


def test_a_server_that_does_not_answer_is_a_problem_told_without_its_password() -> None:
    check = check_store(f"{POSTGRESQL[0]}app:hunter2@127.0.0.1:1/d")
    assert (check.verdict, "hunter2" in check.text) == (Verdict.PROBLEM, False)
    assert "does not answer" in check.text
