"""Objects that OpenAI's agents SDK makes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = "It is 4 degrees."


def response(prompt: int, completion: int, cached: int, *output: dict[str, Any]) -> dict[str, Any]:
    # One id for all, as some servers have it.
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
            "output_tokens": completion, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + completion,
        },
    }  # fmt: skip


def call(name: str, number: int) -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{number}", "call_id": f"c_{number}", "name": name, "arguments": "{}"}


ANSWER = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
}  # fmt: skip
FIRST = response(100, 20, 64, call("get_weather", 1), call("lookup", 2))
LAST = response(150, 8, 100, ANSWER)


@pytest.fixture
def agents() -> Any:
    agents = pytest.importorskip("agents", reason="openai-agents is not installed")
    agents.set_tracing_disabled(True)
    return agents


def agent(agents: Any, server: ModelServer, *names: str, **options: Any) -> Any:
    openai = pytest.importorskip("openai", reason="openai is not installed")
    model = agents.OpenAIResponsesModel("m", openai.AsyncOpenAI(base_url=server.url, api_key="k"))

    def tool(name: str) -> Any:
        return agents.function_tool(lambda: "found", name_override=name)

    return agents.Agent("a", model=model, tools=[tool(name) for name in names], **options)


def test_a_run(agents: Any, server: ModelServer, expect: Expect) -> None:
    server.says(FIRST, LAST)
    result = asyncio.run(agents.Runner.run(agent(agents, server, "get_weather", "lookup"), "x"))
    expect(result, 250, 28, 164, 0, tools=["get_weather", "lookup"], text=TEXT)
    expect(result.raw_responses, 250, 28, 164, 0, tools=["get_weather", "lookup"], text=TEXT)
    expect(result.context_wrapper.usage, 250, 28, 164, 0)


def test_a_streamed_run_and_its_events(agents: Any, server: ModelServer, expect: Expect) -> None:
    server.says(
        *(
            [
                {"type": "response.created", "sequence_number": 0, "response": {**body, "output": [], "usage": None}},
                {"type": "response.completed", "sequence_number": 1, "response": body},
            ]
            for body in (FIRST, {**LAST, "id": "resp_2"})
        )
    )

    async def main() -> tuple[Any, list[Any]]:
        result = agents.Runner.run_streamed(agent(agents, server, "get_weather", "lookup"), "x")
        return result, [event async for event in result.stream_events()]

    result, events = asyncio.run(main())
    expect(result, 250, 28, 164, 0, tools=["get_weather", "lookup"], text=TEXT)
    expect(events, 250, 28, 164, 0, tools=["get_weather", "lookup"], text=TEXT)


def test_a_handoff_is_a_call(agents: Any, server: ModelServer, expect: Expect) -> None:
    server.says(response(30, 8, 0, call("transfer_to_a", 1)), LAST)
    first = agent(agents, server, handoffs=[agent(agents, server)])
    expect(asyncio.run(agents.Runner.run(first, "x")), 180, 16, 100, 0, tools=["transfer_to_a"], text=TEXT)


def test_a_failed_run_has_cost(agents: Any, server: ModelServer, expect: Expect) -> None:
    server.says(FIRST, FIRST)
    with pytest.raises(agents.MaxTurnsExceeded) as failed:
        asyncio.run(agents.Runner.run(agent(agents, server, "get_weather", "lookup"), "x", max_turns=1))
    expect(failed.value, 100, 20, 64, 0, tools=["get_weather", "lookup"])


def test_nothing_was_asked(agents: Any, expect: Expect) -> None:
    expect(agents.Usage(), None, None)
