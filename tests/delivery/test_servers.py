"""Under what agents are served with: no thread before the fork, and every run arrives."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xpander_track

from .conftest import KEY, PATIENCE, eventually, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..platform_server import PlatformServer
    from .conftest import Python

APP = """
import os, threading
from xpander_track import track_task, tracked_task
THREADS_OF_THE_MASTER = threading.active_count()
@track_task
def answer(question: str) -> str:
    return question
def app(environ, respond):
    with tracked_task(id=environ["PATH_INFO"].strip("/"), input="question") as run:
        run.set_result(answer("inner"))
    respond("200 OK", [("content-type", "text/plain")])
    return [f"{os.getpid()} {THREADS_OF_THE_MASTER}".encode()]
"""


@pytest.fixture
def environment(tmp_path: Path, server: PlatformServer) -> dict[str, str]:
    """Of a process that imports what is in *tmp_path*, and reports to *server*."""
    path = os.pathsep.join([str(tmp_path), str(Path(xpander_track.__file__).parents[1])])
    return {
        **os.environ, "PYTHONPATH": path, "XPANDER_AGENT_ID": "agent-1", "XPANDER_API_KEY": KEY,
        "XPANDER_BASE_URL": server.url,
    }  # fmt: skip


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``start(command)``: a process, which is gone with all that it has started when the test is over."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True, **options))
        return processes[-1]

    yield begin
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def served(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> Callable[..., tuple[subprocess.Popen[bytes], int]]:
    """``served("--preload")``: the application under gunicorn with two workers; its process, and its port."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    (tmp_path / "served.py").write_text(APP)

    def serve(*options: str) -> tuple[subprocess.Popen[bytes], int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            file, port = listener.fileno(), listener.getsockname()[1]
            command = [sys.executable, "-m", "gunicorn", "served:app", "-b", f"fd://{file}", "-w", "2", *options]
            return start(command, stderr=subprocess.DEVNULL, pass_fds=[file]), port

    return serve


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=PATIENCE) as response:
        text: str = response.read().decode()
        return text


@pytest.mark.parametrize(
    "options", [["--preload"], ["--preload", "--threads", "4"], ["--preload", "--max-requests", "20"], ["-k", "gevent"]]
)
def test_runs_of_gunicorns_workers_arrive(
    served: Callable[..., tuple[subprocess.Popen[bytes], int]], server: PlatformServer, options: list[str]
) -> None:
    if "gevent" in options:
        pytest.importorskip("gevent", reason="gevent is not installed")
    process, port = served(*options)
    answers = [_get(port, f"run-{number}") for number in range(200)]
    assert {answer.split()[1] for answer in answers} == {"1"}
    begun = time.monotonic()
    process.terminate()
    process.wait(PATIENCE)
    assert time.monotonic() - begun < 15  # A worker that hung would be killed after 30 s.
    # What a worker could not send in its last two seconds is left to the next one.
    _get(served(*options)[1], "run-200")
    server.wait_until(lambda: len(server.tasks) == 402, PATIENCE)
    assert set(server.tasks) >= numbered(201)


def test_runs_of_greenlets_arrive(python: Python, server: PlatformServer) -> None:
    """With gevent, our thread is one more greenlet of the user's."""
    pytest.importorskip("gevent", reason="gevent is not installed")
    code = """
from gevent import monkey
monkey.patch_all()
from child import *
import gevent
from xpander_track import Task
def work(first):
    for number in range(first, first + 20):
        run(number)
        gevent.sleep(0.001)
gevent.joinall([gevent.spawn(work, first) for first in range(0, 200, 20)])
say(flush(30).delivered)
say(Task.report_external_task(agent_id="agent-1", id="direct").id)
"""
    process = python(code, server=server, options=[]).wait()
    assert (process.lines, process.errors) == (["200", "direct"], "")
    assert set(server.tasks) == numbered(200) | {"direct"}


CELERY = """
import os
from celery import Celery
from xpander_track import tracked_task
app = Celery("agents", broker="filesystem://")
app.conf.broker_transport_options = {
    name: os.environ["FOLDER"] for name in ("data_folder_in", "data_folder_out", "control_folder")
}
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True
@app.task
def answer(number):
    with tracked_task(id=f"run-{number}", input="question") as run:
        run.set_result("answer")
    open(os.path.join(os.environ["FOLDER"], f"{number}.done"), "x").close()
"""


def test_runs_of_celerys_children_arrive(
    python: Python,
    server: PlatformServer,
    tmp_path: Path,
    environment: dict[str, str],
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    """
    Prefork, with a new child for each task, which leaves without what other processes do at their exit.

    These tasks take no time: no child lives for long enough to send anything. The next process does.
    """
    pytest.importorskip("celery", reason="Celery is not installed: see .ci/frameworks")
    (tmp_path / "agents.py").write_text(CELERY)
    (tmp_path / "broker").mkdir()
    environment["FOLDER"] = str(tmp_path / "broker")
    send = "import agents\nfor number in range(30): agents.answer.delay(number)"
    subprocess.run([sys.executable, "-c", send], env=environment, cwd=tmp_path, check=True, timeout=PATIENCE)
    command = [
        sys.executable, "-m", "celery", "-A", "agents", "worker", "-P", "prefork", "-c", "2", "-l", "ERROR",
        "--max-tasks-per-child", "1", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip
    worker = start(command, stdout=subprocess.DEVNULL)
    eventually(lambda: len(list((tmp_path / "broker").glob("*.done"))) == 30)
    worker.terminate()
    worker.wait(PATIENCE)
    python("run(30); flush(30)", server=server).wait()
    assert set(server.tasks) == numbered(31)


UWSGI = """
from xpander_track import tracked_task
def application(environ, respond):
    with tracked_task(id=environ["PATH_INFO"].strip("/"), input="question") as run:
        run.set_result("answer")
    respond("200 OK", [("content-type", "text/plain")])
    return [b"ok"]
"""


def test_runs_under_uwsgi_without_threads_are_left_to_the_next_process(
    python: Python, server: PlatformServer, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """There no thread ever runs, ours neither: nothing is lost, and no request waits for it."""
    uwsgi = Path(sys.executable).with_name("uwsgi")
    if not uwsgi.exists():
        pytest.skip("uwsgi is not installed")
    (tmp_path / "served.py").write_text(UWSGI)
    log = tmp_path / "log"
    command = [
        str(uwsgi), "--http-socket", "127.0.0.1:0", "--master", "--processes", "2", "--module", "served",
        "--virtualenv", sys.prefix, "--die-on-term", "--disable-logging", "--logto", str(log),
    ]  # fmt: skip
    process = start(command)

    def port() -> str:
        """As it says at its start: the system gives it one."""
        found = re.search(r"bound to TCP address 127\.0\.0\.1:(\d+)", log.read_text() if log.exists() else "")
        return found[1] if found else ""

    eventually(port)
    for number in range(50):
        assert _get(int(port()), f"run-{number}") == "ok"
    process.terminate()
    process.wait(PATIENCE)
    python("run(50); flush(30)", server=server).wait()
    assert set(server.tasks) == numbered(51)


def test_runs_of_a_process_that_is_frozen_after_each_call_arrive(python: Python, server: PlatformServer) -> None:
    """As AWS Lambda does: the next call thaws it, and what was under way then goes on."""
    code = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
for number in range(10):
    say("waits for", number)
    signal.sigwait({signal.SIGUSR1})
    run(number)
    say("returned", number)
threading.Event().wait()
"""
    process = python(code, server=server)
    for number in range(10):
        process.until(f"waits for {number}")
        process.send(signal.SIGUSR1)
        process.until(f"returned {number}")
        process.send(signal.SIGSTOP)
        time.sleep(0.3)
        process.send(signal.SIGCONT)
    server.wait_until(lambda: numbered(10) <= set(server.tasks), PATIENCE)
    process.kill()
