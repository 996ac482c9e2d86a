"""
Reads Anthropic's messages, their streams and batches; also from Bedrock's ``invoke_model``, once the body is parsed.

Where things are: https://docs.anthropic.com/en/api/messages; cache tokens stand beside ``input_tokens``, not in them:
https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .messages import called, visible
from .reading import NOTHING, Reading, See
from .shape import count, field, is_list, name, parts, text

_CALLS = {"tool_use", "server_tool_use", "mcp_tool_use"}
_SILENT_EVENTS = {"content_block_stop", "message_stop", "ping"}
# What the stream helper tells beside the events: the same again.
_DERIVED_EVENTS = {"text", "input_json", "thinking", "signature", "citation", "compaction"}


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``Message``."""
    del value, see
    if data.get("type") != "message" or not is_list(data.get("content")):
        return None
    counts = read_counts(data.get("usage"))
    return Reading(
        counts=counts, tools=called(data), text=visible(data["content"]), id=name(data.get("id")), stream="anthropic"
    )


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An event of a streamed ``Message``: the counts at its end replace those at its start."""
    kind = data.get("type")
    if kind == "content_block_delta":
        delta = parts(data.get("delta"))
        return (
            Reading("chunk", text=text(delta.get("text")), stream="anthropic")
            if delta.get("type") == "text_delta"
            else NOTHING
        )
    if kind == "content_block_start":
        block = parts(data.get("content_block"))
        names = [named] if block.get("type") in _CALLS and (named := name(block.get("name"))) else []
        said = text(block.get("text")) if block.get("type") == "text" else None
        return Reading("chunk", None, names, said, stream="anthropic", places=[count(data.get("index"))])
    if kind == "message_start":
        message = parts(data.get("message"))
        return Reading(
            "chunk", read_counts(message.get("usage")), id=name(message.get("id")), stream="anthropic", begins=True
        )
    if kind == "message_delta":
        return Reading("chunk", read_counts(data.get("usage")), stream="anthropic")
    if kind == "message_stop" and "message" in data:  # The stream helper's has the whole message.
        return read_message(parts(data["message"]), value, see)
    is_derived = kind in _DERIVED_EVENTS and ("snapshot" in data or "partial_json" in data or "signature" in data)
    return NOTHING if kind in _SILENT_EVENTS or is_derived else None


def read_batch_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A result of a batch: each of its own, whatever the message's id is."""
    del value
    if "custom_id" not in data or "result" not in data:
        return None
    reading = see(field(data["result"], "message"))
    if reading is None:
        return NOTHING
    reading.key, reading.stream = ("line", name(data["custom_id"]), reading.id), ""
    return reading
