"""Sync and async forms, from any loop, thread and process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from xpander_track.platform import Configuration, ModuleException, Task, loop

from ..platform_server import Answer

if TYPE_CHECKING:
    from ..platform_server import PlatformServer
    from .conftest import RunPython


@pytest.fixture
def environment(server: PlatformServer) -> dict[str, str]:
    return {"XPANDER_API_KEY": "k", "XPANDER_BASE_URL": server.url}


def test_sync_form_works_without_a_loop(configuration: Configuration) -> None:
    assert Task.report_external_task(configuration, "agent-1", "run-1").id == "run-1"


def test_sync_form_works_inside_a_running_loop(configuration: Configuration) -> None:
    async def main() -> Task:
        return Task.report_external_task(configuration, "agent-1", "run-1")

    assert asyncio.run(main()).id == "run-1"


def test_sync_form_works_in_threads(server: PlatformServer, configuration: Configuration) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        ids = list(
            pool.map(lambda number: Task.report_external_task(configuration, "a", f"run-{number}").id, range(100))
        )
    assert (ids, len(server.tasks)) == ([f"run-{number}" for number in range(100)], 100)


def test_both_forms_work_after_a_loop_has_ended(server: PlatformServer, configuration: Configuration) -> None:
    for form in ("first loop", "second loop"):
        asyncio.run(Task.areport_external_task(configuration, "agent-1", form))
    Task.report_external_task(configuration, "agent-1", "no loop")
    assert list(server.tasks) == ["first loop", "second loop", "no loop"]


def test_our_thread_ends_with_its_loop(run_python: RunPython) -> None:
    """Closed by something that closes every loop it finds, it must not be run again and again."""
    code = """
from xpander_track.platform import loop
import threading, time
ours = loop.get()
(thread,) = [thread for thread in threading.enumerate() if thread.name == "xpander-track"]
ours.run_forever = ours.close  # the next time
ours.call_soon_threadsafe(ours.stop)
thread.join(5)
print(thread.is_alive())
"""
    assert run_python(code).stdout == "False\n"


def test_loops_of_two_threads_work_at_the_same_time(server: PlatformServer, configuration: Configuration) -> None:
    server.always = Answer(503, text="busy", delay=0.5)

    def report(_: int) -> None:
        with pytest.raises(ModuleException, match="busy"):
            asyncio.run(Task.areport_external_task(configuration, "agent-1"))

    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(report, range(10)))
    assert (len(server.requests), time.monotonic() - started < 4) == (10, True)


def test_async_form_does_not_block_the_callers_loop(server: PlatformServer, configuration: Configuration) -> None:
    async def main() -> int:
        report = asyncio.create_task(Task.areport_external_task(configuration, "agent-1"))
        ticks = 0
        while not report.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks

    server.answers([lambda _: time.sleep(0.3)])
    assert asyncio.run(main()) > 5


def test_cancelled_call_ends_at_once_and_passes_the_cancellation_on(
    server: PlatformServer, configuration: Configuration
) -> None:
    async def main() -> None:
        report = asyncio.create_task(Task.areport_external_task(configuration, "agent-1"))
        await asyncio.to_thread(server.wait_until, lambda: server.requests)
        report.cancel()
        with pytest.raises(asyncio.CancelledError):
            await report

    server.answers([Answer(delay=60)])
    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 5


def test_timeout_around_a_call_ends_it(server: PlatformServer, configuration: Configuration) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(Task.areport_external_task(configuration, "agent-1"), 0.2)
        await Task.areport_external_task(configuration, "agent-1", "after")

    server.answers([Answer(delay=60)])
    asyncio.run(main())
    assert list(server.tasks) == ["after"]


def test_loop_that_ends_during_a_call_leaves_nothing_behind(
    server: PlatformServer, configuration: Configuration
) -> None:
    async def main() -> None:
        report = asyncio.create_task(Task.areport_external_task(configuration, "agent-1"))
        await asyncio.to_thread(server.wait_until, lambda: server.requests)
        del report  # asyncio.run() cancels it

    server.answers([Answer(delay=60)])
    asyncio.run(main())
    assert Task.report_external_task(configuration, "agent-1", "after").id == "after"


def test_sync_form_on_our_own_loop_is_refused_instead_of_waiting_for_ever(
    server: PlatformServer, configuration: Configuration
) -> None:
    async def on_our_loop() -> None:
        Task.report_external_task(configuration, "agent-1")

    with pytest.raises(RuntimeError, match="use the async form"):
        loop.call(on_our_loop())
    assert server.requests == []


def test_async_form_works_on_our_own_loop(configuration: Configuration) -> None:
    assert loop.call(Task.areport_external_task(configuration, "agent-1", "run-1")).id == "run-1"


def test_loop_is_one_daemon_thread_for_all_callers(configuration: Configuration) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        loops = set(pool.map(lambda _: loop.get(), range(8)))
    threads = [thread for thread in threading.enumerate() if thread.name == "xpander-track"]
    assert (len(loops), [thread.daemon for thread in threads]) == (1, [True])


def test_import_starts_nothing_and_loads_no_http_client(run_python: RunPython) -> None:
    code = """
import sys, threading
import xpander_track.platform
print(threading.active_count(), "httpx" in sys.modules)
"""
    assert run_python(code).stdout == "1 False\n"


def test_process_that_has_reported_leaves_silently(environment: dict[str, str], run_python: RunPython) -> None:
    code = """
import asyncio
from xpander_track.platform import Task
Task.report_external_task(agent_id="agent-1")
async def main():
    await asyncio.gather(*(Task.areport_external_task(agent_id="agent-1") for _ in range(10)))
asyncio.run(main())
"""
    done = run_python(code, **environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_process_that_can_start_no_thread_gets_one_error_and_no_warnings(
    environment: dict[str, str], run_python: RunPython
) -> None:
    code = """
import threading
from xpander_track.platform import Task
def refuse(thread):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refuse
try:
    Task.report_external_task(agent_id="agent-1")
except RuntimeError as error:
    print(error)
"""
    done = run_python(code, **environment)
    assert (done.stdout, done.stderr) == ("can't start new thread\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
class TestFork:
    PREPARE = """
import os, sys, threading, time, warnings
from xpander_track.platform import Task
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads.
warnings.simplefilter("ignore", ResourceWarning)
"""

    def test_child_reports_over_a_connection_of_its_own_and_the_parent_keeps_its_own(
        self, server: PlatformServer, environment: dict[str, str], run_python: RunPython
    ) -> None:
        code = """
Task.report_external_task(agent_id="agent-1", id="parent before")
child = os.fork()
Task.report_external_task(agent_id="agent-1", id="parent after" if child else "child")
if not child:
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""
        done = run_python(self.PREPARE + code, **environment)
        connections = {request.json["id"]: request.connection for request in server.requests}
        assert (done.returncode, connections) == (0, {"parent before": 1, "child": 2, "parent after": 1})

    def test_request_of_the_parent_goes_on_while_a_child_reports(
        self, server: PlatformServer, environment: dict[str, str], run_python: RunPython
    ) -> None:
        code = """
slow = threading.Thread(target=lambda: print(Task.report_external_task(agent_id="agent-1", id="slow").id))
slow.start()
sys.stdin.readline()
child = os.fork()
if not child:
    Task.report_external_task(agent_id="agent-1", id="child")
    os._exit(0)
status = os.waitpid(child, 0)[1]
slow.join()
sys.exit(status)
"""

        def answer_slowly(_: object) -> None:
            server.wait_until(lambda: "child" in server.tasks, timeout=60)

        def fork_now(process: object) -> None:
            server.wait_until(lambda: server.requests, timeout=60)
            process.stdin.write("\\n")  # type: ignore[attr-defined]
            process.stdin.flush()  # type: ignore[attr-defined]

        server.answers([answer_slowly])
        done = run_python(self.PREPARE + code, during=fork_now, **environment)
        assert (done.returncode, done.stdout, sorted(server.tasks)) == (0, "slow\n", ["child", "slow"])

    def test_child_of_a_child_reports_too(
        self, server: PlatformServer, environment: dict[str, str], run_python: RunPython
    ) -> None:
        code = """
for generation in range(3):
    Task.report_external_task(agent_id="agent-1", id=f"generation {generation}")
    child = os.fork()
    if child:
        sys.exit(os.waitpid(child, 0)[1])
os._exit(0)
"""
        done = run_python(self.PREPARE + code, **environment)
        assert (done.returncode, list(server.tasks)) == (0, [f"generation {number}" for number in range(3)])
