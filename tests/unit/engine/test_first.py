"""Waiting for whichever comes first."""

import asyncio

from webhook_runner.engine.first import first_of


async def test_the_others_are_not_waited_for_and_go_on_no_longer() -> None:
    cancelled = asyncio.Event()

    async def late() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await first_of(asyncio.sleep(0), late())
    await cancelled.wait()


async def test_who_waits_and_is_cancelled_takes_all_along() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    futures = [asyncio.ensure_future(event.wait()) for event in (first, second)]
    waiting = asyncio.ensure_future(first_of(*futures))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, *futures, return_exceptions=True)

    assert all(each.cancelled() for each in futures)
