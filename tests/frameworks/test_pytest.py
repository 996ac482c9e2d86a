"""pytest: tracked fixtures and tests, of pytest itself, of pytest-asyncio and of anyio's plugin."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from xpander_track import tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xpander_track.delivery.report import Report

SYNC = """
import pytest
from xpander_track import current_run, track_task

@pytest.fixture
@track_task(agent_id="fixture")
def given(request): return request.node.name

@pytest.fixture
@track_task(agent_id="yielding")
def yielded(given):
    yield given.upper()
    assert current_run()

@pytest.mark.parametrize("number", [1, 2])
@track_task(agent_id="test")
def test_one(given, yielded, number):
    assert yielded == given.upper()
    assert current_run()

class TestMore:
    @track_task(agent_id="test")
    def test_two(self, yielded):
        assert yielded == "TEST_TWO"
"""
ASYNC = """
import asyncio
import pytest
from xpander_track import current_run, track_task
{more}

@{fixture}
@track_task(agent_id="fixture")
async def given():
    await asyncio.sleep(0)
    return "a"

@{fixture}
@track_task(agent_id="yielding")
async def yielded(given):
    yield given.upper()
    assert current_run()

@{mark}
@track_task(agent_id="test")
async def test_one(yielded):
    await asyncio.sleep(0)
    assert yielded == "A"
    assert current_run()
"""
ASYNCIO = {"more": "import pytest_asyncio", "fixture": "pytest_asyncio.fixture", "mark": "pytest.mark.asyncio"}
ANYIO = {
    "more": "anyio_backend = pytest.fixture(lambda: 'asyncio')",
    "fixture": "pytest.fixture",
    "mark": "pytest.mark.anyio",
}
EACH_ONCE = {"fixture": 1, "yielding": 1, "test": 1}


def needs(plugin: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(plugin) is None, reason=f"{plugin} is not installed: see .ci/frameworks")


@pytest.mark.parametrize(
    ("text", "plugin", "agents"),
    [
        (SYNC, None, {"fixture": 3, "yielding": 3, "test": 3}),
        pytest.param(ASYNC.format(**ASYNCIO), "pytest_asyncio", EACH_ONCE, marks=needs("pytest_asyncio")),
        pytest.param(ASYNC.format(**ANYIO), "anyio", EACH_ONCE, marks=needs("anyio")),
    ],
    ids=["pytest", "pytest-asyncio", "anyio"],
)
def test_tracked_tests_and_fixtures_are_runs(
    text: str, plugin: str | None, agents: dict[str, int], tmp_path: Path, recorded: Callable[[], list[Report]]
) -> None:
    (tmp_path / "test_tracked.py").write_text(text)
    # pytest-asyncio wants this to be said; it is not to be there otherwise.
    scope = (
        "asyncio_default_fixture_loop_scope = function\n" if plugin == "pytest_asyncio" else "addopts = -p no:asyncio\n"
    )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{scope}")
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(tmp_path)]
    ended = subprocess.run(line, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    with tracked_task(agent_id="here"):
        pass
    runs = [run for run in recorded() if run.agent_id != "here"]
    assert {agent: sum(run.agent_id == agent for run in runs) for agent in agents} == agents
    assert {run.ending for run in runs} == {"completed"}
