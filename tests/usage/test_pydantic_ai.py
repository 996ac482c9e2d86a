"""Objects that pydantic-ai makes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from .conftest import Api, Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

REASON = "pydantic-ai is not installed"
TEXT = "It is 4 degrees."


class City(BaseModel):
    city: str


def agent(**options: Any) -> Any:
    """Calls two tools, and answers."""
    pydantic_ai = pytest.importorskip("pydantic_ai", reason=REASON)
    messages = pytest.importorskip("pydantic_ai.messages", reason=REASON)
    models = pytest.importorskip("pydantic_ai.models.function", reason=REASON)
    usage = pytest.importorskip("pydantic_ai.usage", reason=REASON).RequestUsage

    def turn(history: list[Any], info: Any) -> Any:
        if info.output_tools:
            call = messages.ToolCallPart(info.output_tools[0].name, {"city": "Oslo"})
            return messages.ModelResponse([call], usage=usage(input_tokens=60, output_tokens=12))
        if any(part.part_kind == "tool-return" for part in history[-1].parts):
            last = usage(input_tokens=150, output_tokens=8, cache_read_tokens=100)
            return messages.ModelResponse([messages.TextPart(TEXT)], usage=last)
        calls = [messages.ToolCallPart("get_weather", {"city": "Oslo"}), messages.ToolCallPart("lookup", {"id": 1})]
        first = usage(input_tokens=100, output_tokens=20, cache_read_tokens=64, cache_write_tokens=8)
        return messages.ModelResponse([messages.ThinkingPart("hm"), messages.TextPart("Looking."), *calls], usage=first)

    made = pydantic_ai.Agent(models.FunctionModel(turn), **options)

    @made.tool_plain
    def get_weather(city: str) -> str:
        return f"4 degrees in {city}"

    @made.tool_plain
    def lookup(id: int) -> str:  # noqa: A002
        return f"found {id}"

    return made


def test_a_run(expect: Expect) -> None:
    result = agent().run_sync("weather?")
    expect(result, 250, 28, 164, 8, tools=["get_weather", "lookup"], text=TEXT)
    expect(result.all_messages(), 250, 28, 164, 8, tools=["get_weather", "lookup"], text=TEXT)


def test_a_run_with_a_history_counts_its_own_part(expect: Expect) -> None:
    made = agent()
    first = made.run_sync("weather?")
    second = made.run_sync("again?", message_history=first.all_messages())
    expect(second, 250, 28, 164, 8, tools=["get_weather", "lookup"], text=TEXT)
    expect(second.all_messages(), 250, 28, 164, 8, tools=["get_weather", "lookup"], text=TEXT)
    dumped = {
        "output": second.output,
        "usage": {**vars(second.usage)} if not callable(second.usage) else vars(second.usage()),
        "messages": json.loads(second.all_messages_json()),
    }
    expect(dumped, 250, 28, 164, 8, tools=["get_weather", "lookup"], text=TEXT)


def test_the_output_tool_is_no_tool(expect: Expect) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai", reason=REASON)
    expect(agent(output_type=City).run_sync("x"), 60, 12)
    named = pydantic_ai.ToolOutput(City, name="answer_with_city")
    expect(agent(output_type=named).run_sync("x"), 60, 12)


def test_what_begins_with_zeros_is_not_reported(expect: Expect) -> None:
    messages = pytest.importorskip("pydantic_ai.messages", reason=REASON)
    expect(messages.ModelResponse([messages.TextPart("no usage")]), None, None, text="no usage")


def test_a_runs_events_end_with_its_result(expect: Expect) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai", reason=REASON)
    test_model = pytest.importorskip("pydantic_ai.models.test", reason=REASON).TestModel
    made = pydantic_ai.Agent(test_model(custom_output_text="done"))

    @made.tool_plain
    def lookup() -> str:
        return "found"

    async def main() -> list[Any]:
        events = made.run_stream_events("x")
        if hasattr(events, "__aenter__"):
            async with events as entered:
                return [event async for event in entered]
        return [event async for event in events]

    events = asyncio.run(main())
    used = events[-1].result.usage
    used = used if hasattr(used, "input_tokens") else used()
    expect(events, used.input_tokens, used.output_tokens, tools=["lookup"], text="done")


def test_a_streamed_run(server: ModelServer, api: Api, expect: Expect) -> None:
    pytest.importorskip("openai", reason="openai is not installed")
    pydantic_ai = pytest.importorskip("pydantic_ai", reason=REASON)
    models = pytest.importorskip("pydantic_ai.models.openai", reason=REASON)
    providers = pytest.importorskip("pydantic_ai.providers.openai", reason=REASON)
    server.says(api.chat_stream(tools=()))

    async def main() -> Any:
        provider = providers.OpenAIProvider(base_url=server.url, api_key="k")
        made = pydantic_ai.Agent(models.OpenAIChatModel("m", provider=provider))
        async with made.run_stream("x") as result:
            async for _ in result.stream_text():
                pass
        return result

    expect(asyncio.run(main()), 19, 10, 5, text="Hello there")
