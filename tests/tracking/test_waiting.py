"""Waiting for the platform's record of a run, and reporting before its end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from xpander_track import (
    AgentExecutionStatus,
    Configuration,
    Run,
    Task,
    configure,
    current_run,
    flush,
    track_task,
    tracked_task,
)

from ..platform_server import Answer, PlatformServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Call, RunsRecorded

    Reported = Callable[[Run, float | None], Task | None]

SLOW = Answer(200, json={}, delay=30)


@pytest.fixture
def server() -> Iterator[PlatformServer]:
    with PlatformServer() as server:
        configure(api_key="key-1", base_url=server.url, agent_id="agent-1")
        yield server


def test_without_wait_nobody_waits(call: Call, server: PlatformServer) -> None:
    server.always = SLOW
    started = time.monotonic()
    run = call(current_run)
    assert time.monotonic() - started < 5
    assert (run.ending, run.receipt.state, run.receipt.where) == ("completed", "pending", server.url)


def test_the_report_is_the_platforms_contract(call: Call, server: PlatformServer) -> None:
    def answer(question: str) -> str:
        run = current_run()
        run.record_tool("search")
        run.record_tokens(prompt_tokens=5, completion_tokens=7)
        run.record_llm({"raw": "response"})
        return "42"

    call(answer, "why?", decorator=track_task(id="run-1", wait=10))
    (request,) = server.requests
    report = request.json
    assert isinstance(report.pop("duration"), float)
    assert report == {
        "id": "run-1",
        "input": "why?",
        "llm_response": {"raw": "response"},
        "tokens": {
            "completion_tokens": 7, "prompt_tokens": 5, "cache_read_tokens": None, "cache_write_tokens": None,
            "total_tokens": 12,
        },
        "is_success": True,
        "result": "42",
        "used_tools": ["search"],
    }  # fmt: skip
    assert request.target == "/agent-execution/agent-1/report_task"


@pytest.mark.parametrize("how", ["decorator", "configure"])
def test_wait_waits_for_the_task(call: Call, how: str, server: PlatformServer) -> None:
    if how == "configure":
        configure(wait=10)
    run = call(current_run, decorator=track_task(wait=10) if how == "decorator" else track_task)
    assert run.receipt.state == "delivered"
    assert run.receipt.task.id == run.id
    assert list(server.tasks) == [run.id]


def test_wait_is_bounded(call: Call, server: PlatformServer) -> None:
    server.always = SLOW
    started = time.monotonic()
    run = call(current_run, decorator=track_task(wait=0.1))
    assert 0.1 <= time.monotonic() - started < 5
    assert run.receipt.state == "pending"


def test_wait_0_wins_over_configure(call: Call, server: PlatformServer) -> None:
    configure(wait=30)
    server.always = SLOW
    started = time.monotonic()
    call(current_run, decorator=track_task(wait=0))
    assert time.monotonic() - started < 5


def test_a_run_that_failed_is_waited_for_too(call: Call, server: PlatformServer) -> None:
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 / 0, decorator=track_task(id="run-1", wait=10))
    assert list(server.tasks) == ["run-1"]


def test_a_plain_block_inside_of_a_loop_does_not_wait(server: PlatformServer) -> None:
    server.always = SLOW

    async def main() -> float:
        started = time.monotonic()
        with tracked_task(wait=30):
            pass
        return time.monotonic() - started

    assert asyncio.run(main()) < 5


@pytest.mark.parametrize("form", ["function", "block"])
def test_an_asynchronous_wait_does_not_block_the_loop(form: str, server: PlatformServer) -> None:
    server.always = Answer(200, json={}, delay=0.3)

    @track_task(wait=10)
    async def function() -> None: ...

    async def block() -> None:
        async with tracked_task(wait=10):
            pass

    async def main() -> int:
        waiting = asyncio.create_task(function() if form == "function" else block())
        ticks = 0
        while not waiting.done():
            ticks += 1
            await asyncio.sleep(0.01)
        return ticks

    assert asyncio.run(main()) >= 5


def test_waiting_may_be_cancelled_and_the_run_has_ended(server: PlatformServer) -> None:
    server.always = SLOW
    runs: list[Run] = []

    async def work() -> None:
        async with tracked_task(wait=30) as run:
            runs.append(run)

    async def main() -> None:
        waiting = asyncio.create_task(work())
        while not runs or runs[0].ending is None:  # noqa: ASYNC110  # nothing tells when it has
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert runs[0].ending == "completed"


def test_nobody_waits_for_a_platform_that_is_known_to_be_down(call: Call, server: PlatformServer) -> None:
    server.always = Answer(503)
    call(current_run)
    server.wait_until(lambda: len(server.requests) >= 2)  # By the second attempt, the first is known to have failed.
    started = time.monotonic()
    run = call(current_run, decorator=track_task(wait=30))
    assert time.monotonic() - started < 5
    assert run.is_held_up()


# --- on demand ---


@pytest.fixture(params=["reported", "areported"])
def reported(request: pytest.FixtureRequest) -> Reported:
    """``reported(run, timeout)``, or its asynchronous form in a loop."""
    if request.param == "reported":
        return lambda run, timeout: run.reported(timeout)
    return lambda run, timeout: asyncio.run(run.areported(timeout))


def test_reported_gives_the_platforms_task(reported: Reported, server: PlatformServer) -> None:
    with tracked_task(id="run-1") as run:
        run.set_result("42")
    task = reported(run, 10)
    assert task is not None
    assert (task.id, task.agent_id, task.status, task.result) == (
        "run-1", "agent-1", AgentExecutionStatus.Completed, "42",
    )  # fmt: skip
    assert (run.receipt.state, run.receipt.task) == ("delivered", task)
    assert reported(run, 0) == task


def test_reported_gives_the_embedded_platforms_task(reported: Reported, home: Path) -> None:
    with pytest.raises(ZeroDivisionError), tracked_task(id="run-1", agent_id="agent-1", input="why?") as run:
        print(1 / 0)
    task = reported(run, 10)
    assert task is not None
    assert (task.id, task.agent_id, task.status, task.result) == (
        "run-1", "agent-1", AgentExecutionStatus.Failed, "ZeroDivisionError: division by zero",
    )  # fmt: skip
    assert task.input.text == "why?"
    assert task.created_at is not None
    assert task.finished_at is not None
    assert task.created_at <= task.finished_at
    assert (run.receipt.state, run.receipt.where) == ("delivered", str(home))


def test_reported_is_none_in_time_and_the_receipt_says_why(reported: Reported, server: PlatformServer) -> None:
    server.always = Answer(503)
    with tracked_task() as run:
        pass
    started = time.monotonic()
    assert reported(run, 0.1) is None
    assert time.monotonic() - started < 5
    server.wait_until(lambda: len(server.requests) >= 2)  # By the second attempt, what came of the first is known.
    assert (run.receipt.state, run.receipt.reason) == ("pending", "HTTP 503")


def test_reported_is_none_for_what_was_rejected(reported: Reported, server: PlatformServer) -> None:
    server.always = Answer(422, json={"detail": "no such agent"})
    with tracked_task() as run:
        pass
    assert reported(run, 10) is None
    assert run.receipt.state == "rejected"
    assert "422" in run.receipt.reason


def test_reported_does_not_wait_for_an_open_run(reported: Reported) -> None:
    with tracked_task() as run:
        assert reported(run, 30) is None
        assert (run.receipt.state, run.receipt.reason) == ("pending", "the run is open")


def test_a_run_without_an_agent_is_set_aside_and_says_what_to_do(reported: Reported, server: PlatformServer) -> None:
    configure(agent_id=None)
    with tracked_task() as run:
        pass
    assert reported(run, 10) is None
    assert run.receipt.state == "rejected"
    assert "XPANDER_AGENT_ID" in run.receipt.reason
    assert server.requests == []


def test_each_run_goes_to_its_own_platform(server: PlatformServer) -> None:
    with PlatformServer() as other:
        configuration = Configuration(api_key="other-key", base_url=other.url)
        with tracked_task(id="here"), tracked_task(id="there", configuration=configuration):
            pass
        assert flush().delivered == 2
        assert (list(server.tasks), list(other.tasks)) == (["here"], ["there"])
        assert [request.headers["x-api-key"] for request in (*server.requests, *other.requests)] == [
            "key-1", "other-key",
        ]  # fmt: skip


# --- progress ---


def test_progress_is_reported_under_the_same_id(server: PlatformServer) -> None:
    with tracked_task(id="run-1") as run:
        run.report_progress(result={"half": 1})
        server.wait_until(lambda: server.tasks.get("run-1"))
        assert server.requests[0].json["result"] == '{"half":1}'
        run.set_result("whole")
    assert flush().delivered == 1
    assert {request.json["id"] for request in server.requests} == {"run-1"}
    assert server.tasks["run-1"]["result"] == "whole"


def test_progress_is_in_the_history(recorded: RunsRecorded) -> None:
    with tracked_task(id="run-1", input="why?") as run:
        run.record_tool("search")
        run.report_progress(result="half")
        (report,) = recorded()
        assert (report.stage, report.ending, report.result, report.used_tools, report.input) == (
            "progress", None, "half", ["search"], "why?",
        )  # fmt: skip
    assert [(report.stage, report.result) for report in recorded()] == [("ended", None)]
