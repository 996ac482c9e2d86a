"""Destinations in memory, a platform on loopback, and processes of our own."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xpander_track
from xpander_track.delivery.dispatcher import Dispatcher
from xpander_track.delivery.home import home as made_home
from xpander_track.delivery.report import Report
from xpander_track.platform import loop

from ..platform_server import PlatformServer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from xpander_track import Task
    from xpander_track.delivery.dispatcher import Flushed

    MakeReport = Callable[..., Report]
    Python = Callable[..., "Process"]
    Outcome = Task | BaseException | None
    Scripted = Outcome | Callable[[Report], Coroutine[Any, Any, Outcome]]

KEY = "key-of-the-tests"
# Not long ago: old runs are forgotten once they are delivered.
STARTED_AT = time.time()
PATIENCE = 60.0
"""Seconds after which a test stops waiting for what should have happened long ago."""
# Python 3.12 warns of any fork beside a thread: the user's choice, not ours.
QUIET = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]


def eventually(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Wait until *condition* holds."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {timeout:g} s")
        time.sleep(0.01)


# --- in this process ---


def post(dispatcher: Dispatcher, report: Report, destinations: list[Any]) -> None:
    """*report* to *dispatcher*, as a run posts it."""
    dispatcher.post(report.to_json(), report.id, destinations, is_end=report.stage == "ended")


@pytest.fixture
def make_report() -> MakeReport:
    """``make_report("run-1", result="...")``: a report of a run that has ended, for the destination ``place``."""

    def make(run_id: str = "run-1", **fields: Any) -> Report:
        stage = fields.get("stage", "ended")
        given = {
            "stage": stage,
            "agent_id": "agent-1",
            "name": "app.answer",
            "started_at": STARTED_AT,
            "destinations": ["place"],
            "ending": "completed" if stage == "ended" else None,
            "duration": None if stage == "started" else 1.5,
            "input": "question",
            "result": None if stage == "started" else "answer",
        }
        return Report(id=run_id, **{**given, **fields})

    return make


class Place:
    """A destination in memory, which keeps what it is given and answers as it is told."""

    def __init__(self, key: str = "place", always: Scripted = None) -> None:
        self.key = key
        self.where = f"the {key}"
        self.always = always
        self.reports: list[Report] = []
        self.times: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self._script: collections.deque[Scripted] = collections.deque()

    def answers(self, script: Iterable[Scripted]) -> None:
        """What the next deliveries come to: a task, None, an error to raise, or an async function of the report."""
        self._script = collections.deque(script)

    async def deliver(self, report: Report) -> Task | None:
        self.times.append(time.monotonic())
        self.reports.append(report)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            answer = self._script.popleft() if self._script else self.always
            if callable(answer):
                answer = await answer(report)
            if isinstance(answer, BaseException):
                raise answer
            return answer
        finally:
            self.in_flight -= 1

    @property
    def ids(self) -> list[str]:
        return [report.id for report in self.reports]

    def times_of(self, run_id: str) -> int:
        """How often that run was delivered, or tried to be."""
        return self.ids.count(run_id)


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def dispatcher(home: Path) -> Iterator[Dispatcher]:
    """A dispatcher over a home on disk."""
    with running(made_home()) as dispatcher:
        yield dispatcher


@contextlib.contextmanager
def running(home: Path | None) -> Iterator[Dispatcher]:
    """A dispatcher, stopped at the end: what it has not delivered is as a dead process leaves it."""
    dispatcher = Dispatcher(home)
    try:
        yield dispatcher
    finally:
        dispatcher.stop()
        loop.call(asyncio.sleep(0))  # The stop has happened.
        dispatcher.journal.abandon()


def drain(dispatcher: Dispatcher, timeout: float = PATIENCE, *, give_up: bool = False) -> Flushed:
    return loop.call(dispatcher.drain(timeout, give_up=give_up))


def states(home: Path) -> dict[str, str]:
    """What the store on disk says of each delivery, by run."""
    with contextlib.closing(sqlite3.connect(home / "runs.sqlite3")) as db:
        return dict(db.execute("SELECT id, state FROM runs JOIN deliveries ON run = seq ORDER BY seq").fetchall())


def endings(home: Path) -> dict[str, str | None]:
    """How each run in the store on disk has ended."""
    with contextlib.closing(sqlite3.connect(home / "runs.sqlite3")) as db:
        return dict(db.execute("SELECT id, ending FROM runs ORDER BY seq").fetchall())


def journals(home: Path) -> list[Path]:
    return sorted((home / "journal").iterdir())


# --- a platform ---


@pytest.fixture
def server() -> Iterator[PlatformServer]:
    with PlatformServer() as server:
        yield server


@pytest.fixture
def away() -> PlatformServer:
    """A platform that is not there until it is started."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return PlatformServer(port)


def posts(server: PlatformServer) -> collections.Counter[str]:
    """How often each run was posted. A request whose sender was killed within it is none."""
    whole = [
        request for request in list(server.requests) if len(request.body) == int(request.headers["content-length"])
    ]
    return collections.Counter(request.json["id"] for request in whole)


def numbered(count: int, first: int = 0) -> set[str]:
    return {f"run-{number}" for number in range(first, first + count)}


# --- other processes ---


@dataclass(frozen=True)
class Ended:
    """How a process has ended; *leaving* is how many seconds it took after its ``finish()``."""

    code: int
    lines: list[str]
    errors: str
    leaving: float


class Process:
    """A Python process of ours, and the leader of a group: whatever it starts is gone when the test is over."""

    def __init__(self, code: str, environment: dict[str, str], options: list[str]) -> None:
        command = [sys.executable, *options, "-c", f"from child import *\n{code}"]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self.lines: list[str] = []
        self._errors: list[str] = []
        self._ended_at = 0.0
        self._threads = [
            threading.Thread(target=self._collect, args=(self._process.stdout, self.lines)),
            threading.Thread(target=self._collect, args=(self._process.stderr, self._errors)),
            threading.Thread(target=self._watch),
        ]
        for thread in self._threads:
            thread.start()

    def until(self, line: str, timeout: float = PATIENCE) -> None:
        """Wait until it has said *line*."""
        try:
            eventually(lambda: line in self.lines or self._ended_at, timeout)
        except TimeoutError:
            raise TimeoutError(f"{line!r} was not said: {self.lines[-5:]} {''.join(self._errors)}") from None
        assert line in self.lines, f"ended before it said {line!r}: {''.join(self._errors)}"

    @property
    def has_ended(self) -> bool:
        return bool(self._ended_at)

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> Ended:
        self._process.kill()
        return self.wait()

    def wait(self, timeout: float = PATIENCE) -> Ended:
        """Wait until it has ended by itself."""
        code = self._process.wait(timeout)
        for thread in self._threads:
            thread.join(PATIENCE)
        finished = [float(line.split()[1]) for line in self.lines if line.startswith("finished ")]
        leaving = self._ended_at - finished[-1] if finished else 0.0
        return Ended(code, self.lines, "".join(self._errors), leaving)

    def clean_up(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()

    def _collect(self, pipe: Any, lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                lines.append(line.decode().rstrip("\n") if lines is self.lines else line.decode())

    def _watch(self) -> None:
        self._process.wait()
        self._ended_at = time.monotonic()


@pytest.fixture
def python(home: Path) -> Iterator[Python]:
    """
    ``python(code, server=server, NAME="value")`` starts a process; ``options=["-W", "error"]`` are the interpreter's.

    Its home is the test's. With *server* it has a key, and the platform's address.
    """
    processes: list[Process] = []

    def start(
        code: str, *, server: PlatformServer | None = None, options: Iterable[str] = ("-W", "error"), **environment: str
    ) -> Process:
        path = os.pathsep.join([str(Path(xpander_track.__file__).parents[1]), str(Path(__file__).parent)])
        platform = {} if server is None else {"XPANDER_API_KEY": KEY, "XPANDER_BASE_URL": server.url}
        given = {**os.environ, "PYTHONPATH": path, "XPANDER_AGENT_ID": "agent-1", **platform, **environment}
        processes.append(Process(code, given, list(options)))
        return processes[-1]

    yield start
    for process in processes:
        process.clean_up()


@pytest.fixture
def restart(python: Python) -> Callable[..., Ended]:
    """``restart(server)``: the next process at this home. It has one run of its own, ``next``, and leaves."""
    numbers = itertools.count()

    def start(server: PlatformServer, *, timeout: float = PATIENCE, **environment: str) -> Ended:
        # Two seconds for the exit are enough, but not on a machine that has better things to do.
        code = f"configure(exit_timeout={timeout}); run('next-{next(numbers)}'); flush({timeout}); finish()"
        return python(code, server=server, **environment).wait(timeout + PATIENCE)

    return start


def next_ids(*numbers: int) -> set[str]:
    """The own runs of ``restart``."""
    return {f"run-next-{number}" for number in numbers or (0,)}
