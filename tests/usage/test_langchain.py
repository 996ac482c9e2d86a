"""Objects that langchain and langgraph make."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Api, Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

REASON = "langchain-core is not installed"
CALL = {"name": "get_weather", "args": {"city": "Oslo"}, "id": "call_1", "type": "tool_call"}
TEXT = "It is 4 degrees."


def usage(prompt: int, completion: int, cached: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
        "input_token_details": {"cache_read": cached},
    }


def turns() -> Iterator[Any]:
    """A model's messages: it calls a tool, and then answers; again and again."""
    messages = pytest.importorskip("langchain_core.messages", reason=REASON)
    while True:
        yield messages.AIMessage("Looking.", tool_calls=[CALL], usage_metadata=usage(100, 20, 64))
        yield messages.AIMessage(TEXT, usage_metadata=usage(150, 8, 100))


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"4 degrees in {city}"


def graph(model: Any = None, **options: Any) -> Any:
    pytest.importorskip("langgraph", reason="langgraph is not installed")
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel  # noqa: PLC0415
    from langgraph.graph import START, MessagesState, StateGraph  # noqa: PLC0415
    from langgraph.prebuilt import ToolNode, tools_condition  # noqa: PLC0415

    model = model or GenericFakeChatModel(messages=turns())

    def call_model(state: Any) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", call_model)
    builder.add_node("tools", ToolNode([get_weather]))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(**options)


def test_a_message_and_its_dumps(expect: Expect) -> None:
    messages = pytest.importorskip("langchain_core.messages", reason=REASON)
    load = pytest.importorskip("langchain_core.load", reason=REASON)
    message = next(turns())
    expect(message, 100, 20, 64, tools=["get_weather"], text="Looking.")
    expect(message.model_dump(), 100, 20, 64, tools=["get_weather"], text="Looking.")
    expect(load.dumpd(message), 100, 20, 64, tools=["get_weather"], text="Looking.")
    expect(messages.messages_to_dict([message]), 100, 20, 64, tools=["get_weather"], text="Looking.")


def test_chunks_add_up_one_by_one_or_added(expect: Expect) -> None:
    messages = pytest.importorskip("langchain_core.messages", reason=REASON)
    piece = {"name": "get_weather", "args": "", "id": "call_1", "index": 0, "type": "tool_call_chunk"}
    chunks = [
        messages.AIMessageChunk("Look", id="run-1", usage_metadata=usage(21, 1, 5)),
        messages.AIMessageChunk("ing.", id="run-1"),
        messages.AIMessageChunk("", id="run-1", tool_call_chunks=[piece]),
        messages.AIMessageChunk("", id="run-1", tool_call_chunks=[{**piece, "name": None, "args": "{}"}]),
        messages.AIMessageChunk("", id="run-1", usage_metadata=usage(0, 19, 0)),
    ]
    expect(chunks, 21, 20, 5, tools=["get_weather"], text="Looking.")
    expect(sum(chunks[1:], chunks[0]), 21, 20, 5, tools=["get_weather"], text="Looking.")


def test_what_langchain_openai_makes(server: ModelServer, api: Api, expect: Expect) -> None:
    openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    model = openai.ChatOpenAI(base_url=server.url, api_key="k", model="m")
    messages = pytest.importorskip("langchain_core.messages", reason=REASON)
    server.says(api.chat("ok", ("lookup",)), api.chat("one"), api.chat("two"), api.chat_stream())
    expect(model.invoke("x"), 120, 64, 100, tools=["lookup"], text="ok")
    expect(model.generate([[messages.HumanMessage("x")], [messages.HumanMessage("y")]]), 240, 128, 200, text="one")
    chunks = list(model.stream("x", stream_usage=True))
    expect(chunks, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")


def test_a_structured_answer_with_its_raw_message(server: ModelServer, api: Api, expect: Expect) -> None:
    openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    from pydantic import BaseModel  # noqa: PLC0415

    class City(BaseModel):
        city: str

    model = openai.ChatOpenAI(base_url=server.url, api_key="k", model="m")
    server.says(api.chat('{"city":"Oslo"}'))
    expect(model.with_structured_output(City, include_raw=True).invoke("x"), 120, 64, 100, text='{"city":"Oslo"}')


def test_what_langchain_anthropic_makes_has_the_cache_in_the_prompt(server: ModelServer, expect: Expect) -> None:
    anthropic = pytest.importorskip("langchain_anthropic", reason="langchain-anthropic is not installed")
    model = anthropic.ChatAnthropic(base_url=server.url, api_key="k", model="claude-sonnet-4-5")
    used = {
        "input_tokens": 21, "output_tokens": 393, "cache_read_input_tokens": 1800, "cache_creation_input_tokens": 248,
        "cache_creation": {"ephemeral_5m_input_tokens": 248, "ephemeral_1h_input_tokens": 0},
    }  # fmt: skip
    server.says(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "ok"}],
            "stop_reason": "end_turn",
            "usage": used,
        }
    )
    expect(model.invoke("x"), 2069, 393, 1800, 248, text="ok")


def test_the_usage_handler(expect: Expect) -> None:
    callbacks = pytest.importorskip("langchain_core.callbacks", reason=REASON)
    handler = callbacks.UsageMetadataCallbackHandler()
    handler.usage_metadata = {"a": usage(20, 5, 10), "b": usage(30, 9, 20)}
    expect(handler, 50, 14, 30)
    expect(handler.usage_metadata, 50, 14, 30)


def test_a_graphs_state(expect: Expect) -> None:
    state = graph().invoke({"messages": [("user", "weather?")]})
    expect(state, 250, 28, 164, tools=["get_weather"], text=TEXT)
    expect(state["messages"], 250, 28, 164, tools=["get_weather"], text=TEXT)


@pytest.mark.parametrize("mode", ["values", "updates", "tasks", "debug"])
def test_a_graphs_stream_tells_each_message_once(mode: str, expect: Expect) -> None:
    parts = list(graph().stream({"messages": [("user", "weather?")]}, stream_mode=mode))
    expect(parts, 250, 28, 164, tools=["get_weather"], text=TEXT)


@pytest.fixture
def streaming_graph(server: ModelServer, api: Api) -> Any:
    openai = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    server.says(api.chat_stream(("get_weather",), (100, 20, 64)), api.chat_stream((), (150, 8, 100)))
    return graph(openai.ChatOpenAI(base_url=server.url, api_key="k", model="m", stream_usage=True))


@pytest.mark.parametrize("mode", ["messages", ["values", "updates", "messages"]], ids=str)
def test_a_graphs_stream_of_chunks_tells_each_message_once(
    mode: str | list[str], streaming_graph: Any, expect: Expect
) -> None:
    parts = list(streaming_graph.stream({"messages": [("user", "weather?")]}, stream_mode=mode))
    expect(parts, 250, 28, 164, tools=["get_weather"], text="Hello there")


def test_a_threads_earlier_runs_are_not_counted_again(expect: Expect) -> None:
    pytest.importorskip("langgraph", reason="langgraph is not installed")
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415

    agent = graph(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    for _ in range(2):
        state = agent.invoke({"messages": [("user", "weather?")]}, thread)
        expect(state, 250, 28, 164, tools=["get_weather"], text=TEXT)
    expect(agent.get_state(thread), 250, 28, 164, tools=["get_weather"], text=TEXT)
    parts = list(agent.stream({"messages": [("user", "weather?")]}, thread, stream_mode="values"))
    expect(parts, 250, 28, 164, tools=["get_weather"], text=TEXT)


def test_the_events_of_a_run(streaming_graph: Any, expect: Expect) -> None:
    async def main() -> list[Any]:
        events = streaming_graph.astream_events({"messages": [("user", "weather?")]}, version="v2")
        return [event async for event in events]

    expect(asyncio.run(main()), 250, 28, 164, tools=["get_weather"], text="Hello there")
