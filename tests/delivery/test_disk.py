"""A disk that is full, slow, damaged or gone: the user's calls are untouched, and runs arrive all the same."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import configure
from xpander_track.delivery.journal import line_of

from ..platform_server import Answer
from .conftest import QUIET, STARTED_AT, endings, eventually, journals, next_ids, numbered, posts, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


def number_of(run_id: str) -> int:
    return int(run_id.rpartition("-")[2])


def test_disk_that_is_full_from_the_beginning_runs_are_sent_from_memory(python: Python, server: PlatformServer) -> None:
    process = python(f"{FULL}\nfull()\nruns(200); say(flush()); finish()", server=server, options=[]).wait()
    assert (process.code, set(server.tasks)) == (0, numbered(200))
    assert process.lines[0] == "Flushed(delivered=200, pending=0, rejected=0, dropped=0)"
    assert ("Traceback" in process.errors, process.leaving < 4.0) == (False, True)
    assert set(posts(server).values()) == {1}


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


def test_disk_that_is_full_from_the_beginning_is_used_when_there_is_room(
    python: Python, server: PlatformServer, home: Path
) -> None:
    """What was sent from memory meanwhile goes into the history too."""
    code = f"""{FULL}
full()
runs(10)
say(flush().delivered)
{ROOM}
time.sleep(1.5)
runs(10, 10)
say(flush().delivered)
"""
    process = python(code, server=server, options=[]).wait()
    assert (process.lines, set(server.tasks)) == (["10", "20"], numbered(20))
    assert (states(home), journals(home)) == (dict.fromkeys(sorted(numbered(20), key=number_of), "delivered"), [])


def test_history_is_complete_when_there_is_room_again_without_any_new_run(
    python: Python, server: PlatformServer, home: Path
) -> None:
    code = f"""{FULL}
run(0)
flush()
full()
runs(10, 1)
flush()
{ROOM}
say("room")
sys.stdin.read()
time.sleep(60)
"""
    python(code, server=server, options=[]).until("room")
    eventually(lambda: states(home) == dict.fromkeys(sorted(numbered(11), key=number_of), "delivered"))


@pytest.mark.parametrize("first", [[], [Answer(503)] * 2])
def test_disk_that_is_full_when_a_fork_has_closed_the_store_runs_are_sent_from_memory(
    python: Python, server: PlatformServer, home: Path, first: list[Answer]
) -> None:
    """Then it cannot be opened again, not even to be read."""
    code = f"""{FULL}
runs(10)
flush({0.3 if first else 5})
full()
if not os.fork():
    os._exit(0)
runs(10, 10)
say(flush(5).delivered)
{ROOM}
time.sleep(1.2)
run(20)
say(flush(5))
"""
    server.answers(first)
    process = python(code, server=server, options=QUIET).wait()
    assert [line for line in process.errors.splitlines() if "Runs cannot" not in line] == []
    assert process.lines == [["20", "10"][bool(first)], "Flushed(delivered=21, pending=0, rejected=0, dropped=0)"]
    assert (set(server.tasks), set(states(home).values())) == (numbered(21), {"delivered"})


def test_run_that_ends_on_a_full_disk_is_sent_as_it_ended(python: Python, server: PlatformServer, home: Path) -> None:
    """Though the disk has it as it began, or as it was half way, and the platform was away then."""
    code = f"""{FULL}
configure(timeout=1)
with tracked_task(id="run-begun") as begun, tracked_task(id="run-half") as half:
    half.report_progress(result="half")
    time.sleep(0.3)
    full()
    half.set_result("whole")
    begun.set_result("whole")
flush(5)
{ROOM}
time.sleep(1.2)
run(0)
say(flush(5).pending)
"""
    server.answers([Answer(503)] * 2)
    process = python(code, server=server, options=[]).wait()
    assert process.lines == ["0"]
    last = {request.json["id"]: request.json["result"] for request in server.requests}
    assert (last["run-begun"], last["run-half"]) == ("whole", "whole")
    assert endings(home) == dict.fromkeys(endings(home), "completed")


def test_memory_that_takes_the_place_of_a_full_disk_is_bounded_and_what_is_dropped_is_counted(
    python: Python, away: PlatformServer
) -> None:
    code = f"""{FULL}
from xpander_track.delivery import queue
queue._IN_MEMORY = xpander_track.limits.Limits(bytes=300_000)
full()
for number in range(100):
    with tracked_task(id=f"run-{{number}}", input="x" * 10_000): pass
    time.sleep(0.01)
say(flush(0))
say("ready")
say(flush(20))
"""
    process = python(code, server=away, options=[])
    process.until("ready")
    with away as server:
        ended = process.wait()
    before, _, after = ended.lines
    pending = int(before.split("pending=")[1].split(",")[0])
    assert 10 < pending < 30  # of which each takes 12 kB
    assert before == f"Flushed(delivered=0, pending={pending}, rejected=0, dropped={100 - pending})"
    assert after == f"Flushed(delivered={pending}, pending=0, rejected=0, dropped={100 - pending})"
    assert set(server.tasks) == numbered(pending, 100 - pending)
    assert "were dropped" in ended.errors


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_platform_that_is_away_for_days_fills_no_disk_and_the_newest_are_kept(
    python: Python, away: PlatformServer, home: Path, restart: Restart
) -> None:
    """Sixty megabytes of runs, and room for five."""
    code = """
configure(keep_bytes=5_000_000)
for number in range(600):
    with tracked_task(id=f"run-{number}", input="x" * 100_000): pass
    if number % 50 == 0: time.sleep(0.05)
while flush(0.5) != (flushed := flush(0.5)): pass  # Until all of it is recorded.
say(flushed)
"""
    process = python(code, server=away).wait()
    told = dict(part.split("=") for part in process.lines[0][len("Flushed(") : -1].split(", "))
    kept = int(told["pending"])
    assert told == {"delivered": "0", "pending": str(kept), "rejected": "0", "dropped": str(600 - kept)}
    assert (20 < kept < 100, size_of(home) < 20_000_000, "were dropped" in process.errors) == (True, True, True)
    with away as server:
        restart(server)
        assert set(server.tasks) == numbered(kept, 600 - kept) | next_ids()


@pytest.mark.parametrize(
    "wrong", [{"keep_bytes": 0}, {"keep_bytes": 1.5}, {"keep_runs": "5"}, {"keep_days": 0}, {"keep_days": float("nan")}]
)
def test_limit_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a"):
        configure(**wrong)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """One megabyte, all in all."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: that takes a privileged user")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("pause", [0, 0.002, 0.01])
def test_disk_of_a_megabyte_loses_nothing(
    python: Python, server: PlatformServer, small_disk: Path, pause: float
) -> None:
    """
    Two megabytes of runs, while nothing can be sent: a real file system that is full.

    By *pause* it is full of the journal, of both, or of the store, where then not even outcomes have room.
    """
    server.answers([Answer(503)] * 2)
    code = f"""
for number in range(200):
    with tracked_task(id=f"run-{{number}}", input="x" * 10_000): pass
    time.sleep({pause})
began = time.monotonic()
say(flush(20))
say(time.monotonic() - began < 10)
finish()
"""
    home = {"XPANDER_TRACK_HOME": str(small_disk / "home")}
    process = python(code, server=server, options=[], **home).wait()
    told = ["Flushed(delivered=200, pending=0, rejected=0, dropped=0)", "True"]
    assert (process.code, process.lines[:2]) == (0, told)
    assert (set(server.tasks), process.leaving < 4.0) == (numbered(200), True)
    assert [line for line in process.errors.splitlines() if "Runs cannot" not in line] == []
    python("run(200); flush(20)", server=server, options=[], **home).wait()
    assert (set(server.tasks), len(server.requests)) == (numbered(201), 203)


def test_home_below_a_file_and_no_environment_at_all_deliver_from_memory(
    python: Python, server: PlatformServer, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    process = python(
        "runs(200); say(flush()); finish()",
        server=server, options=[], XPANDER_TRACK_HOME=str(tmp_path / "file" / "home"),
    ).wait()  # fmt: skip
    assert process.lines[0] == "Flushed(delivered=200, pending=0, rejected=0, dropped=0)"
    assert (set(server.tasks), len(process.errors.splitlines())) == (numbered(200), 1)


def test_calls_are_not_slowed_down_by_a_full_disk(python: Python, server: PlatformServer) -> None:
    code = f"""{FULL}
full()
run("first")
begun = time.process_time()
runs(200)
say(time.process_time() - begun < 2)
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
    server.wait_until(lambda: len(server.tasks) == 10_001, 120)
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
