"""The runs of generators and asynchronous generators: when they begin, how they end, what is kept of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, cast

import pytest

from xpander_track import configure, current_run, track_task, track_tool, tracked_task
from xpander_track.run import NO_RUN

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

    from .conftest import Log, RunsRecorded


@track_task(agent_id="agent-1")
def words(*given: object) -> Generator[object, object, str]:
    """Gives what it is given; an exception is raised, a function called."""
    for one in given:
        if isinstance(one, BaseException):
            raise one
        yield one() if callable(one) else one
    return "returned"


@track_task(agent_id="agent-1")
async def async_words(*given: object) -> AsyncGenerator[object, object]:
    """The same, asynchronously."""
    for one in given:
        await asyncio.sleep(0)
        if isinstance(one, BaseException):
            raise one
        yield one() if callable(one) else one


class Steps:
    """One way to use a generator of either kind, inside of a loop."""

    def __init__(self, *given: object, is_async: bool) -> None:
        self.made: Any = (async_words if is_async else words)(*given)
        self.is_async = is_async

    async def next(self) -> object:
        return await self.made.__anext__() if self.is_async else next(self.made)

    async def throw(self, error: BaseException) -> object:
        return await self.made.athrow(error) if self.is_async else self.made.throw(error)

    async def close(self) -> None:
        await self.made.aclose() if self.is_async else self.made.close()

    async def rest(self) -> list[object]:
        return [item async for item in self.made] if self.is_async else list(self.made)


@pytest.fixture(params=["generator", "async generator"])
def steps(request: pytest.FixtureRequest) -> Callable[..., Steps]:
    """``steps(*given)``: a tracked generator of one kind."""
    return lambda *given: Steps(*given, is_async=request.param == "async generator")


@pytest.fixture(autouse=True)
def _nothing_is_said(
    recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, log: Log
) -> Any:
    """No line is logged by asyncio, nothing warned of, nothing printed."""
    yield
    gc.collect()
    assert [line.getMessage() for line in caplog.records if line.name == "asyncio"] == []
    assert [str(warning.message) for warning in recwarn] == []
    assert "never awaited" not in capfd.readouterr().err


def play(body: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(body)


# --- endings ---


def test_one_that_is_read_to_its_end_is_completed(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    assert play(steps("a", "b").rest()) == ["a", "b"]
    assert [(run.ending, run.result, run.is_success) for run in recorded()] == [("completed", "ab", True)]


def test_one_that_gives_nothing_is_completed(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    assert play(steps().rest()) == []
    assert [run.ending for run in recorded()] == ["completed"]


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (ValueError("no"), "failed"),
        (TimeoutError("slow"), "timed_out"),
        (asyncio.CancelledError("why"), "cancelled"),
    ],
)
@pytest.mark.parametrize("by", ["raised", "thrown"])
def test_an_error_ends_it_and_is_its_result(
    steps: Callable[..., Steps], error: BaseException, ending: str, by: str, recorded: RunsRecorded
) -> None:
    async def main() -> None:
        made = steps("a", error) if by == "raised" else steps("a", "b")
        await made.next()
        # Not out of the loop: it would take a cancellation for its own.
        with pytest.raises(type(error)) as caught:
            await (made.next() if by == "raised" else made.throw(error))
        assert caught.value is error

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [(ending, f"{type(error).__name__}: {error}")]


def test_a_break_stops_it_early_and_keeps_what_it_gave(recorded: RunsRecorded) -> None:
    for word in words("a", "b", "c"):
        if word == "b":
            break
    assert [(run.ending, run.result, run.is_success) for run in recorded()] == [("stopped_early", "ab", True)]


def test_an_asynchronous_break_stops_it_early_and_keeps_what_it_gave(recorded: RunsRecorded) -> None:
    async def main() -> None:
        async with contextlib.aclosing(async_words("a", "b", "c")) as given:
            async for word in given:
                if word == "b":
                    break

    play(main())
    assert [(run.ending, run.result, run.is_success) for run in recorded()] == [("stopped_early", "ab", True)]


def test_closing_stops_it_early(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    async def main() -> None:
        made = steps("a", "b")
        await made.next()
        await made.close()
        await made.close()

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "a")]


def test_closing_it_after_its_end_changes_nothing(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    async def main() -> None:
        made = steps("a")
        await made.rest()
        await made.close()

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [("completed", "a")]


def test_what_the_body_does_when_it_is_closed_counts(recorded: RunsRecorded) -> None:
    @track_task
    def saves() -> Generator[str, None, None]:
        try:
            yield "a"
        finally:
            current_run().set_result("saved")

    @track_task
    def fails() -> Generator[str, None, None]:
        try:
            yield "a"
        except GeneratorExit:
            raise ValueError("no") from None

    @track_task
    def swallows() -> Generator[str, None, str]:
        with contextlib.suppress(GeneratorExit):
            yield "a"
        return "returned"

    for function in (saves, fails, swallows):
        made = function()
        next(made)
        with contextlib.suppress(ValueError):
            made.close()
    assert [(run.ending, run.result) for run in recorded()] == [
        ("stopped_early", "saved"), ("failed", "ValueError: no"), ("stopped_early", "a"),
    ]  # fmt: skip


def test_one_that_is_never_iterated_is_no_run(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    async def main() -> None:
        steps("a")
        await steps("a").close()
        unstarted = steps("a")
        with pytest.raises(ValueError, match="no"):
            await unstarted.throw(ValueError("no"))

    play(main())
    assert recorded() == []


def test_a_consumers_own_error_is_not_its_error(recorded: RunsRecorded) -> None:
    def consume() -> list[object]:
        return [1 // 0 for _ in words("a", "b")]

    with pytest.raises(ZeroDivisionError):
        consume()
    gc.collect()
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "a")]


# --- who is left alone ---


def test_an_abandoned_one_ends_its_run(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    async def main() -> None:
        made = steps("a", "b")
        await made.next()
        del made
        gc.collect()
        # An asynchronous one is closed by the loop, in a task.
        for _ in range(10):
            await asyncio.sleep(0)

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "a")]


def test_the_end_of_the_loop_ends_its_run(recorded: RunsRecorded) -> None:
    kept = []

    async def main() -> None:
        for _ in range(3):
            made = async_words("a", "b")
            kept.append(made)
            await made.__anext__()

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "a")] * 3


def test_one_that_cleans_up_asynchronously_is_closed_by_its_loop(recorded: RunsRecorded) -> None:
    cleaned = []

    @track_task
    async def cleans() -> AsyncGenerator[str, None]:
        try:
            yield "a"
            yield "b"
        finally:
            await asyncio.sleep(0)
            cleaned.append(bool(current_run()))

    async def main(*, is_kept: bool) -> None:
        made = cleans()
        await made.__anext__()
        if is_kept:
            cleaned_later.append(made)
        del made
        for _ in range(5):
            await asyncio.sleep(0)

    cleaned_later: list[object] = []
    play(main(is_kept=True))
    play(main(is_kept=False))
    assert cleaned == [True, True]
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "a")] * 2


def test_without_a_loop_an_asynchronous_one_ends_when_it_is_collected(recorded: RunsRecorded) -> None:
    made = async_words("a", "b")
    step = made.__anext__()
    step.send(None)
    with pytest.raises(StopIteration):
        step.send(None)
    del made, step
    gc.collect()
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "a")]


def test_a_loop_that_is_closed_at_once_says_nothing(recorded: RunsRecorded) -> None:
    """``shutdown_asyncgens`` is the loop's owner's business: without it neither body nor run come to their end well."""
    loop = asyncio.new_event_loop()
    made = async_words("a", "b")
    assert loop.run_until_complete(cast("Coroutine[Any, Any, object]", made.__anext__())) == "a"
    loop.close()
    del made
    gc.collect()
    assert len(recorded()) == 1


# --- who goes on elsewhere ---


def test_it_may_be_read_by_another_thread(recorded: RunsRecorded) -> None:
    made = words("a", lambda: current_run().input, lambda: str(threading.current_thread().name))
    next(made)
    with concurrent.futures.ThreadPoolExecutor(1, "reader") as pool:
        rest = pool.submit(list, made).result()
        assert not pool.submit(lambda: bool(current_run())).result()
    assert rest[1].startswith("reader")
    assert not current_run()
    (run,) = recorded()
    assert (run.ending, run.result) == ("completed", f"a{rest[0]}{rest[1]}")


def test_it_may_be_read_by_a_thread_for_each_item(recorded: RunsRecorded) -> None:
    made = words(*"abcdef")
    given = []
    for _ in range(6):
        thread = threading.Thread(target=lambda: given.append(next(made)))
        thread.start()
        thread.join()
    assert next(made, None) is None
    assert given == list("abcdef")
    assert [(run.ending, run.result) for run in recorded()] == [("completed", "abcdef")]


def test_it_may_be_read_by_a_task_for_each_item(recorded: RunsRecorded) -> None:
    async def main() -> None:
        made = async_words(*"abc", lambda: current_run().agent_id)
        given = [await asyncio.create_task(_next(made)) for _ in range(4)]
        assert given == ["a", "b", "c", "agent-1"]
        assert not current_run()
        await asyncio.create_task(_close(made))

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "abcagent-1")]


async def _next(made: AsyncGenerator[Any, Any]) -> object:
    return await made.__anext__()


async def _close(made: AsyncGenerator[Any, Any]) -> None:
    await made.aclose()


def test_a_task_that_is_cancelled_while_it_reads_cancels_the_run(recorded: RunsRecorded) -> None:
    @track_task
    async def waits() -> AsyncGenerator[str, None]:
        yield "a"
        await asyncio.Event().wait()

    async def read() -> None:
        async for _ in waits():
            pass

    async def main() -> None:
        task = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [("cancelled", "CancelledError")]


def test_a_second_reader_is_refused_as_ever_and_the_first_goes_on(recorded: RunsRecorded) -> None:
    @track_task
    async def slow() -> AsyncGenerator[str, None]:
        await asyncio.sleep(0.01)
        yield "a"

    async def main() -> None:
        made = slow()
        first = asyncio.create_task(_next(made))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="already running"):
            await made.__anext__()
        assert await first == "a"
        await made.aclose()

    play(main())
    assert [(run.ending, run.result) for run in recorded()] == [("stopped_early", "a")]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout() is of Python 3.11")
@pytest.mark.parametrize("where", ["inside", "around"])
def test_a_timeout_fires(where: str, recorded: RunsRecorded) -> None:
    @track_task
    async def slow() -> AsyncGenerator[str, None]:
        async with asyncio.timeout(0.01 if where == "inside" else None):  # type: ignore[attr-defined, unused-ignore]
            yield "a"
            await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.timeout(0.01 if where == "around" else None):  # type: ignore[attr-defined, unused-ignore]
            async for _ in slow():
                pass

    with pytest.raises(TimeoutError):
        play(main())
    assert [run.ending for run in recorded()] == ["timed_out" if where == "inside" else "cancelled"]


def test_a_cancel_scope_of_anyio_fires_inside(recorded: RunsRecorded) -> None:
    anyio = pytest.importorskip("anyio", reason="anyio is no dependency of ours")

    @track_task
    async def slow() -> AsyncGenerator[str, None]:
        with anyio.move_on_after(0.01):
            yield "a"
            await anyio.sleep_forever()
        yield "b"

    async def main() -> list[str]:
        return [word async for word in slow()]

    assert anyio.run(main) == ["a", "b"]
    assert [(run.ending, run.result) for run in recorded()] == [("completed", "ab")]


# --- what is kept of it ---


def test_it_is_current_only_while_its_body_runs(steps: Callable[..., Steps]) -> None:
    async def main() -> None:
        with tracked_task() as outer:
            made = steps(lambda: current_run().id, lambda: current_run().id)
            inside = [await made.next(), current_run().id, await made.next(), current_run().id]
            assert inside == [inside[0], outer.id, inside[0], outer.id]
            assert inside[0] != outer.id
            await made.close()

    play(main())


def test_two_that_take_turns_do_not_mix(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    async def main() -> None:
        one, other = (steps(name, lambda: current_run().id, "end") for name in "xy")
        given = [await made.next() for _ in range(2) for made in (one, other)]
        assert given[2] != given[3]
        await one.rest()
        await other.close()

    play(main())
    assert [(run.ending, (run.result or "")[0]) for run in recorded()] == [("completed", "x"), ("stopped_early", "y")]


def test_what_is_no_text_is_a_list(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    play(steps({"a": 1}, "b", 3).rest())
    assert [run.result for run in recorded()] == ['[{"a":1},"b",3]']


def test_an_item_is_kept_as_it_was_given(recorded: RunsRecorded) -> None:
    for item in words({"a": 1}, {"a": 1}):
        cast("dict[str, int]", item).clear()
    assert [run.result for run in recorded()] == ['[{"a":1},{"a":1}]']


def test_its_duration_is_from_its_first_step_to_its_end(steps: Callable[..., Steps], recorded: RunsRecorded) -> None:
    """The consumer's time between the steps is part of it; what was before the first is not."""

    async def main() -> tuple[float, float]:
        made = steps("a", "b")
        await asyncio.sleep(0.2)
        started = time.perf_counter()
        await made.next()
        await asyncio.sleep(0.05)
        before_the_end = time.perf_counter() - started
        await made.close()
        return before_the_end, time.perf_counter() - started

    least, most = play(main())
    (run,) = recorded()
    assert run.duration is not None
    assert least - 0.02 <= run.duration <= most


def test_a_tool_that_is_a_generator_is_recorded_with_what_it_gave(recorded: RunsRecorded) -> None:
    @track_tool
    def pages() -> Generator[str, None, None]:
        yield "a"
        yield "b"

    @track_tool
    async def async_pages() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    @track_task
    async def agent() -> None:
        for _ in pages():
            break
        async for _ in async_pages():
            pass

    play(agent())
    (run,) = recorded()
    assert run.used_tools == ["pages", "async_pages"]
    assert [(call["result"], call.get("error")) for call in run.tool_calls] == [("a", None), ([1, 2], None)]


def test_a_generator_that_gives_another_ones_items_is_a_run_of_its_own(recorded: RunsRecorded) -> None:
    @track_task
    def outer() -> Generator[object, object, str]:
        returned = yield from words("a", "b")
        yield returned
        return "done"

    assert list(outer()) == ["a", "b", "returned"]
    assert sorted((run.result, run.ending) for run in recorded()) == [
        ("ab", "completed"), ("abreturned", "completed"),
    ]  # fmt: skip


def test_what_is_kept_of_many_items_is_bounded(recorded: RunsRecorded) -> None:
    configure(max_chars=100)

    @track_task
    def many() -> Generator[str, None, None]:
        for _ in range(10_000):
            yield "x" * 1_000

    assert sum(len(word) for word in many()) == 10_000_000
    (run,) = recorded()
    assert 100 <= len(run.result or "") < 200


def test_nothing_is_warned_of_when_warnings_are_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async_words("a")
        words("a")
        gc.collect()


def test_what_a_stream_gives_is_not_kept_where_nothing_is_tracked() -> None:
    """It would be for good: there is one run that is none."""
    configure(enabled=False)

    @track_task
    def events() -> Generator[dict[str, Any], None, None]:
        yield {"id": "r1", "object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 3}}

    assert len(list(events())) == 1
    assert NO_RUN._chunks is None
    assert NO_RUN._items is None
