"""Objects that the openai package makes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Api, Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1790000000,
    "model": "gpt-5",
    "status": "completed",
    "output": [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "lookup", "arguments": "{}"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Found it.", "annotations": []}],
        },
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 900,
        "input_tokens_details": {"cached_tokens": 800, "cache_write_tokens": 0},
        "output_tokens": 210,
        "output_tokens_details": {"reasoning_tokens": 100},
        "total_tokens": 1110,
    },
}


def response_events() -> list[Any]:
    started = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    call, message = RESPONSE["output"][2], RESPONSE["output"][3]  # type: ignore[index]
    events = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
        {"type": "response.output_item.added", "output_index": 1, "item": RESPONSE["output"][1]},  # type: ignore[index]
        {"type": "response.output_item.added", "output_index": 2, "item": call},
        {"type": "response.output_item.done", "output_index": 2, "item": call},
        {"type": "response.output_item.added", "output_index": 3, "item": {**message, "content": []}},
        {"type": "response.output_text.delta", "output_index": 3, "content_index": 0, "item_id": "msg_1", "delta": "F"},
        {"type": "response.output_text.delta", "output_index": 3, "content_index": 0, "item_id": "msg_1", "delta": "o"},
        {"type": "response.output_item.done", "output_index": 3, "item": message},
        {"type": "response.completed", "response": RESPONSE},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


@pytest.fixture
def client(server: ModelServer) -> Any:
    openai = pytest.importorskip("openai", reason="openai is not installed")
    with openai.OpenAI(base_url=server.url, api_key="k") as client:
        yield client


def test_a_chat_completion(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    server.says(api.chat("Look.", ("get_weather", "lookup", "get_weather")))
    completion = client.chat.completions.create(model="m", messages=[])
    expect(completion, 120, 64, 100, tools=["get_weather", "lookup", "get_weather"], text="Look.")
    expect(completion.model_dump(), 120, 64, 100, tools=["get_weather", "lookup", "get_weather"], text="Look.")
    expect(completion.usage, 120, 64, 100)
    expect(completion.choices[0].message, None, None, tools=["get_weather", "lookup", "get_weather"], text="Look.")


def test_what_compatible_servers_add_to_the_usage(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    deepseek = {"prompt_tokens": 900, "completion_tokens": 120, "prompt_cache_hit_tokens": 832}
    moonshot = {"prompt_tokens": 20, "completion_tokens": 5, "cached_tokens": 16}
    server.says(api.chat("a", usage=None) | {"usage": deepseek}, api.chat("a", usage=None) | {"usage": moonshot})
    expect(client.chat.completions.create(model="m", messages=[]), 900, 120, 832, text="a")
    expect(client.chat.completions.create(model="m", messages=[]), 20, 5, 16, text="a")


def test_no_usage(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    server.says(api.chat("a", usage=None))
    expect(client.chat.completions.create(model="m", messages=[]), None, None, text="a")


def test_a_raw_response_is_read_and_can_still_be_parsed(
    client: Any, server: ModelServer, api: Api, expect: Expect
) -> None:
    server.says(api.chat("raw"))
    raw = client.chat.completions.with_raw_response.create(model="m", messages=[])
    expect(raw, 120, 64, 100, text="raw")
    assert raw.parse().choices[0].message.content == "raw"
    expect(raw, 120, 64, 100, text="raw")


def test_an_unread_body_stays_unread(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    server.says(api.chat("late"))
    with client.chat.completions.with_streaming_response.create(model="m", messages=[]) as raw:
        expect(raw, None, None)
        assert raw.parse().choices[0].message.content == "late"


@pytest.mark.parametrize("usage", [(19, 10, 5), None])
def test_a_streamed_chat(
    client: Any, server: ModelServer, api: Api, expect: Expect, usage: tuple[int, int, int] | None
) -> None:
    server.says(api.chat_stream(usage=usage))
    chunks = list(client.chat.completions.create(model="m", messages=[], stream=True))
    expect(chunks, *(usage or (None, None, None)), tools=["get_weather", "lookup"], text="Hello there")


def test_a_streamed_chat_with_running_totals(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    events = api.chat_stream(usage=None)
    for number, event in enumerate(events):
        event["usage"] = {"prompt_tokens": 7, "completion_tokens": number, "total_tokens": 7 + number}
    server.says(events)
    chunks = list(client.chat.completions.create(model="m", messages=[], stream=True))
    expect(chunks, 7, len(events) - 1, tools=["get_weather", "lookup"], text="Hello there")


def test_the_events_of_the_chats_stream_helper(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    server.says(api.chat_stream())
    with client.chat.completions.stream(model="m", messages=[]) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    expect(events, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")
    expect(final, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")
    expect([*events, final], 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")


def test_a_parsed_completion(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    from pydantic import BaseModel  # noqa: PLC0415

    class City(BaseModel):
        city: str

    server.says(api.chat('{"city":"Oslo"}'))
    parsed = client.chat.completions.parse(model="m", messages=[], response_format=City)
    expect(parsed, 120, 64, 100, text='{"city":"Oslo"}')


def test_a_response(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(RESPONSE)
    response = client.responses.create(model="m", input="x")
    expect(response, 900, 210, 800, 0, tools=["web_search", "lookup"], text="Found it.")
    expect(response.model_dump(), 900, 210, 800, 0, tools=["web_search", "lookup"], text="Found it.")


def test_a_streamed_response(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(response_events())
    events = list(client.responses.create(model="m", input="x", stream=True))
    expect(events, 900, 210, 800, 0, tools=["web_search", "lookup"], text="Found it.")
    # One that was cut tells what had come.
    expect(events[:-2], None, None, tools=["web_search", "lookup"], text="Fo")


def test_two_streamed_responses(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(response_events(), response_events())
    events = [e for _ in range(2) for e in client.responses.create(model="m", input="x", stream=True)]
    for event in events[len(events) // 2 :]:
        if hasattr(event, "response"):
            event.response.id = "resp_2"
    expect(events, 1800, 420, 1600, 0, tools=["web_search", "lookup"] * 2, text="Found it.")


def test_embeddings_old_completions_and_batches(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(
        {
            "object": "list",
            "model": "m",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "text": "old", "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        },
    )
    expect(client.embeddings.create(model="m", input="x", encoding_format="float"), 8, None)
    expect(client.completions.create(model="m", prompt="x"), 5, 7, text="old")


def test_the_lines_of_a_batch_add_up_whatever_their_ids_are(api: Api, expect: Expect) -> None:
    body = api.chat("one")
    line = {"id": "br", "response": {"status_code": 200, "body": body}, "error": None}
    failed = {"id": "br", "custom_id": "c", "response": {"status_code": 400, "body": {"error": {}}}, "error": None}
    expect([{**line, "custom_id": "a"}, {**line, "custom_id": "b"}, failed], 240, 128, 200, text="one")


def test_a_stream_is_not_consumed(client: Any, server: ModelServer, api: Api, expect: Expect) -> None:
    server.says(api.chat_stream())
    stream = client.chat.completions.create(model="m", messages=[], stream=True)
    expect(stream, None, None)
    assert len(list(stream)) == len(api.chat_stream())


def test_the_asynchronous_client(server: ModelServer, api: Api, expect: Expect) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed")

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="k") as client:
            server.says(api.chat("raw"), api.chat_stream())
            expect(
                await client.chat.completions.with_raw_response.create(model="m", messages=[]), 120, 64, 100, text="raw"
            )
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            chunks = [chunk async for chunk in stream]
        expect(chunks, 19, 10, 5, tools=["get_weather", "lookup"], text="Hello there")

    asyncio.run(main())
