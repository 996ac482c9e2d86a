"""What boto3 gives: dicts, streams of events, and bodies that are not to be read."""

from __future__ import annotations

import binascii
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Expect, ModelServer

pytestmark = pytest.mark.filterwarnings("ignore")

USAGE = {
    "inputTokens": 12, "outputTokens": 40, "totalTokens": 2612, "cacheReadInputTokens": 2048,
    "cacheWriteInputTokens": 512,
}  # fmt: skip
CONVERSE = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [{"text": "ok"}, {"toolUse": {"toolUseId": "t", "name": "lookup", "input": {}}}],
        }
    },
    "stopReason": "tool_use",
    "usage": USAGE,
    "metrics": {"latencyMs": 5},
}


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """An event in AWS's binary framing."""
    headers = b"".join(
        struct.pack("!B", len(name)) + name + b"\x07" + struct.pack("!H", len(value)) + value
        for name, value in (
            (b":message-type", b"event"),
            (b":event-type", kind.encode()),
            (b":content-type", b"application/json"),
        )
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack("!I", binascii.crc32(message))


def chunk(payload: dict[str, Any]) -> bytes:
    return event("chunk", {"bytes": binascii.b2a_base64(json.dumps(payload).encode(), newline=False).decode()})


@pytest.fixture
def client(server: ModelServer) -> Any:
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    return boto3.client(
        "bedrock-runtime", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="k",
        aws_secret_access_key="s",
    )  # fmt: skip


def test_converse(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(CONVERSE)
    expect(client.converse(modelId="m", messages=[]), 12, 40, 2048, 512, tools=["lookup"], text="ok")


def test_a_streamed_converse(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says(
        b"".join(
            [
                event("messageStart", {"role": "assistant"}),
                event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
                event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}),
                event("contentBlockStop", {"contentBlockIndex": 0}),
                event(
                    "contentBlockStart",
                    {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "lookup"}}},
                ),
                event("messageStop", {"stopReason": "tool_use"}),
                event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
            ]
        )
    )
    response = client.converse_stream(modelId="m", messages=[])
    expect(response, None, None)
    expect(list(response["stream"]), 12, 40, 2048, 512, tools=["lookup"], text="Hello")


def test_a_body_stays_unread_and_its_headers_are_read(client: Any, server: ModelServer, expect: Expect) -> None:
    server.says({"generation": "hi", "prompt_token_count": 15, "generation_token_count": 7, "stop_reason": "stop"})
    response = client.invoke_model(modelId="m", body="{}")
    response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-input-token-count"] = "15"
    response["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-output-token-count"] = "7"
    expect(response, 15, 7)
    body = json.loads(response["body"].read())
    expect(body, 15, 7, text="hi")


@pytest.mark.parametrize(
    ("body", "counts", "text"),
    [
        ({"inputTextTokenCount": 5, "results": [{"tokenCount": 8, "outputText": "Titan."}]}, (5, 8), "Titan."),
        ({"embedding": [0.1], "inputTextTokenCount": 3}, (3, None), ""),
        (
            {"output": {"message": {"content": [{"text": "Nova."}]}}, "usage": {"inputTokens": 15, "outputTokens": 7}},
            (15, 7),
            "Nova.",
        ),
    ],
    ids=["titan", "titan embeddings", "nova"],
)
def test_parsed_bodies(body: dict[str, Any], counts: tuple[int, int | None], text: str, expect: Expect) -> None:
    expect(body, *counts, text=text)


def test_a_streamed_body(client: Any, server: ModelServer, expect: Expect) -> None:
    metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 15, "outputTokenCount": 7}}
    llama = [
        {"generation": "Lla", "prompt_token_count": 15, "generation_token_count": 3, "stop_reason": None},
        {"generation": "ma", "prompt_token_count": None, "generation_token_count": 7, "stop_reason": "stop", **metrics},
    ]
    message = {"id": "m", "type": "message", "content": [], "usage": {"input_tokens": 15, "output_tokens": 1}}
    claude = [
        {"type": "message_start", "message": message},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Claude"}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}},
        {"type": "message_stop", **metrics},
    ]
    server.says(b"".join(map(chunk, llama)), b"".join(map(chunk, claude)))
    for text in ("Llama", "Claude"):
        response = client.invoke_model_with_response_stream(modelId="m", body="{}")
        expect(list(response["body"]), 15, 7, text=text)
