"""Which run is current: the innermost open one of this asyncio task, else of this thread."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Run, current_run, record_tool, track_task, tracked_task

if TYPE_CHECKING:
    from .conftest import Call, RunsRecorded


def test_the_innermost_run_is_current(call: Call) -> None:
    seen: list[Any] = []

    def inner() -> None:
        seen.append(current_run().id)

    def outer() -> None:
        seen.append(current_run().id)
        track_task(id="inner")(inner)()
        seen.append(current_run().id)

    call(outer, decorator=track_task(id="outer"))
    assert seen == ["outer", "inner", "outer"]
    assert not current_run()


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_runs_may_end_in_any_order(order: tuple[int, ...], recorded: RunsRecorded) -> None:
    blocks = [tracked_task(id=str(number)) for number in range(3)]
    for block in blocks:
        block.__enter__()
    still_open = [0, 1, 2]
    for number in order:
        blocks[number].__exit__(None, None, None)
        still_open.remove(number)
        assert current_run().id == (str(still_open[-1]) if still_open else "")
    assert [report.ending for report in recorded()] == ["completed"] * 3


def test_each_task_has_its_own() -> None:
    async def work(number: int, all_in: asyncio.Event, entered: list[int]) -> None:
        async with tracked_task(id=str(number)) as run:
            entered.append(number)
            if len(entered) == 20:
                all_in.set()
            await all_in.wait()
            for _ in range(5):
                assert current_run() is run
                await asyncio.sleep(0)
        assert not current_run()

    async def main() -> None:
        all_in = asyncio.Event()
        entered: list[int] = []
        await asyncio.gather(*(work(number, all_in, entered) for number in range(20)))
        assert not current_run()

    asyncio.run(main())


def test_each_thread_has_its_own() -> None:
    all_in = threading.Barrier(8)

    def work(number: int) -> None:
        with tracked_task(id=str(number)) as run:
            all_in.wait(10)
            assert current_run() is run
        assert not current_run()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_a_reused_thread_does_not_show_the_run_before(recorded: RunsRecorded) -> None:
    @track_task
    def work() -> None:
        record_tool("mine")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(current_run).result(10).id == ""
        pool.submit(work).result(10)
        with pytest.raises(ZeroDivisionError):
            pool.submit(track_task(lambda: 1 / 0)).result(10)
        assert not pool.submit(current_run).result(10)
    assert [report.used_tools for report in recorded()] == [["mine"], []]


def test_a_thread_that_was_left_elsewhere_shows_nothing() -> None:
    block = tracked_task()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(block.__enter__).result(10)
        assert pool.submit(current_run).result(10)
        block.__exit__(None, None, None)
        assert not pool.submit(current_run).result(10)


def test_threads_and_tasks_do_not_show_each_others_runs() -> None:
    async def main() -> None:
        async with tracked_task(id="of the task"):
            seen = await asyncio.get_running_loop().run_in_executor(None, lambda: current_run().id)
            assert seen != "of another"

    with ThreadPoolExecutor(1) as pool, tracked_task(id="of another"):
        pool.submit(asyncio.run, main()).result(10)


def test_a_loop_callback_is_in_no_run() -> None:
    seen: list[Run] = []

    async def main() -> None:
        async with tracked_task():
            asyncio.get_running_loop().call_soon(lambda: seen.append(current_run()))
            while not seen:  # noqa: ASYNC110  # nothing else tells
                await asyncio.sleep(0)

    asyncio.run(main())
    assert not seen[0]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of Python 3.12")
def test_an_eager_task_has_its_own() -> None:
    async def child() -> None:
        before = current_run().id
        async with tracked_task(id="child"):
            assert current_run().id == "child"
            await asyncio.sleep(0)
            assert current_run().id == "child"
        assert current_run().id == before

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        async with tracked_task(id="parent"):
            task = asyncio.create_task(child())
            assert current_run().id == "parent"
            await task
            assert current_run().id == "parent"

    asyncio.run(main())


def test_two_loops_one_after_the_other_share_nothing() -> None:
    async def main() -> None:
        assert not current_run()
        async with tracked_task() as run:
            assert current_run() is run

    asyncio.run(main())
    asyncio.run(main())


def test_an_abandoned_task_takes_its_run_along() -> None:
    async def main() -> weakref.ref[object]:
        async def work() -> None:
            await tracked_task().__aenter__()

        task = asyncio.create_task(work())
        await task
        return weakref.ref(task)

    gone = asyncio.run(main())
    gc.collect()
    assert gone() is None


def test_a_run_is_current_in_what_it_awaits(recorded: RunsRecorded) -> None:
    async def deep() -> None:
        await asyncio.sleep(0)
        record_tool("deep")

    @track_task
    async def answer() -> None:
        await deep()

    asyncio.run(answer())
    assert recorded()[0].used_tools == ["deep"]


# --- the run that is none ---


def test_where_no_run_is_current_everything_can_be_called(recorded: RunsRecorded) -> None:
    run = current_run()
    run.set_input("x")
    run.set_result("x")
    run.fail("x")
    run.record_llm({"id": "x", "choices": []})
    run.record_tokens(prompt_tokens=1)
    run.record_tool("x")
    run.report_progress(result="x")
    with run.tool("x", {"a": 1}) as tool:
        tool.set_result(1)
    assert (run.id, run.agent_id, run.input, run.result, run.tokens, run.used_tools, run.ending, run.is_success) == (
        "", None, None, None, None, [], None, None,
    )  # fmt: skip
    assert (run.reported(0.1), asyncio.run(run.areported(0.1)), run.duration) == (None, None, 0.0)
    assert run.receipt.state == "pending"
    assert not run.is_held_up()
    assert repr(run) == "<no run>"
    assert recorded() == []


def test_there_is_one_run_that_is_none_and_it_is_false() -> None:
    assert current_run() is current_run()
    assert not current_run()
    with tracked_task() as run:
        assert run


def test_wrong_arguments_are_wrong_without_a_run_too() -> None:
    with pytest.raises(TypeError, match="name must be a text"):
        current_run().record_tool(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prompt_tokens"):
        current_run().record_tokens(prompt_tokens=-1)


def test_a_runs_methods_may_be_called_from_any_thread(busy_threads: None, recorded: RunsRecorded) -> None:
    def response(name: str) -> dict[str, object]:
        usage = {"prompt_tokens": 1, "completion_tokens": 2}
        return {"id": name, "object": "chat.completion", "choices": [], "usage": usage}

    with tracked_task() as run:

        def record(thread: int) -> None:
            for number in range(500):
                run.record_llm(response(f"{thread}-{number}"))
                run.record_tool("t")

        def look() -> None:
            while not recorded_all.is_set():
                assert run.tokens is None or run.tokens.total_tokens >= 0
                assert len(run.used_tools) >= 0

        recorded_all = threading.Event()
        with ThreadPoolExecutor(5) as pool:
            looked = pool.submit(look)
            list(pool.map(record, range(4)))
            recorded_all.set()
            looked.result(60)
    (report,) = recorded()
    assert ((report.tokens or {})["prompt_tokens"], len(report.used_tools)) == (2_000, 2_000)
