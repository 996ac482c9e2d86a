"""Objects that the anthropic package makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Looking."},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}},
        {"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 21,
        "output_tokens": 393,
        "cache_read_input_tokens": 1800,
        "cache_creation_input_tokens": 248,
        "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 48},
    },
}
EVENTS: list[Any] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "usage": {**MESSAGE["usage"], "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Look"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ing."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "t", "name": "lookup", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"input_tokens": 30, "output_tokens": 15}},
    {"type": "message_stop"},
]


@pytest.fixture
def client(server: ModelServer) -> Any:
    anthropic = pytest.importorskip("anthropic", reason="anthropic is not installed")
    with anthropic.Anthropic(base_url=server.url, api_key="k") as client:
        yield client


def create(client: Any, **more: Any) -> Any:
    return client.messages.create(model="m", max_tokens=10, messages=[{"role": "user", "content": "x"}], **more)


def test_a_message(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(MESSAGE)
    message = create(client)
    expect(message, 21, 393, 1800, 248, tools=["web_search", "lookup"], text="Looking.")
    expect(message.model_dump(), 21, 393, 1800, 248, tools=["web_search", "lookup"], text="Looking.")
    expect(message.usage, 21, 393, 1800, 248)


def test_a_raw_response(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(MESSAGE)
    raw = client.messages.with_raw_response.create(
        model="m", max_tokens=10, messages=[{"role": "user", "content": "x"}]
    )
    expect(raw, 21, 393, 1800, 248, tools=["web_search", "lookup"], text="Looking.")
    assert raw.parse().id == "msg_1"


def test_a_streamed_message_ends_with_its_totals(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(EVENTS)
    events = list(create(client, stream=True))
    expect(events, 30, 15, 1800, 248, tools=["lookup"], text="Looking.")
    # One that was cut has cost its prompt.
    expect(events[:4], 21, 1, 1800, 248, text="Looking.")


def test_the_stream_helpers_events_tell_it_once(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(EVENTS)
    with client.messages.stream(model="m", max_tokens=10, messages=[{"role": "user", "content": "x"}]) as stream:
        events = list(stream)
        final = stream.get_final_message()
    expect(events, 30, 15, 1800, 248, tools=["lookup"], text="Looking.")
    expect([*events, final], 30, 15, 1800, 248, tools=["lookup"], text="Looking.")


def test_counting_tokens_uses_none(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says({"input_tokens": 14})
    expect(client.messages.count_tokens(model="m", messages=[{"role": "user", "content": "x"}]), None, None)


def test_the_results_of_a_batch_add_up_whatever_their_ids_are(expect: Expect) -> None:
    types = pytest.importorskip("anthropic.types.messages", reason="anthropic is not installed")
    results = [
        types.MessageBatchIndividualResponse.model_validate(
            {"custom_id": name, "result": {"type": "succeeded", "message": MESSAGE}}
        )
        for name in "ab"
    ]
    failed = types.MessageBatchIndividualResponse.model_validate({"custom_id": "c", "result": {"type": "expired"}})
    expect(
        [*results, failed], 42, 786, 3600, 496, tools=["web_search", "lookup", "web_search", "lookup"], text="Looking."
    )
