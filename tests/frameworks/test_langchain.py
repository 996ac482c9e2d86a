"""LangChain: ``@tool`` over tracked functions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from xpander_track import track_task, track_tool, tracked_task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from xpander_track.delivery.report import Report

tools = pytest.importorskip("langchain_core.tools", reason="LangChain is not installed: see .ci/frameworks")
runnables = pytest.importorskip("langchain_core.runnables", reason="LangChain is not installed: see .ci/frameworks")


@tools.tool
@track_tool
def search(query: str, limit: int = 2) -> list[str]:
    """Search the web."""
    return [query] * limit


@tools.tool
@track_tool
async def fetch(url: str) -> str:
    """Fetch a page."""
    await asyncio.sleep(0)
    return f"page {url}"


@tools.tool
@track_task(agent_id="agent-2")
def delegate(topic: str) -> str:
    """Ask another agent."""
    return topic.upper()


def test_a_tool_is_what_its_function_is() -> None:
    assert (search.name, search.description) == ("search", "Search the web.")
    assert search.args == {
        "query": {"title": "Query", "type": "string"},
        "limit": {"default": 2, "title": "Limit", "type": "integer"},
    }
    assert fetch.coroutine is not None
    assert delegate.invoke({"topic": "a"}) == "A"


def test_tools_are_recorded_in_the_run_around_them(recorded: Callable[[], list[Report]]) -> None:
    with tracked_task(agent_id="agent-1"):
        assert search.invoke({"query": "a"}) == ["a", "a"]
    assert [(run.used_tools, run.tool_calls[0]["arguments"]) for run in recorded()] == [
        (["search"], {"query": "a", "limit": 2})
    ]


def test_asynchronous_tools_are_recorded_in_the_run_around_them(recorded: Callable[[], list[Report]]) -> None:
    """``ainvoke`` of a synchronous tool runs it in a thread, which inherits the run."""

    async def main() -> None:
        async with tracked_task(agent_id="agent-1"):
            assert await fetch.ainvoke({"url": "u"}) == "page u"
            assert await search.ainvoke({"query": "a"}) == ["a", "a"]

    asyncio.run(main())
    assert [run.used_tools for run in recorded()] == [["fetch", "search"]]


def test_a_tracked_function_is_a_link_of_a_chain(recorded: Callable[[], list[Report]]) -> None:
    @track_task(agent_id="agent-1")
    async def upper(text: str) -> str:
        return text.upper()

    @track_task(agent_id="agent-1")
    async def stream(texts: AsyncIterator[str]) -> AsyncGenerator[str, None]:
        async for text in texts:
            yield f"{text}!"

    chain = runnables.RunnableLambda(upper) | runnables.RunnableGenerator(stream)
    assert asyncio.run(chain.ainvoke("a")) == "A!"
    assert [(run.ending, run.result) for run in recorded()] == [("completed", "A"), ("completed", "A!")]
