"""Objects that other agent frameworks make: agno, smolagents, strands, haystack, autogen, llama-index, dspy, crewai."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import Api, Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = "It is 4 degrees."


def turns(api: type[Api]) -> list[Any]:
    """A model that calls a tool, and answers."""
    return [api.chat(None, ("get_weather",), (100, 20, 64)), api.chat(TEXT, (), (150, 8, 100))]


def get_weather(city: str) -> str:
    """
    The weather of a city.

    Args:
        city: The city.
    """
    return f"4 degrees in {city}"


# --- agno ---


def agno_agent(server: ModelServer, **options: Any) -> Any:
    agent = pytest.importorskip("agno.agent", reason="agno is not installed").Agent
    model = pytest.importorskip("agno.models.openai", reason="openai is not installed").OpenAIChat
    return agent(model=model(id="m", base_url=server.url, api_key="k"), telemetry=False, **options)


def test_an_agno_run(server: ModelServer, api: type[Api], expect: Expect) -> None:
    server.says(*turns(api))
    run = agno_agent(server, tools=[get_weather]).run("weather?")
    expect(run, 250, 28, 164, 0, tools=["get_weather"], text=TEXT)
    expect(run.to_dict(), 250, 28, 164, 0, tools=["get_weather"], text=TEXT)
    server.says(api.chat("ok", usage=None))
    expect(agno_agent(server).run("x"), None, None, text="ok")


def test_an_agno_stream(server: ModelServer, api: type[Api], expect: Expect) -> None:
    server.says(api.chat_stream(("get_weather",), (100, 20, 64)), api.chat_stream((), (150, 8, 100)))
    events = list(agno_agent(server, tools=[get_weather]).run("weather?", stream=True, stream_events=True))
    expect(events, 250, 28, 164, 0, tools=["get_weather"], text=events[-1].content)
    # One that was cut before its end has cost as well.
    cut = events[: [event.event for event in events].index("RunContentCompleted")]
    expect(cut, 250, 28, 164, 0, tools=["get_weather"], text="Hello there" * 2)


def test_an_agno_team(server: ModelServer, api: type[Api], expect: Expect) -> None:
    team = pytest.importorskip("agno.team", reason="agno is not installed").Team
    delegation = api.chat(None, ("delegate_task_to_member",), (100, 15, 0))
    call = delegation["choices"][0]["message"]["tool_calls"][0]["function"]
    call["arguments"] = '{"member_id": "b", "task": "t"}'
    answers = [delegation, *turns(api), api.chat("Team says 4.", (), (120, 18, 0))]
    member = agno_agent(server, name="B", id="b", tools=[get_weather])
    made = team(members=[member], model=agno_agent(server).model, telemetry=False)
    server.says(*answers)
    expect(made.run("x"), 470, 61, 164, 0, tools=["delegate_task_to_member"], text="Team says 4.")


# --- smolagents ---


def smolagent(server: ModelServer) -> Any:
    smolagents = pytest.importorskip("smolagents", reason="smolagents is not installed")
    pytest.importorskip("openai", reason="openai is not installed")
    model = smolagents.OpenAIModel("m", api_base=server.url, api_key="k")
    return smolagents.ToolCallingAgent([smolagents.tool(get_weather)], model, verbosity_level=0)


def smolagents_turns(api: type[Api]) -> list[Any]:
    answer = api.chat(None, ("final_answer",), (150, 8, 100))
    answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = f'{{"answer": "{TEXT}"}}'
    return [api.chat("Look.", ("get_weather",), (100, 20, 64)), answer]


def test_a_smolagents_run(server: ModelServer, api: type[Api], expect: Expect) -> None:
    agent = smolagent(server)
    server.says(*smolagents_turns(api))
    result = agent.run("weather?", return_full_result=True)
    expect(result, 250, 28, tools=["get_weather"], text=TEXT)
    expect(agent.memory, 250, 28, tools=["get_weather"], text=TEXT)
    expect(agent, 250, 28, tools=["get_weather"], text=TEXT)
    # A second run with the memory of the first counts its own part.
    server.says(*smolagents_turns(api))
    again = agent.run("again?", reset=False, return_full_result=True)
    assert again.token_usage.input_tokens == 500
    expect(again, 250, 28, tools=["get_weather"], text=TEXT)


def test_a_smolagents_stream_and_message(server: ModelServer, api: type[Api], expect: Expect) -> None:
    agent = smolagent(server)
    server.says(*smolagents_turns(api), api.chat("ok", ("lookup",)), api.chat_stream())
    steps = list(agent.run("weather?", stream=True))
    expect(steps, 250, 28, tools=["get_weather"], text=TEXT)
    question = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    expect(agent.model.generate(question), 120, 64, 100, tools=["lookup"], text="ok")
    deltas = list(agent.model.generate_stream(question))
    expect(deltas, 19, 10, tools=["get_weather", "lookup"], text="Hello there")


# --- strands ---


def strands_agent() -> Any:
    strands = pytest.importorskip("strands", reason="strands-agents is not installed")
    base = pytest.importorskip("strands.models", reason="strands-agents is not installed").Model

    class Model(base):  # type: ignore[misc]
        def update_config(self, **config: Any) -> None:
            pass

        def get_config(self) -> dict[str, Any]:
            return {}

        def structured_output(self, *args: Any, **options: Any) -> Any:
            raise NotImplementedError

        async def stream(self, messages: Any, *args: Any, **options: Any) -> AsyncIterator[Any]:
            yield {"messageStart": {"role": "assistant"}}
            if "toolResult" in messages[-1]["content"][0]:
                yield {"contentBlockDelta": {"delta": {"text": TEXT}}}
                used, stop = (150, 8, 100), "end_turn"
            else:
                for number, name in enumerate(("get_weather", "get_weather")):
                    call = {"toolUseId": f"t{number}{len(messages)}", "name": name}
                    yield {"contentBlockStart": {"start": {"toolUse": call}}}
                    yield {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"city": "Oslo"}'}}}}
                    yield {"contentBlockStop": {}}
                used, stop = (100, 20, 64), "tool_use"
            yield {"contentBlockStop": {}}
            yield {"messageStop": {"stopReason": stop}}
            prompt, completion, cached = used
            counts = {"inputTokens": prompt, "outputTokens": completion, "totalTokens": prompt + completion}
            yield {"metadata": {"usage": {**counts, "cacheReadInputTokens": cached}, "metrics": {"latencyMs": 1}}}

    return strands.Agent(Model(), tools=[strands.tool(get_weather)], callback_handler=None)


def test_a_strands_agents_second_call_counts_its_own_part(expect: Expect) -> None:
    agent = strands_agent()
    for _ in range(2):
        result = agent("weather?")
        expect(result, 250, 28, 164, tools=["get_weather", "get_weather"], text=TEXT)
    assert result.metrics.accumulated_usage["inputTokens"] == 500


def test_a_strands_stream(expect: Expect) -> None:
    agent = strands_agent()

    async def main() -> list[Any]:
        return [event async for event in agent.stream_async("weather?")]

    events = asyncio.run(main())
    expect(events, 250, 28, 164, tools=["get_weather", "get_weather"], text=TEXT)
    cut = [event for event in events if "result" not in event]
    expect(cut, 250, 28, 164, tools=["get_weather", "get_weather"], text=TEXT)


# --- haystack ---


def test_haystack(server: ModelServer, api: type[Api], expect: Expect) -> None:
    chat = pytest.importorskip("haystack.components.generators.chat", reason="haystack-ai is not installed")
    from haystack.components.agents import Agent  # noqa: PLC0415
    from haystack.dataclasses import ChatMessage  # noqa: PLC0415
    from haystack.tools import create_tool_from_function  # noqa: PLC0415
    from haystack.utils import Secret  # noqa: PLC0415

    chunks: list[Any] = []
    options: Any = {"api_base_url": server.url, "api_key": Secret.from_token("k"), "model": "m"}
    generator = chat.OpenAIChatGenerator(**options)
    question = [ChatMessage.from_user("weather?")]
    server.says(api.chat("Look.", ("lookup",)), api.chat_stream())
    answer = generator.run(question)
    expect(answer, 120, 64, 100, tools=["lookup"], text="Look.")
    expect({"llm": answer}, 120, 64, 100, tools=["lookup"], text="Look.")
    expect(answer["replies"][0], 120, 64, 100, tools=["lookup"], text="Look.")
    expect(answer["replies"][0].to_dict(), 120, 64, 100, tools=["lookup"], text="Look.")
    told = {"stream_options": {"include_usage": True}}
    generator.run(question, streaming_callback=chunks.append, generation_kwargs=told)
    expect(chunks, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")

    server.says(*turns(api))
    agent = Agent(chat_generator=chat.OpenAIChatGenerator(**options), tools=[create_tool_from_function(get_weather)])
    agent.warm_up()
    result = agent.run(question)
    expect(result, 250, 28, 164, tools=["get_weather"], text=TEXT)
    # The next question of the conversation.
    server.says(*turns(api))
    again = agent.run([*result["messages"], ChatMessage.from_user("again?")])
    expect(again, 250, 28, 164, tools=["get_weather"], text=TEXT)
    expect(again["messages"], 250, 28, 164, tools=["get_weather"], text=TEXT)


# --- autogen ---


def test_autogen(expect: Expect) -> None:
    agents = pytest.importorskip("autogen_agentchat.agents", reason="autogen-agentchat is not installed")
    replay = pytest.importorskip("autogen_ext.models.replay", reason="autogen-ext is not installed")
    from autogen_core import FunctionCall  # noqa: PLC0415
    from autogen_core.models import CreateResult, RequestUsage  # noqa: PLC0415

    def model() -> Any:
        call = FunctionCall(id="c", name="get_weather", arguments='{"city": "Oslo"}')
        said = [
            CreateResult(finish_reason="function_calls", content=[call], usage=RequestUsage(100, 20), cached=False),
            CreateResult(finish_reason="stop", content=TEXT, usage=RequestUsage(150, 8), cached=False),
        ]
        info: Any = {"function_calling": True, "family": "x"}
        info |= dict.fromkeys(("vision", "json_output", "structured_output"), False)
        return replay.ReplayChatCompletionClient(said, model_info=info)

    def agent() -> Any:
        return agents.AssistantAgent("a", model(), tools=[get_weather], reflect_on_tool_use=True)

    async def streamed() -> list[Any]:
        return [event async for event in agent().run_stream(task="weather?")]

    result = asyncio.run(agent().run(task="weather?"))
    counted = [message.models_usage for message in result.messages if message.models_usage]
    used = (sum(u.prompt_tokens for u in counted), sum(u.completion_tokens for u in counted))
    expect(result, *used, tools=["get_weather"], text=TEXT)
    expect(result.model_dump(), *used, tools=["get_weather"], text=TEXT)
    expect(asyncio.run(streamed()), *used, tools=["get_weather"], text=TEXT)


# --- llama-index ---


def test_llama_index(expect: Expect, api: type[Api]) -> None:  # noqa: C901  # a model takes many methods
    llms = pytest.importorskip("llama_index.core.llms", reason="llama-index-core is not installed")
    from llama_index.core.agent.workflow import FunctionAgent  # noqa: PLC0415
    from llama_index.core.base.llms.types import ToolCallBlock  # noqa: PLC0415
    from llama_index.core.llms.function_calling import FunctionCallingLLM  # noqa: PLC0415

    answers = turns(api)

    class Model(FunctionCallingLLM):
        @property
        def metadata(self) -> Any:
            return llms.LLMMetadata(is_function_calling_model=True)

        def _answer(self, messages: Any) -> Any:
            done = any(message.role == "tool" for message in messages)
            block = ToolCallBlock(tool_call_id="c", tool_name="get_weather", tool_kwargs={"city": "Oslo"})
            message = llms.ChatMessage(role="assistant", content=TEXT if done else None)
            if not done:
                message.blocks = [block]
            return llms.ChatResponse(message=message, raw=answers[done])

        def chat(self, messages: Any, **options: Any) -> Any:
            return self._answer(messages)

        async def achat(self, messages: Any, **options: Any) -> Any:
            return self._answer(messages)

        async def astream_chat(self, messages: Any, **options: Any) -> Any:
            async def stream() -> Any:
                yield self._answer(messages)

            return stream()

        async def astream_chat_with_tools(self, tools: Any, chat_history: Any = None, **options: Any) -> Any:
            return await self.astream_chat(chat_history)

        def get_tool_calls_from_response(self, response: Any, *args: Any, **options: Any) -> Any:
            from llama_index.core.llms.llm import ToolSelection  # noqa: PLC0415

            return [
                ToolSelection(tool_id=block.tool_call_id, tool_name=block.tool_name, tool_kwargs=block.tool_kwargs)
                for block in response.message.blocks
                if isinstance(block, ToolCallBlock)
            ]

        def _unused(self, *args: Any, **options: Any) -> Any:
            raise NotImplementedError

        complete = stream_complete = stream_chat = _prepare_chat_with_tools = _unused
        acomplete = astream_complete = _unused

    async def run() -> tuple[list[Any], Any]:
        handler = FunctionAgent(tools=[get_weather], llm=Model()).run("weather?")
        events = [event async for event in handler.stream_events()]
        return events, await handler

    expect(Model().chat([]), 100, 20, 64, tools=["get_weather"])
    events, output = asyncio.run(run())
    expect(events, 250, 28, 164, tools=["get_weather"], text=TEXT)
    # The output by itself has its last turn, and the calls of all.
    expect(output, 150, 8, 100, tools=["get_weather"], text=TEXT)


# --- dspy ---


def test_dspy(server: ModelServer, api: type[Api], expect: Expect) -> None:
    dspy = pytest.importorskip("dspy", reason="dspy is not installed")
    prediction = dspy.Prediction(
        trajectory={"thought_0": "hm", "tool_name_0": "get_weather", "tool_args_0": {}, "tool_name_1": "finish"},
        reasoning="hm",
        answer=TEXT,
    )
    expect(prediction, None, None, tools=["get_weather"], text=TEXT)
    prediction.set_lm_usage({"a": api.chat_usage((100, 20, 64)), "b": api.chat_usage((150, 8, 100))})
    expect(prediction, 250, 28, 164, tools=["get_weather"], text=TEXT)
    expect(prediction.get_lm_usage(), 250, 28, 164)


# --- crewai ---


def test_crewai(expect: Expect) -> None:
    crews = pytest.importorskip("crewai.crews.crew_output", reason="crewai is not installed")
    from crewai.tasks.task_output import TaskOutput  # noqa: PLC0415
    from crewai.types.usage_metrics import UsageMetrics  # noqa: PLC0415

    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages: Any = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "assistant", "content": TEXT},
    ]
    task = TaskOutput(description="d", raw=TEXT, agent="a", messages=messages)
    used = UsageMetrics(
        total_tokens=278, prompt_tokens=250, completion_tokens=28, cached_prompt_tokens=164, successful_requests=2
    )
    output = crews.CrewOutput(raw=TEXT, tasks_output=[task], token_usage=used)
    expect(output, 250, 28, 164, used.model_dump().get("cache_creation_tokens"), tools=["get_weather"], text=TEXT)
    expect(crews.CrewOutput(raw=TEXT, tasks_output=[], token_usage=UsageMetrics()), None, None, text=TEXT)


# --- claude-agent-sdk ---


def test_the_claude_agent_sdk(expect: Expect) -> None:
    sdk = pytest.importorskip("claude_agent_sdk", reason="claude-agent-sdk is not installed")
    first = {"input_tokens": 6, "output_tokens": 1, "cache_read_input_tokens": 4000, "cache_creation_input_tokens": 500}
    second = {"input_tokens": 8, "output_tokens": 3, "cache_read_input_tokens": 5000, "cache_creation_input_tokens": 0}
    call = sdk.ToolUseBlock(id="t", name="mcp__w__get_weather", input={})

    def said(block: Any, usage: Any, message_id: str) -> Any:
        return sdk.AssistantMessage(content=[block], model="m", usage=usage, message_id=message_id)

    messages = [
        sdk.SystemMessage(subtype="init", data={"tools": ["Bash"]}),
        said(sdk.ThinkingBlock(thinking="hm", signature="s"), first, "m1"),
        said(sdk.TextBlock(text="Looking."), first, "m1"),
        said(call, first, "m1"),
        sdk.UserMessage(content=[sdk.ToolResultBlock(tool_use_id="t", content="4 degrees")]),
        said(sdk.TextBlock(text=TEXT), second, "m2"),
    ]
    result = sdk.ResultMessage(
        subtype="success", duration_ms=1, duration_api_ms=1, is_error=False, num_turns=2, session_id="s", result=TEXT,
        usage={**first, "input_tokens": 14, "output_tokens": 120, "cache_read_input_tokens": 9000},
    )  # fmt: skip
    expect([*messages, result], 14, 120, 9000, 500, tools=["mcp__w__get_weather"], text=TEXT)
    expect(result, 14, 120, 9000, 500, text=TEXT)
    # One that was interrupted: as much as its messages tell.
    expect(messages, 14, 4, 9000, 500, tools=["mcp__w__get_weather"], text=TEXT)
