"""Names are resolved in bounded time, by few threads, once for many who ask."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from webhook_runner.dispatch.failure import AttemptError
from webhook_runner.dispatch.resolver import SystemResolver, system_lookup
from webhook_runner.errors import RefusedError
from webhook_runner.task.outcome import Trouble


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


async def test_an_address_needs_no_look_up() -> None:
    def lookup(host: str) -> tuple[str, ...]:
        raise AssertionError(host)

    resolver = SystemResolver(lookup)
    assert await resolver.resolve("127.0.0.1") == ("127.0.0.1",)
    assert await resolver.resolve("fd00::1") == ("fd00::1",)


async def test_many_who_ask_share_one_look_up_and_its_answer_is_kept_for_a_while(
    gate: threading.Event,
) -> None:
    asked: list[str] = []

    def lookup(host: str) -> tuple[str, ...]:
        asked.append(host)
        gate.wait()
        return ("10.0.0.1", "10.0.0.2")

    resolver = SystemResolver(lookup, ttl=1000)
    askers = [asyncio.ensure_future(resolver.resolve("a.test")) for _ in range(20)]
    await asyncio.sleep(0)
    gate.set()
    assert set(await asyncio.gather(*askers)) == {("10.0.0.1", "10.0.0.2")}
    await resolver.resolve("a.test")
    assert asked == ["a.test"]


async def test_an_answer_past_its_time_is_asked_for_again() -> None:
    asked: list[str] = []

    def lookup(host: str) -> tuple[str, ...]:
        asked.append(host)
        return ("10.0.0.1",)

    resolver = SystemResolver(lookup, ttl=0)
    await resolver.resolve("a.test")
    await resolver.resolve("a.test")
    assert len(asked) == 2


async def test_at_most_sixteen_addresses_are_used() -> None:
    resolver = SystemResolver(lambda _: tuple(f"10.0.{n >> 8}.{n & 255}" for n in range(1000)))
    assert len(await resolver.resolve("many.test")) == 16


async def test_slow_names_give_up_in_time_and_do_not_take_more_threads_than_there_are(
    gate: threading.Event,
) -> None:
    started: list[str] = []

    def lookup(host: str) -> tuple[str, ...]:
        started.append(host)
        gate.wait()
        return ("10.0.0.1",)

    resolver = SystemResolver(lookup, threads=2, limit=0.2)
    answers = await asyncio.gather(
        *(resolver.resolve(f"slow{n}.test") for n in range(100)), return_exceptions=True
    )
    for answer in answers:
        assert isinstance(answer, AttemptError)
        assert answer.trouble is Trouble.DNS
    assert len(started) == 2
    gate.set()
    assert await SystemResolver(lookup).resolve("late.test") == ("10.0.0.1",)


async def test_names_that_had_an_answer_go_on_however_many_others_hang(
    gate: threading.Event,
) -> None:
    def lookup(host: str) -> tuple[str, ...]:
        if host.startswith("slow"):
            gate.wait()
        return ("10.0.0.1",)

    resolver = SystemResolver(lookup, threads=2, reserved=1, ttl=0)
    await resolver.resolve("known.test")
    slow = [asyncio.ensure_future(resolver.resolve(f"slow{n}.test")) for n in range(100)]
    for _ in range(3):
        await asyncio.sleep(0)
        assert await resolver.resolve("known.test") == ("10.0.0.1",)
    assert not any(each.done() for each in slow)
    gate.set()
    await asyncio.gather(*slow)


async def test_many_names_that_hang_leave_room_for_one_never_heard_of() -> None:
    gate = threading.Event()

    def lookup(host: str) -> tuple[str, ...]:
        if host.startswith("slow"):
            gate.wait()
        return ("10.0.0.1",)

    resolver = SystemResolver(lookup)
    slow = [asyncio.ensure_future(resolver.resolve(f"slow{n}.test")) for n in range(100)]
    await asyncio.sleep(0)
    assert await resolver.resolve("new.test") == ("10.0.0.1",)
    gate.set()
    await asyncio.gather(*slow)


async def test_threads_that_end_are_free_for_others(gate: threading.Event) -> None:
    def lookup(host: str) -> tuple[str, ...]:
        if host == "slow.test":
            gate.wait()
        return ("10.0.0.1",)

    resolver = SystemResolver(lookup, threads=1, limit=5)
    slow = asyncio.ensure_future(resolver.resolve("slow.test"))
    quick = asyncio.ensure_future(resolver.resolve("quick.test"))
    await asyncio.sleep(0)
    gate.set()
    assert set(await asyncio.gather(slow, quick)) == {("10.0.0.1",)}


@pytest.mark.parametrize("failure", [AttemptError(Trouble.DNS, "gone"), RefusedError("url", "bad")])
async def test_a_failure_is_told_to_everybody_and_not_kept(failure: Exception) -> None:
    answers: list[Exception] = [failure]

    def lookup(host: str) -> tuple[str, ...]:
        if answers:
            raise answers.pop()
        return ("10.0.0.1",)

    resolver = SystemResolver(lookup)
    with pytest.raises(type(failure)):
        await resolver.resolve("a.test")
    assert await resolver.resolve("a.test") == ("10.0.0.1",)


async def test_no_address_at_all_is_a_dns_error() -> None:
    with pytest.raises(AttemptError, match="no address"):
        await SystemResolver(lambda _: ()).resolve("a.test")


def test_the_system_says_what_localhost_is_and_what_is_no_name() -> None:
    assert "127.0.0.1" in system_lookup("localhost")
    with pytest.raises(RefusedError):
        system_lookup("a" * 64 + ".test")
    with pytest.raises(AttemptError) as failed:
        system_lookup("no-such-name.invalid")
    assert failed.value.trouble is Trouble.DNS
