"""A block is a run: ``with tracked_task()``, ``async with tracked_task()``, and ``@tracked_task()``."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Run, configure, current_run, track_task, tracked_task
from xpander_track.current import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpander_track import TrackedTask

    from .conftest import Call, RunsRecorded

    Within = Callable[[TrackedTask, Callable[[Run], Any]], Any]


@pytest.fixture(params=["with", "async with"])
def within(request: pytest.FixtureRequest) -> Within:
    """``within(block, body)``: calls *body* with the run of *block*, inside of it."""

    async def within_async(block: TrackedTask, body: Callable[[Run], Any]) -> Any:
        async with block as run:
            await asyncio.sleep(0)
            return body(run)

    def within_sync(block: TrackedTask, body: Callable[[Run], Any]) -> Any:
        with block as run:
            return body(run)

    if request.param == "with":
        return within_sync
    return lambda block, body: asyncio.run(within_async(block, body))


def test_a_block_is_a_run(within: Within, recorded: RunsRecorded) -> None:
    def body(run: Run) -> None:
        run.record_tool("search")
        run.set_result("42")

    within(tracked_task(agent_id="agent-1", input="why?"), body)
    (report,) = recorded()
    assert (report.agent_id, report.input, report.result, report.used_tools, report.ending, report.name) == (
        "agent-1", "why?", "42", ["search"], "completed", None,
    )  # fmt: skip


def test_the_run_is_open_and_current_inside_only(within: Within) -> None:
    seen: list[object] = []

    def body(run: Run) -> Run:
        seen.append((current_run() is run, run.ending, run.is_success))
        return run

    run = within(tracked_task(), body)
    seen.append((current_run() is run, run.ending, run.is_success))
    assert seen == [(True, None, None), (False, "completed", True)]


def test_an_exception_ends_the_run_and_passes_on(within: Within, recorded: RunsRecorded) -> None:
    error = ValueError("no")

    def body(run: Run) -> None:
        raise error

    with pytest.raises(ValueError, match="no") as caught:
        within(tracked_task(), body)
    assert caught.value is error
    assert [(report.ending, report.result) for report in recorded()] == [("failed", "ValueError: no")]


def test_a_block_that_is_left_early_has_completed(recorded: RunsRecorded) -> None:
    for _ in range(3):
        with tracked_task():
            break
    assert [report.ending for report in recorded()] == ["completed"]


@pytest.mark.parametrize(("given", "text"), [({"b": 1, "a": [2]}, '{"b":1,"a":[2]}'), (7, "7"), (None, None), ("", "")])
def test_input_may_be_anything(within: Within, given: object, text: str | None, recorded: RunsRecorded) -> None:
    within(tracked_task(input=given), lambda run: None)
    assert [report.input for report in recorded()] == [text]


def test_each_entering_is_a_new_run(within: Within, recorded: RunsRecorded) -> None:
    block = tracked_task(agent_id="agent-1")
    runs = [within(block, lambda run: run) for _ in range(3)]
    assert [report.id for report in recorded()] == [run.id for run in runs]
    assert len({run.id for run in runs}) == 3


def test_a_block_may_be_entered_inside_of_itself(within: Within, recorded: RunsRecorded) -> None:
    block = tracked_task()

    def body(outer: Run) -> None:
        with block as inner:
            inner.set_result("inner")
        outer.set_result("outer")
        assert (inner.ending, outer.ending) == ("completed", None)

    within(block, body)
    assert sorted((report.result, report.ending) for report in recorded()) == [
        ("inner", "completed"), ("outer", "completed"),
    ]  # fmt: skip


def test_tasks_may_be_inside_of_one_block_at_once(recorded: RunsRecorded) -> None:
    block = tracked_task()

    async def work(number: int, leaving: asyncio.Event, left: asyncio.Event) -> None:
        async with block as run:
            await leaving.wait()
            assert current_run() is run
            run.set_result(str(number))
        assert run.ending == "completed"
        left.set()

    async def main() -> None:
        signals = [(asyncio.Event(), asyncio.Event()) for _ in range(5)]
        tasks = [asyncio.create_task(work(number, *events)) for number, events in enumerate(signals)]
        await asyncio.sleep(0)
        for number in (2, 0, 4, 1, 3):  # In another order than they were entered.
            leaving, left = signals[number]
            leaving.set()
            await left.wait()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert [(report.result, report.ending) for report in recorded()] == [(str(n), "completed") for n in range(5)]


def test_threads_may_be_inside_of_one_block_at_once(recorded: RunsRecorded) -> None:
    block = tracked_task()
    all_in = threading.Barrier(8)

    def work(number: int) -> None:
        for _ in range(20):
            with block as run:
                all_in.wait(10)
                assert current_run() is run
                run.set_result(str(number))
            assert run.ending == "completed"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted((report.result, report.ending) for report in recorded()) == [
        (str(number), "completed") for number in range(8) for _ in range(20)
    ]


def test_a_thread_leaves_its_own_run_whoever_leaves_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the worst moment: while one looks for its run among those that are open, another one leaves."""
    configure(propagate=False)  # What one thread hands to another is that one's own here.
    block = tracked_task()
    looks = Entry.is_here
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second, ThreadPoolExecutor(1) as third:
        runs = [thread.submit(block.__enter__).result(10) for thread in (first, second, third)]
        left_first: list[Any] = []

        def look(entry: Entry) -> bool:
            if not left_first:
                left_first.append(first.submit(block.__exit__, None, None, None))
                wait(left_first, timeout=1)  # It may have to wait for us to be done.
            return looks(entry)

        monkeypatch.setattr(Entry, "is_here", look)
        second.submit(block.__exit__, None, None, None).result(10)
        left_first[0].result(10)
        assert [run.ending for run in runs] == ["completed", "completed", None]
        third.submit(block.__exit__, None, None, None).result(10)
        assert runs[2].ending == "completed"


def test_a_block_may_be_left_in_another_thread(recorded: RunsRecorded) -> None:
    block = tracked_task()
    run = block.__enter__()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(block.__exit__, None, None, None).result(10)
    assert (run.ending, bool(current_run())) == ("completed", False)
    assert [report.ending for report in recorded()] == ["completed"]


def test_a_block_may_be_left_in_another_task(recorded: RunsRecorded) -> None:
    async def main() -> None:
        stack = AsyncExitStack()
        run = await asyncio.create_task(stack.enter_async_context(tracked_task()))
        assert not current_run()
        await asyncio.create_task(stack.aclose())
        assert run.ending == "completed"

    asyncio.run(main())
    assert [report.ending for report in recorded()] == ["completed"]


def test_threads_may_leave_at_once_what_others_entered(busy_threads: None) -> None:
    block = tracked_task()
    runs = [block.__enter__() for _ in range(800)]
    go = threading.Barrier(8)

    def leave(_: int) -> None:
        go.wait(10)
        for _ in range(100):
            block.__exit__(None, None, None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(leave, range(8)))
    assert {run.ending for run in runs} == {"completed"}


def test_blocks_may_be_left_in_any_order(recorded: RunsRecorded) -> None:
    first, second = tracked_task(id="first"), tracked_task(id="second")
    first.__enter__()
    with second as inner:
        first.__exit__(None, None, None)
        assert current_run() is inner
    assert not current_run()
    assert [report.ending for report in recorded()] == ["completed", "completed"]


def test_an_exit_stack_holds_blocks(recorded: RunsRecorded) -> None:
    with ExitStack() as stack:
        runs = [stack.enter_context(tracked_task()) for _ in range(3)]
        assert current_run() is runs[-1]
    assert [run.ending for run in runs] == ["completed"] * 3


def test_it_decorates_like_track_task(call: Call, recorded: RunsRecorded) -> None:
    def answer(question: str) -> str:
        return question.upper()

    assert call(answer, "why?", decorator=tracked_task(agent_id="agent-1")) == "WHY?"
    assert call(answer, "why?", decorator=track_task(agent_id="agent-1")) == "WHY?"
    one, other = recorded()
    assert (one.input, one.result, one.name, one.agent_id) == (other.input, other.result, other.name, other.agent_id)


def test_one_object_decorates_and_is_entered(recorded: RunsRecorded) -> None:
    block = tracked_task(agent_id="agent-1", input="given")
    with block:
        block(lambda question: question)("asked")
    assert [(report.input, report.result) for report in recorded()] == [("given", None), ("given", "asked")]
