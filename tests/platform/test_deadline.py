"""``Configuration(timeout=...)`` rules the whole request, whatever the other side does."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from xpander_track.platform import Configuration, ModuleException, Task, Unreachable

from ..platform_server import Answer, PlatformServer

if TYPE_CHECKING:
    import subprocess

    from .conftest import Call, RunPython

TIMEOUT = 0.3
# Far above the timeout, for a busy machine; far below what the other side would take.
SOON = 5.0


@pytest.mark.parametrize(
    "answer",
    [
        Answer(delay=60),
        Answer(json={}, drip_head=0.05),
        Answer(json={"result": "x" * 1000}, drip=0.05),
        Answer(503, text="x" * 1000, drip=0.05),
    ],
    ids=["hangs", "slow head", "slow body", "slow refusal"],
)
def test_slow_answer_ends_at_the_timeout(answer: Answer, server: PlatformServer, call: Call) -> None:
    server.answers([answer])
    started = time.monotonic()
    with pytest.raises(Unreachable, match=rf"no complete answer within {TIMEOUT} s"):
        call(Task.report_external_task, Configuration(api_key="k", base_url=server.url, timeout=TIMEOUT), "agent-1")
    assert TIMEOUT <= time.monotonic() - started < SOON


def test_server_that_reads_nothing_ends_at_the_timeout(call: Call) -> None:
    started = time.monotonic()
    with PlatformServer(deaf=True) as server, pytest.raises(Unreachable, match="no complete answer"):
        call(
            Task.report_external_task,
            Configuration(api_key="k", base_url=server.url, timeout=TIMEOUT),
            "agent-1",
            input="x" * 20_000_000,
        )
    assert time.monotonic() - started < SOON


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full backlog refuses")
def test_connection_that_is_never_accepted_ends_at_the_timeout(call: Call) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # Its backlog is full from now on: packets are dropped, as by a firewall.
            stack.enter_context(waiting := socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(listener.getsockname())
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(Unreachable, match="no complete answer"):
            call(Task.report_external_task, Configuration(api_key="k", base_url=base_url, timeout=TIMEOUT), "agent-1")
        assert TIMEOUT <= time.monotonic() - started < SOON


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_handshake_that_hangs_ends_at_the_timeout(call: Call) -> None:
    """The client library leaves closing the half-made connection to the garbage collector."""
    started = time.monotonic()
    with PlatformServer(deaf=True) as server:
        configuration = Configuration(api_key="k", base_url=f"https://127.0.0.1:{server.port}", timeout=TIMEOUT)
        with pytest.raises(Unreachable, match="no complete answer"):
            call(Task.report_external_task, configuration, "agent-1")
    assert time.monotonic() - started < SOON
    gc.collect()


def test_steady_answer_within_the_timeout_is_read(server: PlatformServer, call: Call) -> None:
    server.answers([Answer(418, text="x" * 100, drip=0.002)])
    with pytest.raises(ModuleException) as error:
        call(Task.report_external_task, Configuration(api_key="k", base_url=server.url, timeout=30), "agent-1")
    assert error.value.status_code == 418


def test_each_call_has_the_timeout_of_its_configuration(server: PlatformServer, call: Call) -> None:
    server.answers([Answer(delay=60), None])
    with pytest.raises(Unreachable):
        call(Task.load, "run-1", Configuration(api_key="k", base_url=server.url, timeout=TIMEOUT))
    task = call(Task.report_external_task, Configuration(api_key="k", base_url=server.url, timeout=30), "agent-1")
    assert task.agent_id == "agent-1"


def test_slow_name_lookup_ends_at_the_timeout_and_does_not_delay_the_exit(run_python: RunPython) -> None:
    code = """
import socket, time
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
from xpander_track.platform import Task, Unreachable
from xpander_track.platform import Configuration
started = time.monotonic()
try:
    Task.report_external_task(Configuration(api_key="k", base_url="http://platform.test", timeout=0.3), "agent-1")
except Unreachable as error:
    print(error)
print(time.monotonic() - started < 5)
"""
    started = time.monotonic()
    done = run_python(code)
    assert (done.returncode, done.stdout, time.monotonic() - started < 20) == (
        0,
        "[500] Failed to report external task - no complete answer within 0.3 s\nTrue\n",
        True,
    )


def test_name_lookup_blocks_no_other_request(server: PlatformServer, run_python: RunPython) -> None:
    code = """
import asyncio, socket, time
real = socket.getaddrinfo
socket.getaddrinfo = lambda host, *args, **kw: time.sleep(60) if "slow" in str(host) else real(host, *args, **kw)
from xpander_track.platform import Configuration, Task, Unreachable
async def main():
    slow = Configuration(api_key="k", base_url="http://slow.test", timeout=60)
    hanging = asyncio.create_task(Task.areport_external_task(slow, "agent-1"))
    await asyncio.sleep(0.1)
    await Task.areport_external_task(agent_id="agent-1", id="quick")
    hanging.cancel()
asyncio.run(main())
"""
    done = run_python(code, XPANDER_API_KEY="k", XPANDER_BASE_URL=server.url.replace("127.0.0.1", "localhost"))
    assert (done.returncode, list(server.tasks)) == (0, ["quick"])


def test_exit_does_not_wait_for_a_request(server: PlatformServer, run_python: RunPython) -> None:
    server.answers([Answer(delay=60)])
    code = """
import sys, threading
from xpander_track.platform import Task
threading.Thread(target=Task.report_external_task, kwargs={"agent_id": "agent-1"}, daemon=True).start()
sys.stdin.readline()
"""

    def leave(process: subprocess.Popen[str]) -> None:
        server.wait_until(lambda: server.requests, timeout=60)
        process.stdin.write("\n")  # type: ignore[union-attr]

    started = time.monotonic()
    done = run_python(code, during=leave, XPANDER_API_KEY="k", XPANDER_BASE_URL=server.url)
    assert (done.returncode, time.monotonic() - started < 20) == (0, True)


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_a_waiting_call(server: PlatformServer, run_python: RunPython) -> None:
    server.answers([Answer(delay=60)])
    code = """
import signal
from xpander_track.platform import Task
signal.signal(signal.SIGINT, signal.default_int_handler)  # Who was started in the background ignores it.
try:
    Task.report_external_task(agent_id="agent-1")
except KeyboardInterrupt:
    Task.report_external_task(agent_id="agent-1", id="after")
"""

    def interrupt(process: subprocess.Popen[str]) -> None:
        server.wait_until(lambda: server.requests, timeout=60)
        process.send_signal(signal.SIGINT)

    started = time.monotonic()
    done = run_python(code, during=interrupt, XPANDER_API_KEY="k", XPANDER_BASE_URL=server.url)
    assert (done.returncode, list(server.tasks), time.monotonic() - started < 20) == (0, ["after"], True)
