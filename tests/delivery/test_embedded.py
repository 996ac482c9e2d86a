"""The embedded platform: a fresh machine, no key, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpander_track import AgentExecutionStatus, Receipt, flush, tracked_task

from .conftest import endings, journals, numbered, states

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from .conftest import Python


def test_runs_are_recorded_and_answered_without_a_network(python: Python, home: Path) -> None:
    code = """
no_network()
runs(20)
with tracked_task(wait=10) as waited: waited.set_result("done")
async def main():
    async with tracked_task(wait=10) as run: pass
    return run
for task in (waited.receipt.task, asyncio.run(main()).receipt.task):
    say(task.status, task.organization_id, task.created_at is not None)
say(flush())
say("httpx" in sys.modules)
from xpander_track.cli import main as command
command(["stats"])
"""
    process = python(code).wait()
    assert process.lines[:4] == [
        "completed local True",
        "completed local True",
        "Flushed(delivered=22, pending=0, rejected=0, dropped=0)",
        "False",
    ]
    assert (process.code, "agent-1" in "".join(process.lines[4:]), journals(home)) == (0, True, [])
    assert (set(endings(home).values()), len(endings(home))) == ({"completed"}, 22)


def test_it_is_said_once_where_runs_are_kept(python: Python, home: Path) -> None:
    process = python("runs(20); flush()").wait()
    (line,) = process.errors.splitlines()
    assert line == (
        f"No XPANDER_API_KEY and no XPANDER_BASE_URL: runs are recorded on this machine, in {home}. "
        "`xpander-track runs` shows them."
    )


def test_failed_run_is_a_failed_task(caplog: pytest.LogCaptureFixture) -> None:
    with tracked_task(agent_id="agent-1") as run:
        run.fail("it did not work")
    task = run.reported(10)
    assert task is not None
    assert (task.id, task.status, task.result) == (run.id, AgentExecutionStatus.Failed, "it did not work")


def test_receipt_says_where(home: Path) -> None:
    with tracked_task(agent_id="agent-1") as run:
        pass
    task = run.reported(10)
    assert run.receipt == Receipt("delivered", str(home), "", task)


def test_run_without_an_agent_is_kept(home: Path) -> None:
    with tracked_task(id="run-0"):
        pass
    flush()
    assert states(home) == {"run-0": "delivered"}


def test_base_url_without_a_key_keeps_runs_for_the_day_there_is_one(python: Python, home: Path) -> None:
    process = python("runs(5); finish()", XPANDER_BASE_URL="http://127.0.0.1:9").wait()
    assert (process.code, states(home)) == (0, dict.fromkeys(sorted(numbered(5)), "pending"))


def test_runs_of_the_embedded_platform_stay_there_when_a_key_comes(python: Python, home: Path) -> None:
    """They are sent on by `xpander-track push`, never by themselves."""
    python("runs(5)").wait()
    process = python("run(5); flush(0.2)", XPANDER_API_KEY="key-1", XPANDER_BASE_URL="http://127.0.0.1:9").wait()
    assert process.code == 0
    assert states(home) == {**dict.fromkeys(sorted(numbered(5)), "delivered"), "run-5": "pending"}


def test_killed_process_loses_nothing(python: Python, home: Path) -> None:
    python("runs(200); os.kill(os.getpid(), signal.SIGKILL)").wait()
    python("run(200)").wait()
    assert states(home) == dict.fromkeys((f"run-{number}" for number in range(201)), "delivered")
