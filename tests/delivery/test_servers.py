"""Under what agents are served with: no thread before the fork, and every run arrives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import xpander_track

from .conftest import KEY, PATIENCE, numbered

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
def served(tmp_path: Path, server: PlatformServer) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int]]]:
    """``served("--preload")``: the application under gunicorn with two workers; its process, and its port."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    (tmp_path / "served.py").write_text(APP)
    processes: list[subprocess.Popen[bytes]] = []

    def start(*options: str) -> tuple[subprocess.Popen[bytes], int]:
        path = os.pathsep.join([str(tmp_path), str(Path(xpander_track.__file__).parents[1])])
        environment = {
            **os.environ, "PYTHONPATH": path, "XPANDER_AGENT_ID": "agent-1", "XPANDER_API_KEY": KEY,
            "XPANDER_BASE_URL": server.url,
        }  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as listener:
            file, port = listener.fileno(), listener.getsockname()[1]
            command = [sys.executable, "-m", "gunicorn", "served:app", "-b", f"fd://{file}", "-w", "2", *options]
            processes.append(
                subprocess.Popen(
                    command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True, pass_fds=[file]
                )
            )
        return processes[-1], port

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
