"""What is made inside of a run, a task, a thread or a job of a pool, is in that run; and in no other's."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import multiprocessing.pool
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from xpander_track import Run, configure, current, current_run, inheritance, record_tool, track_task, tracked_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from .conftest import Log, RunsRecorded

eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of Python 3.12")


@pytest.fixture(autouse=True)
def _hooks_are_taken_away() -> Iterator[None]:
    loops[:] = [asyncio.new_event_loop()]
    yield
    loops[0].close()
    inheritance.remove()


def name() -> str:
    return current_run().id


async def name_later() -> str:
    await asyncio.sleep(0)
    return current_run().id


# --- child tasks ---


async def by_create_task() -> str:
    return await asyncio.create_task(name_later())


async def by_gather() -> str:
    (found,) = await asyncio.gather(name_later())
    return found


async def by_wait_for() -> str:
    return await asyncio.wait_for(name_later(), 10)


async def by_ensure_future() -> str:
    return await asyncio.ensure_future(name_later())


async def by_task_group() -> str:
    async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined, unused-ignore]
        task = group.create_task(name_later())
    return str(task.result())


async def by_anyio_task_group() -> str:
    found: list[str] = []

    async def child() -> None:
        found.append(await name_later())

    async with anyio.create_task_group() as group:
        group.start_soon(child)
    return found[0]


async def by_grandchild() -> str:
    return await asyncio.create_task(by_create_task())


async def by_to_thread() -> str:
    return await asyncio.to_thread(name)


async def by_run_in_executor() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, name)


async def by_anyio_thread() -> str:
    return await anyio.to_thread.run_sync(name)


async def by_thread_of_a_thread() -> str:
    return await asyncio.to_thread(by_thread)


def by_thread() -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(name()))
    thread.start()
    thread.join(10)
    return found[0]


def by_timer() -> str:
    found: list[str] = []
    thread = threading.Timer(0.01, lambda: found.append(name()))
    thread.start()
    thread.join(10)
    return found[0]


def by_pool() -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(name).result(10)


def by_pool_map() -> str:
    with ThreadPoolExecutor(2) as pool:
        return next(pool.map(lambda _: name(), range(3)))


def by_job_of_a_job() -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(by_pool).result(10)


def by_multiprocessing_thread_pool() -> str:
    with multiprocessing.pool.ThreadPool(1) as pool:
        found = {pool.apply(name), *pool.map(lambda _: name(), range(3)), *pool.imap(lambda _: name(), [1])}
        found |= {*pool.starmap(lambda _: name(), [(1,)]), pool.apply_async(name).get(10)}
    return "+".join(found)


def by_a_loop_in_here() -> str:
    return asyncio.run(by_create_task())


def by_a_loop_in_a_thread() -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, by_gather()).result(10)


def by_a_loop_in_a_new_thread() -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(by_create_task())))
    thread.start()
    thread.join(10)
    return found[0]


def by_a_loop_that_was_there() -> str:
    return loops[0].run_until_complete(by_create_task())


loops: list[asyncio.AbstractEventLoop] = []

ASYNC = [
    by_create_task, by_gather, by_wait_for, by_ensure_future, by_anyio_task_group, by_grandchild, by_to_thread,
    by_run_in_executor, by_anyio_thread, by_thread_of_a_thread, by_task_group,
]  # fmt: skip
if sys.version_info < (3, 11):
    ASYNC.remove(by_task_group)
SYNC = [
    by_thread, by_timer, by_pool, by_pool_map, by_job_of_a_job, by_multiprocessing_thread_pool, by_a_loop_in_here,
    by_a_loop_in_a_thread, by_a_loop_in_a_new_thread, by_a_loop_that_was_there,
]  # fmt: skip


@pytest.mark.parametrize("way", ASYNC)
def test_what_a_task_makes_is_in_its_run(way: Callable[[], Coroutine[Any, Any, str]]) -> None:
    async def main() -> None:
        async with tracked_task(id="outer"), tracked_task(id="mine"):
            assert await way() == "mine"
        assert await way() == ""

    asyncio.run(main())


@pytest.mark.parametrize("way", SYNC)
def test_what_a_thread_makes_is_in_its_run(way: Callable[[], str]) -> None:
    with tracked_task(id="outer"), tracked_task(id="mine"):
        assert way() == "mine"
    assert way() == ""


@pytest.mark.parametrize("way", [*ASYNC, *SYNC])
def test_nothing_is_inherited_where_that_is_switched_off(way: Callable[[], Any]) -> None:
    """But a loop that runs inside of a block is still inside of it."""
    inside: set[Callable[[], Any]] = {by_a_loop_in_here, by_a_loop_that_was_there}
    if sys.version_info >= (3, 12):
        inside.add(by_wait_for)  # It makes no task any more.
    expected = "mine" if way in inside else ""
    with tracked_task():
        pass  # The hooks are there.
    configure(propagate=False)
    if asyncio.iscoroutinefunction(way):

        async def main() -> None:
            async with tracked_task(id="mine"):
                assert await way() == expected

        asyncio.run(main())
    else:
        with tracked_task(id="mine"):
            assert way() == expected


def test_hooks_are_there_from_the_first_run_until_they_are_taken_away() -> None:
    found = [threading.Thread.start, ThreadPoolExecutor.submit, multiprocessing.pool.ThreadPool.map]
    with tracked_task():
        hooked = [threading.Thread.start, ThreadPoolExecutor.submit, multiprocessing.pool.ThreadPool.map]
        assert not any(a is b for a, b in zip(found, hooked, strict=True))
    configure(propagate=False)
    with tracked_task():
        assert [threading.Thread.start, ThreadPoolExecutor.submit, multiprocessing.pool.ThreadPool.map] == found


def test_a_hook_that_somebody_has_wrapped_since_stays_and_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with tracked_task():
        ours: Any = threading.Thread.start
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda *args: ours(*args))  # noqa: PLW0108  # theirs, around ours
        with tracked_task(id="mine"):
            assert by_thread() == "mine"
        configure(propagate=False)
        with tracked_task(id="mine"):
            assert by_thread() == ""
    threading.Thread.start = ours.__wrapped__  # type: ignore[method-assign]


# --- task factories ---


class Custom(asyncio.Task[Any]):
    """A user's own kind of task."""


def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
    return Custom(coroutine, loop=loop, **kwargs)


@pytest.mark.parametrize("moment", ["before", "inside"])
def test_a_task_factory_of_the_users_keeps_working(moment: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        if moment == "before":
            loop.set_task_factory(factory)
        async with tracked_task(id="mine"):
            if moment == "inside":
                loop.set_task_factory(factory)
            task = asyncio.create_task(name_later(), name="named")
            assert (await task, type(task), task.get_name()) == ("mine", Custom, "named")
        inheritance.remove()
        assert loop.get_task_factory() is factory

    asyncio.run(main())


def test_a_task_factory_that_is_taken_away_inside_of_a_run_is_gone() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        async with tracked_task(id="mine"):
            loop.set_task_factory(None)
            task = asyncio.create_task(name_later())
            assert (await task, type(task)) == ("mine", asyncio.Task)

    asyncio.run(main())


def test_without_a_run_the_loop_is_left_as_it_is() -> None:
    async def main() -> None:
        await asyncio.create_task(name_later())
        assert asyncio.get_running_loop().get_task_factory() is None

    asyncio.run(main())


@eager
@pytest.mark.parametrize("way", ASYNC)
def test_eager_tasks_are_in_the_run_from_their_first_step(way: Callable[[], Coroutine[Any, Any, str]]) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        async with tracked_task(id="mine"):
            assert await way() == "mine"
            at_once: list[str] = []

            async def child() -> None:
                at_once.append(name())

            task = asyncio.create_task(child())
            assert (at_once, task.done()) == (["mine"], True)
            async with tracked_task(id="inner"):
                asyncio.create_task(child())  # noqa: RUF006  # it is done
            assert at_once == ["mine", "inner"]
            assert name() == "mine"

    asyncio.run(main())


@eager
def test_anyio_knows_an_eager_factory_through_ours() -> None:
    """Its task groups make their tasks the ordinary way then: the first step comes later."""
    order: list[str] = []

    async def child() -> None:
        order.append("child")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        async with tracked_task(), anyio.create_task_group() as group:
            group.start_soon(child)
            order.append("parent")

    asyncio.run(main())
    assert order == ["parent", "child"]


# --- nobody else's run ---


def test_a_task_that_outlives_its_run_is_in_none() -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def child() -> str:
            await ended.wait()
            return name()

        async with tracked_task(id="mine"):
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
        ended.set()
        async with tracked_task(id="another"):
            assert await task == ""

    asyncio.run(main())


def test_a_task_that_outlives_an_inner_run_is_in_the_outer_one() -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def child() -> str:
            await ended.wait()
            return name()

        async with tracked_task(id="outer"):
            async with tracked_task(id="inner"):
                task = asyncio.create_task(child())
            ended.set()
            assert await task == "outer"

    asyncio.run(main())


def test_a_worker_that_was_started_in_a_run_does_other_jobs_too() -> None:
    with ThreadPoolExecutor(1) as pool:
        with tracked_task(id="first"):
            assert pool.submit(name).result(10) == "first"
            other = threading.Thread(target=lambda: found.append(pool.submit(name).result(10)))
            found: list[str] = []
            with_no_run(other)
            assert found == [""]
        with tracked_task(id="second"):
            assert pool.submit(name).result(10) == "second"
        assert pool.submit(name).result(10) == ""


def with_no_run(thread: threading.Thread) -> None:
    """Start it as somebody who is in no run does."""
    place = current.visit(())
    try:
        thread.start()
    finally:
        current.go_back(place)
    thread.join(10)


def test_a_thread_pool_that_was_made_in_a_run_does_other_jobs_too() -> None:
    with tracked_task(id="first"):
        pool = multiprocessing.pool.ThreadPool(2)
        place = current.visit(())
        assert set(pool.map(lambda _: name(), range(4))) == {""}
        current.go_back(place)
    with pool, tracked_task(id="second"):
        assert set(pool.map(lambda _: name(), range(4))) == {"second"}


def test_an_anyio_worker_that_was_started_in_a_run_does_other_jobs_too() -> None:
    async def main() -> None:
        started, ended = asyncio.Event(), asyncio.Event()

        async def another() -> str:
            await started.wait()
            found = await anyio.to_thread.run_sync(name)
            ended.set()
            return found

        task = asyncio.create_task(another())
        async with tracked_task(id="mine"):
            assert await anyio.to_thread.run_sync(name) == "mine"
            started.set()
            await ended.wait()
        assert await task == ""

    asyncio.run(main())


def test_a_loop_that_a_run_has_started_serves_others() -> None:
    """A background loop, as many synchronous libraries have one: what it does is not promised, but never another's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    with tracked_task(id="first"):
        thread.start()
        place = current.visit(())
        with tracked_task(id="second"):
            found = asyncio.run_coroutine_threadsafe(by_create_task(), loop).result(10)
        current.go_back(place)
        assert found in {"", "second"}
        bound = current_run().bind(by_create_task)
        assert asyncio.run_coroutine_threadsafe(bound(), loop).result(10) == "first"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_a_pool_of_processes_starts_its_threads_for_everybody() -> None:
    found: list[str] = []
    with tracked_task(id="first"), concurrent.futures.ProcessPoolExecutor(1) as pool:
        future = pool.submit(int, "1")
        future.add_done_callback(lambda _: found.append(name()))
        assert future.result(60) == 1
    assert found in (["first"], [""])  # In this thread, if it was done already.
    assert not any(thread.name.startswith("Executor") for thread in current._threads)


# --- run.bind ---


def test_a_bound_function_is_in_its_run_wherever_it_runs(recorded: RunsRecorded) -> None:
    with tracked_task(id="mine") as run:
        tool = run.bind(record_tool)
        place = current.visit(())
        tool("elsewhere")
        assert name() == ""
        current.go_back(place)
    assert recorded()[0].used_tools == ["elsewhere"]


def test_functions_of_every_kind_are_bound() -> None:
    def generator() -> Iterator[str]:
        yield name()
        yield name()

    async def async_generator() -> AsyncIterator[str]:
        yield name()
        yield await name_later()

    async def consume(stream: AsyncIterator[str]) -> list[str]:
        found = []
        async for item in stream:
            found += [item, name()]
        return found

    with tracked_task(id="mine") as run:
        bound = [run.bind(f) for f in (name, name_later, generator, async_generator)]
        place = current.visit(())
        assert bound[0]() == "mine"
        assert asyncio.run(bound[1]()) == "mine"  # type: ignore[arg-type]
        assert [(item, name()) for item in bound[2]()] == [("mine", "")] * 2
        assert asyncio.run(consume(bound[3]())) == ["mine", ""] * 2  # type: ignore[arg-type]
        current.go_back(place)


def test_what_is_bound_to_a_run_that_has_ended_is_in_none() -> None:
    with tracked_task() as run:
        bound = run.bind(name)
    assert bound() == ""


def test_what_is_bound_gives_and_raises_what_it_did() -> None:
    def fails() -> None:
        raise error

    error = KeyError("x")
    with tracked_task() as run:
        with pytest.raises(KeyError) as caught:
            run.bind(fails)()
        assert caught.value is error
        assert name() == run.id


@pytest.mark.parametrize("target", [None, 7, int, "name"])
def test_what_cannot_be_called_cannot_be_bound(target: Any) -> None:
    with tracked_task() as run, pytest.raises(TypeError, match=r"run\.bind\(\) takes a function"):
        run.bind(target)


# --- many at once, and nothing left ---


def test_every_call_of_500_runs_lands_on_its_own(busy_threads: None, recorded: RunsRecorded, log: Log) -> None:
    configure(agent_id="agent-1")

    async def child(number: str) -> None:
        await asyncio.sleep(0)
        record_tool(f"{number} child")
        await asyncio.gather(grandchild(number), asyncio.to_thread(record_tool, f"{number} thread"))

    async def grandchild(number: str) -> None:
        await asyncio.sleep(0)
        record_tool(f"{number} grandchild")

    @track_task
    async def agent(number: str) -> None:
        record_tool(f"{number} self")
        await asyncio.gather(*(child(number) for _ in range(2)))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(record_tool, f"{number} pool").result(30)
        thread = threading.Thread(target=record_tool, args=(f"{number} new thread",))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)

    async def main() -> None:
        await asyncio.gather(*(agent(str(number)) for number in range(500)))

    asyncio.run(main())
    runs = recorded()
    assert len(runs) == 500
    for report in runs:
        number = report.input
        kinds = ["self", *["child", "grandchild", "thread"] * 2, "pool", "new thread"]
        assert sorted(report.used_tools) == sorted(f"{number} {kind}" for kind in kinds)
    assert [line for line in log() if "no run" in line or "Could not" in line] == []


def test_nothing_is_left_when_the_runs_have_ended() -> None:
    gone: list[weakref.ref[Run]] = []
    gc.collect()
    before = len(current._tasks)  # What a failed test has left, whose frames are kept.

    async def main() -> None:
        async with tracked_task() as run:
            gone.append(weakref.ref(run))
            await asyncio.gather(by_create_task(), by_to_thread(), by_anyio_thread(), by_anyio_task_group())

    for _ in range(2):
        asyncio.run(main())
    with tracked_task() as run:
        gone.append(weakref.ref(run))
        by_pool()
        by_thread()
    del run
    gc.collect()
    assert [reference() for reference in gone] == [None] * 3
    assert len(current._tasks) <= before
    assert [thread for thread in current._threads if thread.is_alive()] == []


def test_a_worker_that_lives_on_does_not_keep_the_run() -> None:
    with ThreadPoolExecutor(1) as pool:
        with tracked_task() as run:
            pool.submit(name).result(10)
        gone = weakref.ref(run)
        del run
        pool.submit(int).result(10)  # What a worker has done last it keeps until the next job, so do all.
        gc.collect()
        assert gone() is None


def test_a_task_that_lives_on_does_not_keep_the_run() -> None:
    async def main() -> None:
        stop = asyncio.Event()
        async with tracked_task() as run:
            task = asyncio.create_task(stop.wait())
            gone = weakref.ref(run)
            del run
        await asyncio.sleep(0)
        gc.collect()
        assert gone() is None
        stop.set()
        await task

    asyncio.run(main())
