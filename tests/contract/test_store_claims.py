"""What every store does about words against duplicates: one holder for each key, told to all."""

import asyncio

import msgspec

from tests.contract.store_rig import NOW, StoreRig, change
from webhook_runner.store.text import plain
from webhook_runner.task.record import Claim, Holder
from webhook_runner.task.state import TaskState


def claim_of(
    name: str, *, at: float = NOW, until: float = NOW + 10, run: int = 1, key: str = "key"
) -> Claim:
    return Claim(key, name, run, b"\x00" + name.encode(), at, until)


async def test_who_claims_first_has_the_key_until_it_is_over(stores: StoreRig) -> None:
    first = Holder("a", 1, b"\x00a", is_new=True, kept=False)
    assert await stores.store.claim(claim_of("a")) == first
    held = msgspec.structs.replace(first, is_new=False)
    assert await stores.store.claim(claim_of("b")) == held
    await stores.store.keep_claim("key", 1)
    assert await stores.store.claim(claim_of("b")) == msgspec.structs.replace(held, kept=True)
    late = await stores.store.claim(claim_of("b", at=NOW + 10, until=NOW + 20))
    assert late == Holder("b", 1, b"\x00b", is_new=True, kept=False)


async def test_of_many_that_claim_at_once_one_is_first(stores: StoreRig) -> None:
    claims = [stores.store.claim(claim_of(f"t{number}")) for number in range(10)]
    holders = await asyncio.gather(*claims)
    assert [holder.is_new for holder in holders].count(True) == 1
    assert len({holder.id for holder in holders}) == 1


async def test_a_claim_is_given_back_unless_its_task_is_kept_after_all(stores: StoreRig) -> None:
    await stores.store.claim(claim_of("a"))
    await stores.store.drop_claim("key", 2)
    assert not (await stores.store.claim(claim_of("b"))).is_new
    await stores.store.drop_claim("key", 1)
    assert (await stores.store.claim(claim_of("b", run=5))).is_new
    await stores.store.keep_claim("key", 5)
    await stores.store.drop_claim("key", 5)
    assert (await stores.store.claim(claim_of("c"))).id == "b"


async def test_many_questions_at_once_have_each_their_own_answer(stores: StoreRig) -> None:
    store = stores.store
    await store.claim(claim_of("before", key="key-0"))
    asks = [store.claim(claim_of("x", key=f"key-{number % 20}")) for number in range(40)]
    steps = [store.advance(change(TaskState.RUNNING, f"t{number % 15}")) for number in range(30)]
    holders, advanced = await asyncio.gather(asyncio.gather(*asks), asyncio.gather(*steps))
    assert [holder.is_new for holder in holders] == [False] + [True] * 19 + [False] * 20
    assert [holder.id for holder in holders] == (["before"] + ["x"] * 19) * 2
    assert advanced == [True] * 15 + [False] * 15


async def test_a_key_that_no_database_takes_harms_no_other(stores: StoreRig) -> None:
    odd, good = "a\x00b\ud800", "good"
    claims = [stores.store.claim(claim_of("x", key=key)) for key in (odd, good)]
    holders = await asyncio.gather(*claims)
    assert all(holder.is_new for holder in holders)
    assert not (await stores.store.claim(claim_of("y", key=plain(odd)))).is_new
