"""
Reads Bedrock's ``converse`` and ``invoke_model``, streamed or not. The body of the latter is never read: parse it, and
hand over what you got; else its headers are read.

Where things are: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html.
"""

from __future__ import annotations

import json
from typing import Any

from .counts import Counts, read_counts
from .messages import called, visible
from .reading import NOTHING, Reading, See, group
from .shape import MAX_COUNT, count, field, items, joined, name, parts, text

EVENTS = (
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "chunk",
)  # fmt: skip

_METRICS = "amazon-bedrock-invocationMetrics"
_MAX_BYTES = 4_000_000
_MAX_DIGITS = 20


def read_converse(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An answer of ``converse``, or of Nova."""
    del value, see
    message = parts(field(data.get("output"), "message"))
    if not message or not ("usage" in data or "stopReason" in data):
        return None
    return Reading(counts=read_counts(data.get("usage")), tools=called(message), text=visible(message.get("content")))


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An event of ``converse_stream``, or of ``invoke_model_with_response_stream``."""
    del value
    if "contentBlockDelta" in data:
        said = text(field(data["contentBlockDelta"], "delta", "text"))
        return Reading("chunk", text=said, stream="bedrock")
    if "contentBlockStart" in data:
        block = parts(data["contentBlockStart"])
        call = parts(field(block.get("start"), "toolUse"))
        called = name(call.get("name"))
        # What strands makes of other providers' streams has no index.
        place = (count(block.get("contentBlockIndex")), name(call.get("toolUseId")))
        return Reading("chunk", tools=[called] if called else (), stream="bedrock", places=[place])
    if "messageStart" in data:
        return Reading("chunk", stream="bedrock", begins=True)
    if "contentBlockStop" in data or "messageStop" in data:
        return NOTHING
    if "inputTokens" in parts(field(data.get("metadata"), "usage")):
        return Reading("chunk", read_counts(data["metadata"]["usage"]), stream="bedrock")
    octets = field(data.get("chunk"), "bytes")
    return _read_chunk(octets, see) if type(octets) is bytes else None


def read_body(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An answer of ``invoke_model``: a parsed body of Llama, Titan or Mistral; else the headers beside the body."""
    del value, see
    if "ResponseMetadata" in data and "body" in data:
        return _read_headers(parts(field(data["ResponseMetadata"], "HTTPHeaders")))
    if "generation" in data and "generation_token_count" in data:  # Llama
        return _piece(data, text(data["generation"]), data.get("stop_reason"))
    if "inputTextTokenCount" in data:  # Titan
        results = [parts(result) for result in items(data.get("results"))]
        said = joined([text(result.get("outputText")) for result in results]) or text(data.get("outputText"))
        return _piece(data, said, results or data.get("completionReason") or "embedding" in data)
    outputs = [parts(output) for output in items(data.get("outputs"))]
    if outputs and "stop_reason" in outputs[0]:  # Mistral
        return _piece(data, joined([text(output.get("text")) for output in outputs]), outputs[0]["stop_reason"])
    return None


def _piece(data: dict[str, Any], said: str | None, ends: object) -> Reading:
    return Reading("chunk", read_counts(data), text=said, stream="bedrock", ends=bool(ends))


def _read_chunk(octets: bytes, see: See) -> Reading | None:
    body = read_json(octets)
    reading = see(body)
    metrics = read_counts(parts(body).get(_METRICS))
    if metrics is None:
        return reading or NOTHING
    # It repeats what the model has said of itself, where it has.
    stream = reading.stream if reading is not None and reading.stream else "bedrock"
    if stream == "bedrock" and "type" in parts(body):
        stream = "anthropic"
    if reading is not None:
        reading.ends = False
    return group([reading, Reading("chunk", metrics, stream=stream, ends=True)])


def read_json(octets: bytes) -> object:
    """What is in a body; None where it is no JSON, or more than any response has."""
    if len(octets) > _MAX_BYTES:
        return None
    try:
        body: object = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    else:
        return body


def _read_headers(headers: dict[str, Any]) -> Reading:
    def number(kind: str) -> int | None:
        said = text(headers.get(f"x-amzn-bedrock-{kind}-token-count"))
        is_number = said is not None and said.isdecimal() and len(said) <= _MAX_DIGITS
        return min(int(said), MAX_COUNT) if said is not None and is_number else None

    cached = number("cache-read-input"), number("cache-write-input")
    counts = Counts(number("input"), number("output"), *cached, cache_in_prompt=False)
    return Reading(counts=counts if any(n is not None for n in counts[:4]) else None)
