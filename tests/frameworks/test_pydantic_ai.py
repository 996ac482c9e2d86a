"""Pydantic AI: tracked functions are an agent's tools, a run is around the agent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import current_run, track_task, track_tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpander_track.delivery.report import Report

pydantic_ai = pytest.importorskip("pydantic_ai", reason="Pydantic AI is not installed: see .ci/frameworks")
models = pytest.importorskip("pydantic_ai.models.test", reason="Pydantic AI is not installed: see .ci/frameworks")


def make() -> Any:
    agent = pydantic_ai.Agent(models.TestModel())

    @agent.tool_plain
    @track_tool
    def search(query: str, limit: int = 3) -> list[str]:
        """Search the web."""
        return [query] * limit

    @agent.tool_plain
    @track_tool
    async def fetch(url: str) -> str:
        """Fetch a page."""
        await asyncio.sleep(0)
        return f"page {url}, in a run: {bool(current_run())}"

    @agent.tool
    @track_task(agent_id="agent-2")
    async def delegate(context: pydantic_ai.RunContext[None], topic: str) -> str:  # type: ignore[name-defined]
        """Ask another agent."""
        return f"{topic} {type(context).__name__}"

    return agent


@track_task(agent_id="agent-1")
async def answer(agent: Any, question: str) -> str:
    given = await agent.run(question)
    return str(given.output)


def test_its_tools_are_recorded_in_the_run_around_it(recorded: Callable[[], list[Report]]) -> None:
    text = asyncio.run(answer(make(), "why?"))
    assert '"fetch":"page a, in a run: True"' in text
    runs = {run.agent_id: run for run in recorded()}
    assert sorted(runs["agent-1"].used_tools) == ["fetch", "search"]
    assert (runs["agent-1"].ending, runs["agent-1"].result) == ("completed", text)
    assert runs["agent-2"].result == "a RunContext"


def test_the_model_is_shown_the_tools_as_they_were_written(recorded: Callable[[], list[Report]]) -> None:
    model = models.TestModel()
    agent = make()
    asyncio.run(agent.run("why?", model=model))
    shown = {tool.name: tool for tool in model.last_model_request_parameters.function_tools}
    assert shown["search"].description == "Search the web."
    assert list(shown["search"].parameters_json_schema["properties"]) == ["query", "limit"]
    assert list(shown["delegate"].parameters_json_schema["properties"]) == ["topic"]
    assert [run.agent_id for run in recorded()] == ["agent-2"]
