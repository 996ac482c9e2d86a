"""``xpander-track push`` and ``doctor``: what waits, why, and getting it delivered."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xpander_track

from ..platform_server import Answer, PlatformServer

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "platform-key-0123456789"


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m xpander_track`` as a process of its own, or, if the first argument is code, that."""
    line = ["-c", arguments[0]] if "\n" in arguments[0] else ["-m", "xpander_track", *arguments]
    paths = {"PYTHONPATH": str(Path(xpander_track.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-W", "error", *line],
        check=False, capture_output=True, text=True, timeout=60, env={**os.environ, **paths, **environment},
    )  # fmt: skip


def record(count: int, agent_id: str | None = "agent-1", wait: float = 20, **environment: str) -> None:
    """So many runs, by a process that has ended, and has tried to deliver them for so many seconds."""
    code = f"""
from xpander_track import configure, flush, tracked_task
configure(exit_timeout=0.2)
for number in range({count}):
    with tracked_task(agent_id={agent_id!r}, id="{agent_id} " + str(number), input="why?"):
        pass
flush({wait})
"""
    assert process(code, **environment).returncode == 0


@pytest.fixture
def server() -> Iterator[PlatformServer]:
    with PlatformServer() as server:
        yield server


@pytest.fixture
def credentials(server: PlatformServer) -> dict[str, str]:
    return {"XPANDER_API_KEY": KEY, "XPANDER_BASE_URL": server.url}


def pushed(*arguments: str, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(process("push", "--json", *arguments, **environment).stdout)
    return {name: found[name] for name in ("delivered", "rejected", "pending", "elsewhere")}


def test_push_delivers_what_an_outage_has_left(server: PlatformServer, credentials: dict[str, str]) -> None:
    server.always = Answer(503)
    record(20, wait=0.5, **credentials)
    server.always = None
    assert pushed(**credentials) == {"delivered": 20, "rejected": 0, "pending": 0, "elsewhere": 0}
    assert len(server.tasks) == 20
    done = process("push", **credentials)
    assert (done.returncode, done.stdout) == (0, f"0 delivered, 0 rejected, 0 pending at {server.url}.\n")


def test_push_says_what_still_waits_and_why(server: PlatformServer, credentials: dict[str, str]) -> None:
    server.always = Answer(503)
    record(3, wait=0.5, **credentials)
    done = process("push", "--timeout", "1", **credentials)
    assert done.returncode == 1
    assert done.stdout == f"0 delivered, 0 rejected, 3 pending at {server.url} (HTTP 503).\n"


def test_push_gives_an_agent_to_runs_that_lack_one(server: PlatformServer, credentials: dict[str, str]) -> None:
    record(3, agent_id=None, **credentials)
    record(2, **credentials)
    assert set(server.tasks) == {"agent-1 0", "agent-1 1"}
    assert pushed(**credentials)["delivered"] == 0
    assert pushed("--agent-id", "late-agent", **credentials)["delivered"] == 3
    assert len(server.tasks) == 5
    agents = [run["agent_id"] for run in json.loads(process("runs", "--json").stdout)]
    assert agents == ["agent-1"] * 2 + ["late-agent"] * 3


def test_push_sends_runs_of_the_embedded_platform_on_if_asked(
    server: PlatformServer, credentials: dict[str, str]
) -> None:
    record(4)
    record(1, agent_id=None)
    assert pushed(**credentials)["delivered"] == 0
    assert pushed("--include-local", **credentials) == {"delivered": 4, "rejected": 1, "pending": 0, "elsewhere": 0}
    assert pushed("--include-local", "--agent-id", "a", **credentials)["delivered"] == 1
    assert pushed("--include-local", **credentials)["delivered"] == 0
    assert len(server.requests) == len(server.tasks) == 5


def test_push_leaves_what_waits_for_another_organization(server: PlatformServer, credentials: dict[str, str]) -> None:
    server.always = Answer(503)
    record(3, wait=0.5, XPANDER_ORGANIZATION_ID="theirs", **credentials)
    server.always = None
    found = pushed(XPANDER_ORGANIZATION_ID="ours", **credentials)
    assert found == {"delivered": 0, "rejected": 0, "pending": 0, "elsewhere": 3}
    assert server.tasks == {}


def test_push_without_a_platform_says_what_to_set() -> None:
    record(1)
    done = process("push")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("xpander-track: no XPANDER_API_KEY and no XPANDER_BASE_URL are set")


@pytest.mark.parametrize("arguments", [["--agent-id", " "], ["--timeout", "soon"], ["--timeout", "-1"]])
def test_push_refuses_wrong_arguments(arguments: list[str]) -> None:
    assert process("push", *arguments).returncode == 2


def test_push_shows_a_bar_on_a_terminal(server: PlatformServer, credentials: dict[str, str]) -> None:
    server.always = Answer(503)
    record(20, wait=0.5, **credentials)
    server.always = None
    ours, theirs = pty.openpty()
    paths = {"PYTHONPATH": str(Path(xpander_track.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "xpander_track", "push"],
        check=True, stdout=subprocess.PIPE, stderr=theirs, timeout=60, env={**os.environ, **paths, **credentials},
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert shown.startswith("\r[..............................] 0 of 20")
    assert shown.endswith("\r[##############################] 20 of 20\r\n")
    assert done.stdout.startswith(b"20 delivered")


# --- doctor ---


def findings(**environment: str) -> dict[str, tuple[str, bool]]:
    done = process("doctor", "--json", **environment)
    found = {one["name"]: (one["found"], one["is_well"]) for one in json.loads(done.stdout)}
    assert done.returncode == (0 if all(is_well for _, is_well in found.values()) else 1)
    assert KEY not in done.stdout + done.stderr
    return found


def test_doctor_says_that_a_platform_is_there(server: PlatformServer, credentials: dict[str, str], home: Path) -> None:
    record(2, **credentials)
    found = findings(XPANDER_AGENT_ID="agent-1", **credentials)
    assert found["platform"] == (server.url, True)
    assert found["api key"] == ("pla…89 (23 characters)", True)
    assert found["agent"] == ("agent-1", True)
    assert found["reachable"][0].startswith("yes, in ")
    assert found["home"][0].startswith(str(home))
    assert found["delivered"][0].startswith("2 runs")
    assert all(request.method == "GET" for request in server.requests[2:])


def test_doctor_says_what_waits_and_why(server: PlatformServer, credentials: dict[str, str]) -> None:
    server.always = Answer(401)
    record(3, wait=0.5, **credentials)
    found = findings(**credentials)
    assert found["reachable"] == ("yes, but it refuses the key (HTTP 401)", False)
    assert found["pending"][0].startswith("3 runs, ")
    # The first try may be under way still when its process ends.
    assert found["pending"][0].removesuffix(" (the API key was refused (HTTP 401))").endswith(" -")


def test_doctor_says_that_nobody_answers() -> None:
    found = findings(XPANDER_API_KEY=KEY, XPANDER_BASE_URL="http://127.0.0.1:9")
    assert found["reachable"][0].startswith("no: ")
    assert found["reachable"][1] is False


def test_doctor_without_a_platform_is_content() -> None:
    record(1)
    found = findings()
    assert found["platform"] == ("embedded: runs are recorded here", True)
    assert found["delivered"] == ("1 runs, recorded here", True)


def test_doctor_prints_a_line_for_each_with_a_mark_where_something_is_wrong() -> None:
    printed = process("doctor", XPANDER_API_KEY=KEY, XPANDER_BASE_URL="http://127.0.0.1:9").stdout
    lines = printed.splitlines()
    assert [line.split()[0 if line.startswith(" ") else 1] for line in lines][:3] == ["version", "platform", "api"]
    assert next(line for line in lines if line.startswith("!")).startswith("! reachable")


def test_push_does_not_hammer_a_platform_in_trouble(server: PlatformServer, credentials: dict[str, str]) -> None:
    server.always = Answer(503)
    record(5, wait=0.5, **credentials)
    before = len(server.requests)
    assert pushed("--timeout", "4", **credentials)["pending"] == 5
    assert len(server.requests) - before <= 8


@pytest.mark.parametrize("arguments", [["runs"], ["push"]])
def test_commands_forget_nothing_that_waits(
    server: PlatformServer, credentials: dict[str, str], arguments: list[str]
) -> None:
    """They do not know how much the program was told to keep."""
    server.always = Answer(503)
    code = """
import time
from unittest import mock
from xpander_track import configure, flush, tracked_task
configure(exit_timeout=0.1, keep_days=60)
now = time.time
with mock.patch("time.time", lambda: now() - 20 * 86_400):
    for number in range(10):
        with tracked_task(agent_id="agent-1"): pass
for _ in range(12): flush(0.2)
"""
    assert process(code, **credentials).returncode == 0
    server.always = None
    process(*arguments, **credentials)
    process("push", **credentials)
    assert len(server.tasks) == 10


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(302, headers={"location": "http://portal"}), "no: what answers sends us elsewhere (HTTP 302)"),
        (Answer(429), "yes, but it takes nothing now (HTTP 429)"),
        (Answer(503), "yes, but it takes nothing now (HTTP 503)"),
        (Answer(200, text="<html>log in</html>"), "no: what answers is not the platform, since its answer is no JSON"),
    ],
)
def test_doctor_says_when_nothing_would_be_delivered(
    server: PlatformServer, credentials: dict[str, str], answer: Answer, says: str
) -> None:
    server.always = answer
    assert findings(**credentials)["reachable"] == (says, False)


def test_doctor_says_that_it_did_not_ask() -> None:
    found = findings(XPANDER_BASE_URL="http://user:password@127.0.0.1:9")
    assert found["platform"] == ("http://127.0.0.1:9", True)
    assert found["reachable"][0].startswith("not tried: ")


def test_argument_that_is_no_text_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xpander_track", "show", b"\xff"], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, b"Traceback" in done.stderr, b"is not UTF-8" in done.stderr) == (2, False, True)
