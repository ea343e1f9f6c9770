"""Futures of other threads, awaited: each is answered, and the loop is woken for many at once."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import uvloop

from service.errors import Overloaded
from service.rpc.answered import Answered

COUNT = 2000


class Counting(asyncio.SelectorEventLoop):
    """A loop that counts how often another thread woke it."""

    woken = 0

    def call_soon_threadsafe(  # type: ignore[override]  # positional arguments only
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_result_comes_whichever_thread_gives_it(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> list[int]:
        answered = Answered(asyncio.get_running_loop())
        with ThreadPoolExecutor(4) as threads:
            futures = [threads.submit(int, number) for number in range(COUNT)]
            return list(await asyncio.gather(*(answered.result(each) for each in futures)))

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(asyncio.wait_for(main(), 60)) == list(range(COUNT))


def test_results_given_together_wake_the_loop_once() -> None:
    loop = Counting()
    futures: list[Future[int]] = [Future() for _ in range(COUNT)]

    def give() -> None:
        for each in futures:
            each.set_result(1)

    async def main() -> list[int]:
        answered = Answered(loop)
        waiting = [asyncio.ensure_future(answered.result(each)) for each in futures]
        await asyncio.sleep(0)
        loop.woken = 0
        # The loop stands still meanwhile, as it does while another thread holds the interpreter.
        giving = threading.Thread(target=give)
        giving.start()
        giving.join()
        return await asyncio.gather(*waiting)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(main()) == [1] * COUNT
    assert loop.woken == 1


def test_errors_and_what_was_there_before() -> None:
    async def main() -> None:
        answered = Answered(asyncio.get_running_loop())
        there: Future[int] = Future()
        there.set_result(3)
        assert await answered.result(there) == 3
        refused: Future[int] = Future()
        refused.set_exception(Overloaded("too many"))
        with pytest.raises(Overloaded, match="too many"):
            await answered.result(refused)

    asyncio.run(main())


def test_a_caller_that_goes_away_takes_its_request_back() -> None:
    async def main() -> None:
        answered = Answered(asyncio.get_running_loop())
        queued: Future[int] = Future()
        begun: Future[int] = Future()
        begun.set_running_or_notify_cancel()
        for future in (queued, begun):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answered.result(future), 0.01)
        assert queued.cancelled()
        assert not begun.cancelled(), "what has begun is brought to its end"
        begun.set_result(1)  # nobody waits any more, and nothing breaks
        await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_loop_that_has_gone_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    future: Future[int] = Future()

    async def main() -> None:
        asking = asyncio.ensure_future(Answered(asyncio.get_running_loop()).result(future))
        await asyncio.sleep(0)
        future.set_running_or_notify_cancel()
        asking.cancel()

    asyncio.run(main())
    future.set_result(1)
    assert not caplog.records
