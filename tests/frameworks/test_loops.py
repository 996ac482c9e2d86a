"""uvloop, and anyio on trio."""

from __future__ import annotations

import asyncio
import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from xpander_track import current_run, record_tool, track_task, tracked_task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from xpander_track.delivery.report import Report


@track_task(agent_id="agent-1")
async def words() -> AsyncGenerator[str, None]:
    for word in ("to", "be"):
        await asyncio.sleep(0)
        yield word


@pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed: see .ci/frameworks")
def test_uvloop_runs_tasks_threads_and_generators(recorded: Callable[[], list[Report]]) -> None:
    uvloop = importlib.import_module("uvloop")

    async def child() -> None:
        record_tool("child")

    async def main() -> None:
        async with tracked_task(agent_id="agent-1") as run:
            await asyncio.gather(child(), asyncio.create_task(child()))
            assert await asyncio.to_thread(current_run) is run
            assert [word async for word in words()] == ["to", "be"]
            left = words()
            await left.__anext__()
            del left
        # What nobody reads any more is closed at the end of the loop.
        kept.append(words())
        await kept[0].__anext__()

    kept: list[AsyncGenerator[str, None]] = []
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    else:
        uvloop.install()
        asyncio.run(main())
        asyncio.set_event_loop_policy(None)
    runs = recorded()
    assert runs[0].used_tools == ["child", "child"]
    assert sorted(str(run.ending) for run in runs) == ["completed", "completed", "stopped_early", "stopped_early"]


@pytest.mark.skipif(find_spec("trio") is None, reason="trio is not installed: see .ci/frameworks")
def test_trio_has_runs_by_their_handle(recorded: Callable[[], list[Report]]) -> None:
    """Without asyncio's tasks a run is current in its thread."""
    trio = importlib.import_module("trio")

    @track_task(agent_id="agent-1")
    async def answer(question: str) -> str:
        await trio.sleep(0)
        return question.upper()

    @track_task(agent_id="agent-1")
    async def stream() -> AsyncGenerator[str, None]:
        with trio.move_on_after(0.01):
            yield "a"
            await trio.sleep_forever()
        yield "b"

    async def main() -> None:
        async with tracked_task(agent_id="agent-1") as run:
            run.record_tool("by hand")
        assert await answer("why?") == "WHY?"
        assert [word async for word in stream()] == ["a", "b"]

    trio.run(main)
    assert [(run.ending, run.used_tools) for run in recorded()] == [
        ("completed", ["by hand"]), ("completed", []), ("completed", []),
    ]  # fmt: skip
