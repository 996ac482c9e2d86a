"""A disk that is full, slow, damaged or gone: the user's calls are untouched, and runs arrive all the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from xpander_track.delivery.journal import line_of

from .conftest import STARTED_AT, eventually, numbered, posts, states

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..platform_server import PlatformServer
    from .conftest import Ended, Python

    Restart = Callable[..., Ended]

# What the shell's `ulimit -f` does; a full disk behaves alike.
FULL = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def full(size=0):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
"""
ROOM = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"


def test_disk_that_is_full_from_the_beginning_runs_are_sent_from_memory(python: Python, server: PlatformServer) -> None:
    process = python(f"{FULL}\nfull()\nruns(200); say(flush()); finish()", server=server, options=[]).wait()
    assert (process.code, set(server.tasks)) == (0, numbered(200))
    assert process.lines[0] == "Flushed(delivered=200, pending=0, rejected=0, dropped=0)"
    assert ("Traceback" in process.errors, process.leaving < 4.0) == (False, True)
    assert set(posts(server).values()) == {1}


@pytest.mark.xfail(
    reason="what the store cannot record waits, in the journal or in memory, until there is room",
    strict=False,  # Some of it may arrive before the disk is full.
)
def test_disk_that_fills_up_meanwhile_runs_are_sent_from_memory(python: Python, server: PlatformServer) -> None:
    code = f"""{FULL}
runs(100)
flush()
full()
runs(100, 100)
say(flush())
finish()
"""
    process = python(code, server=server, options=[]).wait()
    assert (process.code, set(server.tasks)) == (0, numbered(200))
    assert process.lines[0] == "Flushed(delivered=200, pending=0, rejected=0, dropped=0)"
    assert set(posts(server).values()) == {1}


def test_disk_that_is_full_for_a_while_is_used_again_when_there_is_room(
    python: Python, server: PlatformServer, home: Path
) -> None:
    code = f"""{FULL}
runs(10)
flush()
full()
runs(10, 10)
time.sleep(1.5)
{ROOM}
runs(10, 20)
say(flush(20))
"""
    process = python(code, server=server, options=[]).wait()
    assert process.lines == ["Flushed(delivered=30, pending=0, rejected=0, dropped=0)"]
    assert (set(server.tasks), set(posts(server).values())) == (numbered(30), {1})
    assert states(home).keys() >= numbered(10) | numbered(10, 20)


def test_calls_are_not_slowed_down_by_a_full_disk(python: Python, server: PlatformServer) -> None:
    code = f"""{FULL}
full()
begun = time.monotonic()
runs(200)
say(time.monotonic() - begun < 2)
"""
    assert python(code, server=server, options=[]).wait().lines == ["True"]


def test_full_disk_is_said_once(python: Python, server: PlatformServer) -> None:
    process = python(f"{FULL}\nfull()\nruns(50); flush()", server=server, options=[]).wait()
    assert len(process.errors.splitlines()) == 1, process.errors


def test_lines_that_cannot_be_read_are_kept_beside(python: Python, server: PlatformServer, home: Path) -> None:
    """As a newer version may have written them; it will know what to do with them."""
    python("runs(3); os.kill(os.getpid(), signal.SIGKILL)", server=server, XPANDER_BASE_URL="http://127.0.0.1:9").wait()
    (journal,) = (home / "journal").iterdir()
    odd = [b"7 not ours\n", b'8 {"id": "run-newer", "of": "tomorrow"}\n']
    with journal.open("ab") as file:
        file.writelines(odd)
    python("run(3)", server=server).wait()
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and "sqlite" not in path.name)
    assert [line for line in odd if line not in kept] == []


@pytest.mark.slow
def test_dead_journals_by_the_thousand_do_not_hold_up_the_start(
    python: Python, server: PlatformServer, home: Path
) -> None:
    (home / "journal").mkdir(parents=True)
    for number in range(10_000):
        report = {
            "id": f"run-{number}", "stage": "ended", "agent_id": "a", "name": None, "started_at": STARTED_AT,
            "ending": "completed", "destinations": [f"platform {server.url} -"],
        }  # fmt: skip
        line = line_of(1, json.dumps(report).encode())
        (home / "journal" / f"{number}-000000000000.jsonl").write_bytes(line)
    code = """
begun = time.monotonic()
run("own")
say(time.monotonic() - begun)
finish()
threading.Event().wait(60)
"""
    process = python(code, server=server)
    eventually(lambda: process.lines)
    server.wait_until(lambda: len(server.tasks) == 10_001, 60)
    assert float(process.lines[0]) < 1.0


def test_wall_clock_that_jumps_disturbs_nothing(python: Python, server: PlatformServer) -> None:
    code = """
real, offsets = time.time, iter(range(10**9))
time.time = lambda: real() + (-86400, 2 * 86400)[next(offsets) % 2]
runs(100, pause=0.002)
say(flush())
"""
    process = python(code, server=server).wait()
    assert process.lines == ["Flushed(delivered=100, pending=0, rejected=0, dropped=0)"]
    assert min(request.json["duration"] for request in server.requests) >= 0
