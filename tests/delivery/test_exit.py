"""However a process ends: every run whose call had returned arrives, and nobody is kept waiting."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from ..platform_server import Answer, PlatformServer
from .conftest import PATIENCE, endings, eventually, journals, next_ids, numbered, posts, states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Ended, Process, Python

    Restart = Callable[..., Ended]

# The promise is 2 s; a busy machine, and the interpreter's own leaving, come on top. Whoever waits for a platform that
# hangs, or for a request's own deadline, takes ten seconds at least.
SLACK = 6.0
# For tests of what arrives, not of when: a busy machine may need more than 2 s.
PATIENT = "configure(exit_timeout=30)"
# How many posts may be under way at once: of these nobody knows what became.
WIDTH = 16


def returned(process: Process) -> set[str]:
    """The runs whose calls had returned, as the process said."""
    return {line.split()[1] for line in list(process.lines) if line.startswith("returned ")}


def duplicates(server: PlatformServer) -> int:
    """How many posts were not needed."""
    return sum(posts(server).values()) - len(posts(server))


# --- all is well ---


def test_normal_exit_delivers_everything(python: Python, server: PlatformServer, home: Path) -> None:
    process = python(f"{PATIENT}; runs(200); finish()", server=server).wait()
    assert (process.code, process.errors, set(server.tasks)) == (0, "", numbered(200))
    assert (duplicates(server), journals(home)) == (0, [])


def test_threads_of_the_users_are_waited_for_as_ever(python: Python, server: PlatformServer) -> None:
    """Threads that outlive main; the interpreter joins them."""
    code = f"""{PATIENT}
run("main")
def work(number):
    for turn in range(4):
        time.sleep(0.05)
        run(f"{{number}}-{{turn}}")
for number in range(50):
    threading.Thread(target=work, args=(number,)).start()
"""
    process = python(code, server=server).wait()
    assert (process.errors, len(server.tasks), duplicates(server)) == ("", 201, 0)


def test_first_run_in_a_thread_that_outlives_main_is_not_lost(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    """Python 3.12 starts no thread any more once main has ended."""
    code = """
def work():
    threading.main_thread().join()
    time.sleep(0.3)
    runs(20)
threading.Thread(target=work).start()
"""
    process = python(code, server=server).wait()
    restart(server)
    assert ("Traceback" in process.errors, set(server.tasks)) == (False, numbered(20) | next_ids())


def test_names_are_looked_up_also_where_no_thread_can_be_started(python: Python, server: PlatformServer) -> None:
    """As at the interpreter's exit from Python 3.12 on: there a short script makes its first connection."""
    code = "loop.get(); no_more_threads(); run(0); say(flush(20).delivered)"
    process = python(code, server=server, XPANDER_BASE_URL=f"http://localhost:{server.port}").wait()
    assert (process.lines, process.errors) == (["1"], "")


def test_daemon_threads_lose_nothing_that_has_returned(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    code = """
def work(number):
    for turn in range(1000):
        run(f"{number}-{turn}")
        say("returned", f"run-{number}-{turn}")
        time.sleep(0.005)
for number in range(4):
    threading.Thread(target=work, args=(number,), daemon=True).start()
time.sleep(0.2)
finish()
"""
    process = python(code, server=server)
    ended = process.wait()
    restart(server)
    assert returned(process) - set(server.tasks) == set()
    assert (ended.leaving < 2.0 + SLACK, "Traceback" in ended.errors) == (True, False)


def test_ordinary_distance_delivers_everything_within_the_exit(python: Python, server: PlatformServer) -> None:
    """50 ms per answer: one at a time would take 10 s, ten at a time take one."""
    server.always = lambda _: time.sleep(0.05)  # type: ignore[func-returns-value]
    process = python(f"{PATIENT}; runs(200); finish()", server=server).wait()
    assert (set(server.tasks), duplicates(server)) == (numbered(200), 0)
    assert process.leaving < 8.0


def test_long_distance_leaves_the_rest_to_the_next_start(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    """A second per answer: all of it would take twenty."""
    server.always = lambda _: time.sleep(1.0)  # type: ignore[func-returns-value]
    process = python("runs(200); finish()", server=server).wait()
    assert process.leaving < 2.0 + SLACK
    server.always = None
    restart(server)
    assert set(server.tasks) == numbered(200) | next_ids()


@pytest.mark.parametrize(("timeout", "least", "most"), [(0, 0.0, 4.0), (4, 3.0, 4.0 + SLACK)])
def test_exit_timeout_is_configurable(
    python: Python, server: PlatformServer, timeout: float, least: float, most: float
) -> None:
    server.always = Answer(200, json={}, delay=60)
    process = python(f"configure(exit_timeout={timeout}); runs(3); finish()", server=server).wait()
    assert least <= process.leaving < most


# --- the platform is away ---


@pytest.mark.parametrize("fault", ["refused", "503", "closes", "deaf", "never answers"])
def test_platform_that_is_away_all_the_time_loses_nothing(
    python: Python, away: PlatformServer, restart: Restart, home: Path, fault: str
) -> None:
    away.deaf = fault == "deaf"
    answers = {"503": Answer(503), "closes": Answer(fault="close"), "never answers": Answer(200, json={}, delay=99)}
    away.always = answers.get(fault)
    if fault != "refused":
        away.start()
    process = python("runs(200, pause=0.005); finish()", server=away).wait()
    if fault != "refused":
        away.stop()
    assert (process.code, process.leaving < 2.0 + SLACK, len(away.requests) <= 10) == (0, True, True)
    away.requests.clear()
    away.deaf, away.always = False, None
    with away as server:
        restart(server)
        assert (set(server.tasks), duplicates(server)) == (numbered(200) | next_ids(), 0)
    assert (journals(home), set(states(home).values())) == ([], {"delivered"})


def test_calls_take_no_longer_while_the_platform_hangs(python: Python, server: PlatformServer) -> None:
    server.always = Answer(200, json={}, delay=99)
    code = """
begun = time.monotonic()
runs(200)
say(time.monotonic() - begun)
"""
    process = python(code, server=server)
    eventually(lambda: process.lines)
    assert float(process.lines[0]) < 5.0  # One request takes ten seconds.


def test_platform_that_comes_back_gets_everything_within_seconds(python: Python, away: PlatformServer) -> None:
    process = python(
        "runs(50, pause=0.005); say('ready'); run(50); sys.stdin.read(); threading.Event().wait()", server=away
    )
    process.until("ready")
    with away as server:
        server.wait_until(lambda: len(server.tasks) == 51, 30)
        assert (set(server.tasks), duplicates(server)) == (numbered(51), 0)


def test_platform_that_comes_and_goes_gets_everything_once(
    python: Python, away: PlatformServer, restart: Restart
) -> None:
    process = python("runs(200, pause=0.02); say('done'); run(200); finish()", server=away)
    for _ in range(3):
        time.sleep(0.3)
        away.start()
        time.sleep(0.5)
        away.stop()
    ended = process.wait()
    assert ended.leaving < 2.0 + SLACK
    with away as server:
        restart(server)
        assert set(server.tasks) == numbered(201) | next_ids()


def test_answer_that_is_lost_makes_no_second_record(python: Python, server: PlatformServer) -> None:
    """The report was taken; the same id updates the same record."""
    server.answers([Answer(200, json={}, fault=fault) for fault in ("short_head", "reset_in_body", "short_body")])
    process = python("runs(20); flush()", server=server).wait()
    assert (process.code, set(server.tasks)) == (0, numbered(20))
    bodies: dict[str, set[bytes]] = {}
    for request in server.requests:
        bodies.setdefault(request.json["id"], set()).add(request.body)
    assert {len(each) for each in bodies.values()} == {1}


def test_slow_drip_of_an_answer_does_not_hold_up_the_exit(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    server.always = Answer(200, json={}, drip_head=0.3)
    process = python("runs(20); finish()", server=server).wait()
    server.always = None
    restart(server)
    assert (process.leaving < 2.0 + SLACK, set(server.tasks)) == (True, numbered(20) | next_ids())


def test_slow_look_up_of_names_does_not_hold_up_the_exit(python: Python, server: PlatformServer) -> None:
    code = """
import socket
socket.getaddrinfo = lambda *_, **__: time.sleep(30)
runs(20)
finish()
"""
    process = python(code, server=server, XPANDER_BASE_URL="http://platform.invalid").wait()
    assert (process.code, process.leaving < 2.0 + SLACK, "Traceback" in process.errors) == (0, True, False)


def test_rate_limit_is_respected_and_nothing_lost(python: Python, server: PlatformServer) -> None:
    """Five at a time, then a pause of two seconds."""
    told: list[float] = []
    early: list[float] = []

    def limit(request: Any) -> Answer | None:
        # What was under way already, or on a busy machine somewhere between, is not to blame.
        if told and told[-1] + 1.0 < request.at < told[-1] + 2.0:
            early.append(request.at - told[-1])
        if len(posts(server)) % 6 == 0:
            told.append(request.at)
            return Answer(429, headers={"retry-after": "2"})
        return None

    server.always = limit
    process = python("runs(20); flush(60); finish()", server=server).wait(90)
    assert (process.code, set(server.tasks), early) == (0, numbered(20), [])


# --- violent ends ---

ENDS = {
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
    "os._exit": "os._exit(0)",
    "abort": "os.abort()",
    "uncaught error": "raise ValueError('theirs')",
    "sys.exit": "sys.exit(3)",
    "sys.exit in a thread": "threading.Thread(target=sys.exit).start()",
    "SIGINT": "os.kill(os.getpid(), signal.SIGINT); time.sleep(1)",
    "a handler of SIGTERM that exits": (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit()); os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)"
    ),
}


@pytest.mark.parametrize("platform", ["there", "away"])
@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_the_process_nothing_is_lost(
    python: Python, away: PlatformServer, restart: Restart, home: Path, end: str, platform: str
) -> None:
    if platform == "there":
        away.start()
    process = python(f"runs(200)\nfinish()\n{ENDS[end]}", server=away).wait()
    assert (process.lines[-1].split()[0], process.leaving < 2.0 + SLACK) == ("finished", True)
    if platform == "away":
        away.start()
    restart(away)
    away.stop()
    assert set(away.tasks) == numbered(200) | next_ids()
    assert (journals(home), set(states(home).values())) == ([], {"delivered"})


def test_no_signal_handler_is_installed(python: Python, server: PlatformServer) -> None:
    code = """
handlers = lambda: [signal.getsignal(number) for number in signal.valid_signals()]
before = handlers()
runs(3)
flush()
say(before == handlers(), signal.set_wakeup_fd(-1))
"""
    assert python(code, server=server).wait().lines == ["True -1"]


def test_ctrl_c_during_the_exit_ends_it_and_loses_nothing(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    server.always = Answer(200, json={}, delay=60)
    process = python("configure(exit_timeout=90); runs(20); finish()", server=server)
    eventually(lambda: process.lines)
    first = time.monotonic()
    while not process.has_ended and time.monotonic() < first + PATIENCE:  # The first one may come before the exit.
        process.send(signal.SIGINT)
        time.sleep(0.5)
    took = time.monotonic() - first
    server.always = None
    restart(server)
    assert (took < 10.0, set(server.tasks)) == (True, numbered(20) | next_ids())


def killed_at_random(python: Python, server: PlatformServer, moments: list[float]) -> list[Process]:
    code = """
for number in range(1000):
    with tracked_task(id=f"run-{os.getpid()}-{number}", input="x" * 2000) as run:
        run.set_result("y")
    say("returned", run.id)
    time.sleep(0.005)
"""
    processes = []
    for moment in moments:
        process = python(code, server=server)
        processes.append(process)
        eventually(lambda process=process: process.lines)  # type: ignore[misc]  # It is at work.
        time.sleep(moment)
        process.kill()
    return processes


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_a_random_moment_nothing_returned_is_lost(
    python: Python, server: PlatformServer, restart: Restart, kills: int
) -> None:
    """
    What had not returned may arrive too, as interrupted; nothing is cut; of each life no more is sent twice than was
    under way: where answers come at once, that is one.
    """
    chance = random.Random(kills)
    processes = killed_at_random(python, server, [chance.uniform(0, 0.8) for _ in range(kills)])
    restart(server, timeout=120)
    expected = set().union(*map(returned, processes))
    assert len(expected) > kills
    assert expected - set(server.tasks) == set()
    assert {task["input"]["text"] for task in server.tasks.values()} <= {"x" * 2000, "question"}
    assert [name for name in expected if server.tasks[name]["result"] != "y"] == []
    assert duplicates(server) <= kills * WIDTH


def test_kill_with_a_backlog_sends_hardly_more_twice_than_were_under_way(
    python: Python, away: PlatformServer, restart: Restart
) -> None:
    python("runs(500)", server=away).wait()
    away.always = lambda _: time.sleep(0.02)  # type: ignore[func-returns-value]
    with away as server:
        process = python("run(500); threading.Event().wait()", server=server)
        server.wait_until(lambda: len(server.tasks) > 150)
        process.kill()
        server.always = None
        restart(server)
        assert set(server.tasks) == numbered(501) | next_ids()
        assert duplicates(server) <= WIDTH


# --- runs that are open at the end ---


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "os._exit"])
def test_run_that_is_open_when_the_process_dies_is_reported_as_interrupted(
    python: Python, server: PlatformServer, restart: Restart, home: Path, end: str
) -> None:
    process = python(f"with tracked_task(id='run-open', input='long'):\n    runs(3)\n    {ENDS[end]}", server=server)
    process.wait()
    restart(server)
    assert set(server.tasks) == numbered(3) | next_ids() | {"run-open"}
    task = server.tasks["run-open"]
    assert (task["status"], task["input"]["text"]) == ("failed", "long")
    assert task["result"].startswith("Interrupted")
    assert endings(home)["run-open"] == "interrupted"


def test_run_that_is_open_in_a_daemon_thread_at_exit_is_interrupted_at_the_next_start(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    code = """
def work():
    with tracked_task(id="run-open"):
        say("open")
        time.sleep(100)
threading.Thread(target=work, daemon=True).start()
while not outbox._dispatcher: time.sleep(0.01)
runs(3)
"""
    python(code, server=server).wait()
    restart(server)
    assert server.tasks["run-open"]["result"].startswith("Interrupted")
    assert set(server.tasks) == numbered(3) | next_ids() | {"run-open"}


def test_run_that_is_open_during_a_crash_of_the_interpreter_is_interrupted(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    python("with tracked_task(id='run-open'):\n    os.kill(os.getpid(), signal.SIGSEGV)", server=server).wait()
    restart(server)
    assert server.tasks["run-open"]["result"].startswith("Interrupted")


# --- late ---


def test_runs_in_the_users_own_exit_handlers_are_not_lost(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    """Registered before and after our own; and after an explicit shutdown."""
    code = """
atexit.register(run, "first registered")
run(0)
atexit.register(run, "last registered")
"""
    process = python(code, server=server).wait()
    restart(server)
    assert (process.code, process.errors) == (0, "")
    assert set(server.tasks) == {"run-0", "run-first registered", "run-last registered"} | next_ids()


def test_first_run_of_all_in_an_exit_handler_is_not_lost(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    """Python 3.12 and later start no thread any more by then."""
    process = python("atexit.register(run, 0)", server=server).wait()
    restart(server)
    assert (process.code, "Traceback" in process.errors, "never awaited" in process.errors) == (0, False, False)
    assert set(server.tasks) == numbered(1) | next_ids()


def test_runs_in_finalizers_at_the_end_of_the_interpreter_break_nothing(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    code = """
class Late:
    def __del__(self):
        run("late")
keep = Late()
run(0)
"""
    process = python(code, server=server).wait()
    restart(server)
    assert (process.code, "Traceback" in process.errors) == (0, False)
    assert {"run-0"} | next_ids() <= set(server.tasks)


def test_runs_after_shutdown_are_sent_by_the_next_process(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    process = python("runs(3); say(shutdown()); runs(3, 3)", server=server).wait()
    before = set(server.tasks)
    restart(server)
    assert (process.lines, before) == (["Flushed(delivered=3, pending=0, rejected=0, dropped=0)"], numbered(3))
    assert set(server.tasks) == numbered(6) | next_ids()


def test_without_threads_nothing_is_lost_and_nothing_said_at_exit_but_one_line(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    """The system is out of threads, or the interpreter is ending."""
    process = python("no_more_threads(); runs(20); finish()", server=server, options=[]).wait()
    restart(server)
    assert (process.code, set(server.tasks)) == (0, numbered(20) | next_ids())
    assert [word for word in ("Traceback", "never awaited", "ResourceWarning") if word in process.errors] == []


def test_without_threads_waiting_does_not_hang(python: Python, server: PlatformServer) -> None:
    code = """
no_more_threads()
run(0, wait=0.2)
for function in (flush, shutdown):
    try:
        say(function.__name__, function(0.2).delivered)
    except RuntimeError as error:
        say("raised", error)
finish()
"""
    process = python(code, server=server, options=[]).wait()
    assert process.lines[:2] == ["flush 0", "shutdown 0"]


def test_asyncio_run_twice_delivers_everything(python: Python, server: PlatformServer) -> None:
    code = """
async def main(first):
    async def one(number):
        async with tracked_task(id=f"run-{number}") as run:
            await asyncio.sleep(0)
    await asyncio.gather(*(one(number) for number in range(first, first + 50)))
asyncio.run(main(0))
asyncio.run(main(50))
"""
    process = python(f"{PATIENT}\n{code}", server=server).wait()
    assert (process.errors, set(server.tasks), duplicates(server)) == ("", numbered(100), 0)


# --- many ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "count", "most"), [("there", 5_000, 20), ("away", 5_000, 20), ("hanging", 10_000, 10)]
)
def test_burst_of_thousands_loses_nothing_and_takes_little_memory(
    python: Python, away: PlatformServer, restart: Restart, platform: str, count: int, most: float
) -> None:
    """*most* megabytes."""
    if platform != "away":
        away.start()
    if platform == "hanging":
        away.always = Answer(200, json={}, delay=99)
    code = f"""
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
run("first")
flush(0.5)
before = resident()
begun = time.monotonic()
runs({count})
say("took", time.monotonic() - begun)
time.sleep(1)
say("grew", resident() - before)
finish()
"""
    process = python(code, server=away).wait(120)
    figures = {line.split()[0]: float(line.split()[1]) for line in process.lines}
    if platform != "there":
        away.stop() if platform == "hanging" else None
        away.always = None
        away.start()
    restart(away, timeout=60)
    away.stop()
    assert set(away.tasks) == numbered(count) | {"run-first"} | next_ids()
    assert figures["grew"] < most
    assert process.leaving < 2.0 + SLACK
