"""Several processes at one home: they share the work, and the living take over from the dead."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

from .conftest import eventually, journals, next_ids, numbered, posts, states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..platform_server import PlatformServer
    from .conftest import Ended, Python

    Restart = Callable[..., Ended]

# "within about ten seconds", on a busy machine.
SOON = 30.0


def test_processes_that_run_at_once_report_each_run_once(python: Python, server: PlatformServer, home: Path) -> None:
    processes = [
        python(f"configure(exit_timeout=30); runs(100, {first}, pause=0.002)", server=server)
        for first in range(0, 400, 100)
    ]
    assert [process.wait().errors for process in processes] == [""] * 4
    assert (set(server.tasks), set(posts(server).values())) == (numbered(400), {1})
    assert (journals(home), set(states(home).values())) == ([], {"delivered"})


def test_neighbour_takes_over_from_a_killed_process(python: Python, away: PlatformServer, home: Path) -> None:
    dying = python("runs(50); say('ready'); time.sleep(60)", server=away)
    dying.until("ready")
    living = python("run('living'); say('ready'); time.sleep(60)", server=away)
    living.until("ready")
    dying.kill()
    with away as server:
        server.wait_until(lambda: set(server.tasks) == numbered(50) | {"run-living"}, SOON)
        eventually(lambda: set(states(home).values()) == {"delivered"})
        assert set(posts(server).values()) == {1}


def test_neighbour_reports_a_killed_processs_open_run_as_interrupted(python: Python, server: PlatformServer) -> None:
    dying = python("with tracked_task(id='run-open'):\n    say('ready'); time.sleep(60)", server=server)
    dying.until("ready")
    living = python("run('living'); say('ready'); time.sleep(60)", server=server)
    living.until("ready")
    dying.kill()
    server.wait_until(lambda: "run-open" in server.tasks, SOON)
    assert server.tasks["run-open"]["result"].startswith("Interrupted")


def test_stopped_process_keeps_its_runs_and_sends_them_when_it_goes_on(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    """It is alive: nobody else sends what it may send itself at any moment."""
    server.always = lambda _: time.sleep(0.02)  # type: ignore[func-returns-value]
    process = python("runs(200); flush(50)", server=server)
    server.wait_until(lambda: len(server.tasks) > 20)
    process.send(signal.SIGSTOP)
    restart(server)
    process.send(signal.SIGCONT)
    process.wait()
    restart(server)
    assert set(server.tasks) == numbered(200) | next_ids(0, 1)
    assert max(posts(server).values()) == 1


def test_stop_longer_than_a_request_may_take_makes_no_second_post(python: Python, server: PlatformServer) -> None:
    """The answer came while the process could not read it."""
    server.always = lambda _: time.sleep(0.5)  # type: ignore[func-returns-value]
    process = python("configure(timeout=3); runs(20); say(flush(50).delivered)", server=server)
    server.wait_until(lambda: server.requests)
    process.send(signal.SIGSTOP)
    time.sleep(5)
    process.send(signal.SIGCONT)
    assert process.wait().lines == ["20"]
    assert (set(server.tasks), set(posts(server).values())) == (numbered(20), {1})


def test_stopped_and_then_killed_process_loses_nothing(
    python: Python, server: PlatformServer, restart: Restart
) -> None:
    server.always = lambda _: time.sleep(0.02)  # type: ignore[func-returns-value]
    process = python("runs(200); say('ready'); time.sleep(60)", server=server)
    process.until("ready")
    server.wait_until(lambda: len(server.tasks) > 20)
    process.send(signal.SIGSTOP)
    process.kill()
    restart(server)
    assert set(server.tasks) == numbered(200) | next_ids()


def test_two_that_start_at_once_do_not_both_send_what_a_dead_one_left(python: Python, away: PlatformServer) -> None:
    python("runs(200)", server=away).wait()
    with away as server:
        server.always = lambda _: time.sleep(0.01)  # type: ignore[func-returns-value]
        heirs = [python(f"run({number}); flush(50)", server=server) for number in range(200, 204)]
        assert [heir.wait().code for heir in heirs] == [0] * 4
        assert (set(server.tasks), set(posts(server).values())) == (numbered(204), {1})


def test_neighbour_that_holds_the_stores_lock_holds_up_no_call(
    python: Python, server: PlatformServer, home: Path, restart: Restart
) -> None:
    """Stopped in the middle of a transaction, for longer than SQLite waits."""
    python("run('first')", server=server).wait()
    with contextlib.closing(sqlite3.connect(home / "runs.sqlite3", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        code = """
begun = time.monotonic()
runs(50)
say(time.monotonic() - begun < 2)
finish()
"""
        process = python(code, server=server).wait()
        db.execute("ROLLBACK")
    restart(server)
    assert (process.lines[0], process.leaving < 8.0, "Traceback" in process.errors) == ("True", True, False)
    assert set(server.tasks) == numbered(50) | {"run-first"} | next_ids()


def test_lock_that_is_held_for_a_while_delays_and_does_not_repeat(
    python: Python, server: PlatformServer, home: Path
) -> None:
    process = python("runs(20); flush(); say('ready'); runs(20, 20); say(flush(50))", server=server)
    process.until("ready")
    with contextlib.closing(sqlite3.connect(home / "runs.sqlite3", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        time.sleep(3.0)
        db.execute("ROLLBACK")
    process.until("Flushed(delivered=40, pending=0, rejected=0, dropped=0)")
    assert (set(server.tasks), set(posts(server).values())) == (numbered(40), {1})


def test_command_line_sees_the_runs_of_others_and_disturbs_nobody(
    python: Python, away: PlatformServer, home: Path
) -> None:
    dead = python("runs(5); os.kill(os.getpid(), signal.SIGKILL)", server=away)
    dead.wait()
    living = python("runs(5, 5); say('ready'); sys.stdin.read(); time.sleep(60)", server=away)
    living.until("ready")
    code = "from xpander_track.cli import main; sys.exit(main(['runs', '--json']))"
    shown = python(code).wait()
    assert (shown.code, sum('"id": "run-' in line for line in shown.lines)) == (0, 10)
    with away as server:
        server.wait_until(lambda: set(server.tasks) == numbered(10), SOON)
