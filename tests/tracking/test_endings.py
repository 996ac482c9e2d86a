"""How a run ends, and how long it took."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import current_run, track_task, tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Call, RunsRecorded


class OddError(Exception):
    def __str__(self) -> str:
        return "odd"


class SubTimeout(TimeoutError): ...


class SubCancelled(asyncio.CancelledError): ...


ENDINGS = [
    (ValueError("no"), "failed", "ValueError: no"),
    (ValueError(), "failed", "ValueError"),
    (KeyError("key"), "failed", "KeyError: 'key'"),
    (OddError(1, 2), "failed", "OddError: odd"),
    (ValueError("größer\n➜ \ud800"), "failed", "ValueError: größer\n➜ ?"),
    (MemoryError(), "failed", "MemoryError"),
    (RecursionError("deep"), "failed", "RecursionError: deep"),
    (AssertionError("no"), "failed", "AssertionError: no"),
    (BaseException("base"), "failed", "BaseException: base"),
    (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt"),
    (asyncio.CancelledError(), "cancelled", "CancelledError"),
    (asyncio.CancelledError("why"), "cancelled", "CancelledError: why"),
    (SubCancelled(), "cancelled", "SubCancelled"),
    (TimeoutError("slow"), "timed_out", "TimeoutError: slow"),
    (asyncio.TimeoutError("slow"), "timed_out", "TimeoutError: slow"),
    (socket.timeout("slow"), "timed_out", "TimeoutError: slow"),  # noqa: UP041  # its other name
    (SubTimeout(), "timed_out", "SubTimeout"),
    (SystemExit(), "completed", None),
    (SystemExit(None), "completed", None),
    (SystemExit(0), "completed", None),
    (SystemExit(1), "failed", "SystemExit: 1"),
    (SystemExit("no"), "failed", "SystemExit: no"),
    (SystemExit(""), "failed", "SystemExit"),
    (SystemExit([]), "failed", "SystemExit: []"),
    (GeneratorExit(), "stopped_early", None),
]


@pytest.mark.parametrize(("error", "ending", "result"), ENDINGS, ids=[repr(error) for error, _, _ in ENDINGS])
@pytest.mark.parametrize("kind", ["function", "async function", "block", "async block"])
def test_what_is_raised_decides(
    kind: str, error: BaseException, ending: str, result: str | None, recorded: RunsRecorded
) -> None:
    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    async def block_async() -> None:
        async with tracked_task():
            raise error

    def block() -> None:
        with tracked_task():
            raise error

    body = {
        "function": track_task(fail), "async function": track_task(fail_async),
        "block": block, "async block": block_async,
    }[kind]  # fmt: skip
    with pytest.raises(type(error)) as caught:
        _drive(body)
    assert caught.value is error
    assert [(report.ending, report.result) for report in recorded()] == [(ending, result)]


def test_only_completed_and_stopped_early_are_successes(recorded: RunsRecorded) -> None:
    for error, _, _ in ENDINGS:
        block = tracked_task()
        block.__enter__()
        block.__exit__(type(error), error, None)
    reports = recorded()
    assert [report.ending for report in reports] == [ending for _, ending, _ in ENDINGS]
    assert {report.ending for report in reports if report.is_success} == {"completed", "stopped_early"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are of Python 3.11")
def test_an_exception_groups_leaves_are_listed(call: Call, recorded: RunsRecorded) -> None:
    group_type: Any = ExceptionGroup  # type: ignore[name-defined, unused-ignore]  # noqa: F821  # see the mark above
    inner = group_type("inner", [KeyError("k"), OSError("disk")])
    group = group_type("outer", [ValueError("no"), inner])

    def fail() -> None:
        raise group

    with pytest.raises(group_type) as caught:
        call(fail)
    assert caught.value is group
    assert [report.ending for report in recorded()] == ["failed"]
    assert recorded()[0].result == (
        "ExceptionGroup: outer (2 sub-exceptions) [ValueError: no; "
        "ExceptionGroup: inner (2 sub-exceptions) [KeyError: 'k'; OSError: disk]]"
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="task groups are of Python 3.11")
def test_a_task_group_fails_with_its_tasks_error(recorded: RunsRecorded) -> None:
    @track_task
    async def work() -> None:
        async def fail() -> None:
            raise ValueError("no")

        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined, unused-ignore]
            group.create_task(fail())

    with pytest.raises(BaseException, match="TaskGroup"):
        asyncio.run(work())
    assert [report.ending for report in recorded()] == ["failed"]
    assert (recorded()[0].result or "").endswith("[ValueError: no]")


# --- cancellation ---


@track_task
async def wait_forever() -> None:
    await asyncio.Event().wait()


def test_a_cancelled_task_is_cancelled(recorded: RunsRecorded) -> None:
    async def main() -> None:
        task = asyncio.create_task(wait_forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    assert [report.ending for report in recorded()] == ["cancelled"]


def test_a_run_may_outlive_a_cancellation(recorded: RunsRecorded) -> None:
    @track_task
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "saved"
        return "never"

    async def main() -> str:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(main()) == "saved"
    assert [(report.ending, report.result) for report in recorded()] == [("completed", "saved")]


def test_wait_for_around_a_call_cancels_it(recorded: RunsRecorded) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wait_forever(), 0.01)

    asyncio.run(main())
    assert [report.ending for report in recorded()] == ["cancelled"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout() is of Python 3.11")
def test_a_timeout_around_a_call_cancels_it(recorded: RunsRecorded) -> None:
    async def main() -> None:
        async with asyncio.timeout(0.01):  # type: ignore[attr-defined, unused-ignore]
            await wait_forever()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert [report.ending for report in recorded()] == ["cancelled"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout() is of Python 3.11")
def test_a_timeout_inside_of_a_run_is_timed_out(recorded: RunsRecorded) -> None:
    @track_task
    async def work() -> None:
        async with asyncio.timeout(0.01):  # type: ignore[attr-defined, unused-ignore]
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(work())
    assert [report.ending for report in recorded()] == ["timed_out"]


def test_a_coroutine_that_is_closed_while_it_waits_ends_its_run(recorded: RunsRecorded) -> None:
    coroutine = wait_forever()

    async def main() -> None:
        await asyncio.wait([asyncio.ensure_future(_step(coroutine))])

    asyncio.run(main())
    coroutine.close()
    assert [report.ending for report in recorded()] == ["stopped_early"]
    assert not current_run()


async def _step(coroutine: Any) -> None:
    coroutine.send(None)


def _drive(body: Callable[[], Any]) -> None:
    """Without a loop, which has its own mind about KeyboardInterrupt, CancelledError and SystemExit."""
    coroutine = body()
    if coroutine is not None:
        coroutine.send(None)


# --- fail() ---


def test_fail_makes_a_failure_without_an_exception(call: Call, recorded: RunsRecorded) -> None:
    def answer() -> str:
        current_run().fail("no credit")
        return "apology"

    assert call(answer) == "apology"
    assert [(report.ending, report.result, report.is_success) for report in recorded()] == [
        ("failed", "no credit", False)
    ]


def test_a_result_that_was_set_wins_over_fails_reason(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.set_result("so far")
        run.fail("no credit")
    assert [(report.ending, report.result) for report in recorded()] == [("failed", "so far")]


def test_the_last_reason_counts(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.fail("first")
        run.fail("last")
    assert [report.result for report in recorded()] == ["last"]


def test_fails_reason_wins_over_the_exception_after_it(call: Call, recorded: RunsRecorded) -> None:
    def answer() -> None:
        current_run().fail("no credit")
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"no$"):
        call(answer)
    assert [(report.ending, report.result) for report in recorded()] == [("failed", "no credit")]


def test_fail_may_give_no_reason(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.fail("")
    assert [(report.ending, report.result) for report in recorded()] == [("failed", "")]


# --- duration ---


def test_duration_is_that_of_the_body(call: Call, recorded: RunsRecorded) -> None:
    def work() -> float:
        started = time.perf_counter()
        threading.Event().wait(0.02)
        return time.perf_counter() - started

    took = call(work)
    (report,) = recorded()
    assert took <= (report.duration or 0) < took + 0.5


def test_the_wall_clock_may_jump(call: Call, monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded) -> None:
    times = itertools.cycle([2e9, 1e9, 0.0, 3e9])
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: next(times))
        call(lambda: None)
    (report,) = recorded()
    assert 0 <= (report.duration or -1) < 1


def test_an_open_runs_duration_grows_and_an_ended_ones_does_not() -> None:
    with tracked_task() as run:
        before = run.duration
        assert run.duration > before >= 0
    assert run.duration == run.duration > before
