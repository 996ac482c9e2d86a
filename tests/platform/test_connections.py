"""The pooled client: connections are kept and renewed, answers are bounded, the key goes nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.platform import AnswerUnreadable, Configuration, ModuleException, Task, Unreachable

from ..platform_server import Answer, PlatformServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Call, RunPython

MEGABYTE = 1024 * 1024


def test_calls_share_one_connection(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    for _ in range(20):
        call(Task.report_external_task, configuration, "agent-1")
    assert (len(server.requests), server.connections) == (20, 1)


def test_sync_and_async_calls_share_one_connection(server: PlatformServer, configuration: Configuration) -> None:
    async def report() -> None:
        await Task.areport_external_task(configuration, "agent-1")
        Task.report_external_task(configuration, "agent-1")

    for _ in range(3):
        asyncio.run(report())
        Task.report_external_task(configuration, "agent-1")
    assert (len(server.requests), server.connections) == (9, 1)


def test_refused_calls_keep_the_connection(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    server.answers([Answer(503, text="busy"), Answer(text="no JSON"), Answer(204), None])
    for expected in (ModuleException, AnswerUnreadable, AnswerUnreadable):
        with pytest.raises(expected):
            call(Task.report_external_task, configuration, "agent-1")
    call(Task.report_external_task, configuration, "agent-1")
    assert server.connections == 1


@pytest.mark.parametrize("announced", [True, False])
def test_connection_closed_between_two_calls_is_renewed(
    announced: bool, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.always = Answer(503, text="busy", close=True, headers={"connection": "close" if announced else None})
    for _ in range(3):
        with pytest.raises(ModuleException, match="busy"):
            call(Task.report_external_task, configuration, "agent-1")
        time.sleep(0.05)  # The close arrives.
    assert [request.connection for request in server.requests] == [1, 2, 3]


def test_server_that_comes_back_is_reached_again(
    server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    call(Task.report_external_task, configuration, "agent-1", "before")
    server.stop()
    with pytest.raises(Unreachable):
        call(Task.report_external_task, configuration, "agent-1", "away")
    server.start()
    call(Task.report_external_task, configuration, "agent-1", "after")
    assert list(server.tasks) == ["before", "after"]


def test_concurrent_calls_all_arrive(server: PlatformServer, configuration: Configuration) -> None:
    async def report_all() -> list[Task]:
        return await asyncio.gather(
            *(Task.areport_external_task(configuration, "agent-1", f"run-{number}") for number in range(100))
        )

    ids = [task.id for task in asyncio.run(report_all())]
    assert (ids, len(server.tasks)) == ([f"run-{number}" for number in range(100)], 100)


def all_at_once(count: int) -> Callable[[Any], None]:
    """A platform that answers when *count* requests are there, and not before."""
    together = threading.Barrier(count)

    def answer(_: Any) -> None:
        together.wait(30)

    return answer


MOST = 64
ALL_AT_ONCE = """
async def all_at_once(name):
    reports = [Task.areport_external_task(Configuration(timeout=30), "agent-1", f"{name}-{n}") for n in range(64)]
    return await asyncio.gather(*reports)
"""


def test_as_many_connections_as_there_may_be_are_kept(server: PlatformServer, run_python: RunPython) -> None:
    code = f"""
import asyncio
from xpander_track.platform import Configuration, Task
{ALL_AT_ONCE}
for turn in range(4):
    asyncio.run(all_at_once(turn))
"""
    server.always = all_at_once(MOST)  # type: ignore[assignment]
    done = run_python(code, XPANDER_API_KEY="k", XPANDER_BASE_URL=server.url)
    assert (done.stderr, len(server.tasks), server.connections) == ("", 4 * MOST, MOST)


def test_connections_that_were_idle_for_long_are_closed(server: PlatformServer, run_python: RunPython) -> None:
    code = f"""
import asyncio, os, time
from xpander_track.platform import Configuration, Task, connections
{ALL_AT_ONCE}
connections._KEEP_IDLE = 0.2
asyncio.run(all_at_once("burst"))
time.sleep(0.3)
for number in range(3):
    Task.report_external_task(Configuration(), "agent-1", f"later-{{number}}")
    time.sleep(0.05)
print(sum("socket" in os.readlink(f"/proc/self/fd/{{fd}}") for fd in os.listdir("/proc/self/fd") if fd.isdigit()
    and os.path.lexists(f"/proc/self/fd/{{fd}}")))
"""
    answer = all_at_once(MOST)
    server.always = lambda request: answer(request) if b"burst" in request.body else None  # type: ignore[func-returns-value]
    done = run_python(code, XPANDER_API_KEY="k", XPANDER_BASE_URL=server.url)
    # Its own two, by which asyncio wakes its loop, and the one connection that is in use.
    assert (done.stderr, int(done.stdout) <= 3) == ("", True)


# Most of all before, during and just after connecting; or while all of them wait for an answer.
MOMENTS = {"at once": (0.0, 0.004), "connecting": (0.004, 0.04), "waiting": (0.2, 0.3)}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("ending", ["timeout", "cancellation", "cancellation, each at its own time"])
def test_calls_that_end_together_before_an_answer_leave_every_connection_usable(
    ending: str, moment: str, server: PlatformServer, run_python: RunPython
) -> None:
    """And none of them outlives its end: up to Python 3.10, what is cancelled while it connects may go on."""
    code = f"""
import asyncio, random, time
from xpander_track.platform import Configuration, Task
ending, (low, high), chance = {ending!r}, {MOMENTS[moment]}, random.Random(1)
async def burst():
    configuration = Configuration(timeout=chance.uniform(low, high) + 1e-6 if ending == "timeout" else 60)
    calls = [asyncio.create_task(Task.areport_external_task(configuration, "agent-1")) for _ in range(100)]
    if ending != "timeout":
        end = chance.uniform(low, high)
        for call in calls:
            asyncio.get_running_loop().call_later(chance.uniform(low, high) if "own" in ending else end, call.cancel)
    ended, going_on = await asyncio.wait(calls, timeout=10)
    assert not going_on, len(going_on)
    assert all(call.cancelled() or call.exception() for call in ended)
{ALL_AT_ONCE}
Task.report_external_task(Configuration(), "agent-1", "ours")  # everything is loaded
for _ in range(10):
    asyncio.run(burst())
time.sleep(0.5)
asyncio.run(all_at_once("ours"))
"""
    together = all_at_once(MOST)

    def answer(request: Any) -> Answer | None:
        if b"ours" not in request.body:
            return Answer(delay=60)
        return together(request) if b"ours-" in request.body else None  # type: ignore[func-returns-value]

    server.always = answer
    done = run_python(code, XPANDER_API_KEY="k", XPANDER_BASE_URL=server.url)
    assert (done.stderr, done.returncode, len(server.tasks)) == ("", 0, MOST + 1)


@pytest.mark.parametrize("key", ["one two", "a\tb", "!~", '"quoted", =;'])
def test_key_is_sent_verbatim(key: str, server: PlatformServer, configuration: Configuration) -> None:
    configuration.api_key = key
    Task.report_external_task(configuration, "agent-1")
    assert dict(server.requests[0].pairs)["x-api-key"] == key


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_with_the_key(
    status: int, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    with PlatformServer() as elsewhere:
        server.answers([Answer(status, text="moved", headers={"location": f"{elsewhere.url}/agent-execution"})])
        with pytest.raises(ModuleException, match=rf"\[{status}\] moved"):
            call(Task.report_external_task, configuration, "agent-1")
    assert (elsewhere.requests, len(server.requests)) == ([], 1)


def test_cookies_of_one_answer_are_not_sent_to_another_account(server: PlatformServer, run_python: RunPython) -> None:
    code = """
from xpander_track.platform import Configuration, Task
for key in ("first", "second"):
    Task.report_external_task(Configuration(api_key=key), "agent-1")
"""
    task = {"id": "x", "agent_id": "x", "organization_id": "x", "input": {}, "created_at": "2026-01-02"}
    server.always = Answer(json=task, headers={"set-cookie": "session=first"})
    done = run_python(code, XPANDER_BASE_URL=server.url)
    assert (done.returncode, ["cookie" in request.headers for request in server.requests]) == (0, [False, False])


class Endless:
    """Content without an end, and how much of it was taken."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken += 65_536
            yield b" " * 65_536


def test_endless_answer_is_given_up_early(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    endless = Endless()
    server.answers([Answer(body=endless, headers={"content-type": "application/json"})])
    with pytest.raises(AnswerUnreadable, match="the platform accepted it, but its answer is larger than"):
        call(Task.report_external_task, configuration, "agent-1")
    server.stop()
    server.start()
    assert endless.taken < 16 * MEGABYTE  # mostly what the sockets' buffers have room for


def test_endless_refusal_keeps_its_status_and_its_beginning(
    server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.answers([Answer(503, body=Endless())])
    with pytest.raises(ModuleException) as error:
        call(Task.report_external_task, configuration, "agent-1")
    assert (error.value.status_code, len(error.value.description)) == (503, 65_536)


@pytest.mark.parametrize("status", [200, 503])
def test_compressed_bomb_is_not_inflated(status: int, server: PlatformServer, configuration: Configuration) -> None:
    Task.report_external_task(configuration, "agent-1")  # everything is loaded
    bomb = gzip.compress(bytes(100 * MEGABYTE))
    headers: dict[str, str | None] = {"content-encoding": "gzip", "content-type": "application/json"}
    server.answers([Answer(status, body=bomb, headers=headers)])
    tracemalloc.start()
    try:
        with pytest.raises(ModuleException):
            Task.report_external_task(configuration, "agent-1")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEGABYTE


def test_answer_may_repeat_a_large_report(server: PlatformServer, configuration: Configuration) -> None:
    """With its non-ASCII characters as escapes, three times as long as they were sent."""
    text = "é" * MEGABYTE
    assert Task.report_external_task(configuration, "agent-1", input=text).input.text == text


def test_content_length_below_the_truth_harms_at_most_the_next_call(
    server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.answers([Answer(json={"id": "x" * 100}, headers={"content-length": "20"})])
    with pytest.raises(AnswerUnreadable, match="not valid JSON"):
        call(Task.report_external_task, configuration, "agent-1")
    with contextlib.suppress(Unreachable):  # What was too much stood where its answer should.
        call(Task.report_external_task, configuration, "agent-1")
    assert call(Task.report_external_task, configuration, "agent-1", "run-1").id == "run-1"


def test_proxy_of_the_environment_is_used(server: PlatformServer, run_python: RunPython) -> None:
    code = "from xpander_track.platform import Task; Task.report_external_task(agent_id='agent-1')"
    done = run_python(code, XPANDER_API_KEY="k", XPANDER_BASE_URL="http://platform.test:8080", HTTP_PROXY=server.url)
    target = "http://platform.test:8080/agent-execution/agent-1/report_task"
    assert (done.returncode, [request.target for request in server.requests]) == (0, [target])


def test_no_proxy_of_the_environment_is_honoured(server: PlatformServer, run_python: RunPython) -> None:
    code = "from xpander_track.platform import Task; Task.report_external_task(agent_id='agent-1')"
    done = run_python(
        code,
        XPANDER_API_KEY="k",
        XPANDER_BASE_URL=server.url,
        HTTP_PROXY="http://proxy.test:1",
        NO_PROXY="127.0.0.1",
    )
    assert (done.returncode, [request.target for request in server.requests]) == (
        0,
        ["/agent-execution/agent-1/report_task"],
    )
