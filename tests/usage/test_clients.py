"""Objects of other clients: mistralai, cohere, groq, ollama, huggingface_hub, litellm, instructor, mcp."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from .conftest import Api, Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

QUESTION: Any = [{"role": "user", "content": "x"}]


class User(BaseModel):
    name: str


# --- mistralai ---


@pytest.fixture
def mistral(server: ModelServer) -> Any:
    client = pytest.importorskip("mistralai.client", reason="mistralai is not installed")
    with client.Mistral(api_key="k", server_url=server.url) as client:
        yield client


def test_mistrals_chat(mistral: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    answer = api.chat("", ("get_weather", "lookup"))
    answer["choices"][0]["message"]["content"] = [thinking, {"type": "text", "text": "Bonjour."}]
    server.says(answer)
    completion = mistral.chat.complete(model="m", messages=QUESTION)
    expect(completion, 120, 64, 100, tools=["get_weather", "lookup"], text="Bonjour.")


def test_mistrals_streamed_chat(mistral: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    # It gives each call as a whole.
    server.says([event for event in api.chat_stream() if '"arguments": "{}"' not in json.dumps(event)])
    with mistral.chat.stream(model="m", messages=QUESTION) as stream:
        events = list(stream)
    expect(events, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")


def test_a_conversation_with_mistral(mistral: Any, server: ModelServer, expect: Expect) -> None:
    server.says(
        {
            "object": "conversation.response",
            "conversation_id": "c",
            "outputs": [
                {"type": "tool.execution", "name": "web_search", "arguments": "{}"},
                {"type": "function.call", "tool_call_id": "t", "name": "lookup", "arguments": "{}"},
                {"type": "message.output", "content": [{"type": "text", "text": "Found."}]},
            ],
            "usage": {"prompt_tokens": 50, "completion_tokens": 20, "connector_tokens": 30, "total_tokens": 100},
        }
    )
    answer = mistral.beta.conversations.start(model="m", inputs="x")
    expect(answer, 50, 20, tools=["web_search", "lookup"], text="Found.")


# --- cohere ---


@pytest.fixture
def cohere(server: ModelServer) -> Any:
    cohere = pytest.importorskip("cohere", reason="cohere is not installed")
    return cohere.ClientV2(api_key="k", base_url=server.url)


COHERE_USAGE = {
    "billed_units": {"input_tokens": 100.0, "output_tokens": 20.0},
    "tokens": {"input_tokens": 800.0, "output_tokens": 30.0},
    "cached_tokens": 64.0,
}


def test_coheres_chat(cohere: Any, server: ModelServer, expect: Expect) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi."}]
    message = {"role": "assistant", "tool_plan": "I look.", "tool_calls": [call], "content": content}
    server.says({"id": "1", "finish_reason": "TOOL_CALL", "message": message, "usage": COHERE_USAGE})
    answer = cohere.chat(model="m", messages=QUESTION)
    expect(answer, 800, 30, 64, tools=["lookup"], text="Hi.")


def test_coheres_streamed_chat(cohere: Any, server: ModelServer, expect: Expect) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "lookup", "arguments": ""}}
    server.says(
        [
            {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
            {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I look."}}},
            {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}},
            {"type": "tool-call-end", "index": 0},
            {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "."}}}},
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}},
        ]
    )
    events = list(cohere.chat_stream(model="m", messages=QUESTION))
    expect(events, 800, 30, 64, tools=["lookup"], text="Hi.")


def test_coheres_embeddings(cohere: Any, server: ModelServer, expect: Expect) -> None:
    units = {"billed_units": {"input_tokens": 4.0}}
    server.says({"response_type": "embeddings_by_type", "id": "e", "embeddings": {"float": [[0.1]]}, "meta": units})
    answer = cohere.embed(model="m", texts=["x"], input_type="search_query", embedding_types=["float"])
    expect(answer, 4, None)


# --- groq ---


def test_groqs_streams_tell_it_in_a_place_of_their_own(server: ModelServer, api: Api, expect: Expect) -> None:
    groq = pytest.importorskip("groq", reason="groq is not installed")
    client = groq.Groq(base_url=server.url, api_key="k")
    events = api.chat_stream(usage=None)
    events[-1]["x_groq"] = {"id": "r", "usage": api.chat_usage((20, 6, 4))}
    server.says(events, api.chat("ok"))
    chunks = list(client.chat.completions.create(model="m", messages=QUESTION, stream=True))
    expect(chunks, 20, 6, 4, tools=["get_weather", "lookup"], text="Hello there")
    expect(client.chat.completions.create(model="m", messages=QUESTION), 120, 64, 100, text="ok")


# --- ollama ---


def test_ollama(server: ModelServer, expect: Expect) -> None:
    ollama = pytest.importorskip("ollama", reason="ollama is not installed")
    client = ollama.Client(host=server.url)
    call = {"function": {"name": "lookup", "arguments": {}}}
    last = {"model": "m", "done": True, "prompt_eval_count": 26, "eval_count": 9}
    pieces = [
        {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "Hel"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "lo", "tool_calls": [call]}, "done": False},
        {**last, "message": {"role": "assistant", "content": ""}},
    ]
    whole = {**last, "message": {"role": "assistant", "content": "Hi", "tool_calls": [call, call]}}
    embedded = {"model": "m", "embeddings": [[0.1]], "prompt_eval_count": 8}
    server.says(whole, ["ndjson", *pieces], {**last, "response": "made"}, embedded)
    expect(client.chat("m", QUESTION), 26, 9, tools=["lookup", "lookup"], text="Hi")
    expect(list(client.chat("m", QUESTION, stream=True)), 26, 9, tools=["lookup"], text="Hello")
    expect(client.generate("m", "x"), 26, 9, text="made")
    expect(client.embed("m", "x"), 8, None)
    expect([whole, whole], 52, 18, tools=["lookup"] * 4, text="Hi")


# --- huggingface_hub ---


def test_hugging_faces_objects_are_dicts_as_well(server: ModelServer, api: Api, expect: Expect) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    client = hub.InferenceClient(base_url=server.url, api_key="k")
    server.says(api.chat("Look.", ("lookup",)), api.chat_stream())
    completion = client.chat_completion(QUESTION, model="m")
    expect(completion, 120, 64, 100, tools=["lookup"], text="Look.")
    chunks = list(client.chat_completion(QUESTION, model="m", stream=True))
    expect(chunks, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")


# --- litellm ---


def test_litellm(server: ModelServer, api: Api, expect: Expect) -> None:
    litellm = pytest.importorskip("litellm", reason="litellm is not installed")
    options: Any = {"model": "openai/m", "messages": QUESTION, "api_base": server.url, "api_key": "k"}
    server.says(api.chat("ok", ("lookup",)), api.chat_stream(), api.chat_stream())
    expect(litellm.completion(**options), 120, 64, 100, tools=["lookup"], text="ok")
    told = list(litellm.completion(**options, stream=True, stream_options={"include_usage": True}))
    expect(told, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")
    untold = list(litellm.completion(**options, stream=True))
    expect(untold, None, None, tools=["get_weather", "lookup"], text="Hello there")


def test_litellm_has_anthropics_cache_in_the_prompt(server: ModelServer, expect: Expect) -> None:
    litellm = pytest.importorskip("litellm", reason="litellm is not installed")
    server.says(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "ok"}],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 21, "output_tokens": 393, "cache_read_input_tokens": 1800,
                "cache_creation_input_tokens": 248,
            },
        }
    )  # fmt: skip
    answer = litellm.completion(
        model="anthropic/claude-sonnet-4-5", messages=QUESTION, api_base=server.url, api_key="k"
    )
    expect(answer, 2069, 393, 1800, 248, text="ok")


# --- instructor ---


def test_instructors_models_keep_the_response(server: ModelServer, api: Api, expect: Expect) -> None:
    instructor = pytest.importorskip("instructor", reason="instructor is not installed")
    openai = pytest.importorskip("openai", reason="openai is not installed")
    client = instructor.from_openai(openai.OpenAI(base_url=server.url, api_key="k"))
    answer = api.chat(None, ("User",))
    answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = '{"name": "Ann"}'
    server.says(answer, answer)
    options: Any = {"model": "m", "messages": QUESTION, "response_model": User}
    expect(client.chat.completions.create(**options), 120, 64, 100, tools=["User"])
    expect(client.chat.completions.create_with_completion(**options), 120, 64, 100, tools=["User"])


# --- mcp ---


def test_a_tools_result_has_its_text_and_a_list_of_tools_nothing(expect: Expect) -> None:
    pytest.importorskip("mcp", reason="mcp is not installed")
    from mcp import types  # noqa: PLC0415

    content = [types.TextContent(type="text", text="4 degrees")]
    expect(types.CallToolResult(content=content), None, None, text="4 degrees")
    failed = types.CallToolResult.model_validate({"content": content, "isError": True})
    expect(failed, None, None)
    tool = types.Tool.model_validate({"name": "add", "inputSchema": {"type": "object"}})
    expect(types.ListToolsResult(tools=[tool]), None, None)


def test_an_asynchronous_ollama(server: ModelServer, expect: Expect) -> None:
    ollama = pytest.importorskip("ollama", reason="ollama is not installed")
    server.says({"model": "m", "done": True, "eval_count": 7, "message": {"role": "assistant", "content": "ok"}})
    # The prompt was in the server's cache: it says nothing of it.
    expect(asyncio.run(ollama.AsyncClient(host=server.url).chat("m", QUESTION)), None, 7, text="ok")
