"""
Reads Cohere's chat, its stream, and the counts of its embeddings.

``tokens`` is what went through the model, ``billed_units`` leaves the template's tokens out: the first is taken. The
plan that a model makes before it calls tools is no answer.

Where things are: https://docs.cohere.com/reference/chat.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .messages import called, visible
from .reading import NOTHING, Reading, See
from .shape import count, field, name, parts, text

_EVENTS = {
    "message-start", "content-start", "content-delta", "content-end", "tool-plan-delta", "tool-call-start",
    "tool-call-delta", "tool-call-end", "citation-start", "citation-end", "message-end", "debug",
}  # fmt: skip


def read_chat(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A chat's answer, of the second or first API; or embeddings."""
    del value, see
    response_id = name(data.get("id")) or name(data.get("generation_id"))
    if "message" in data and "finish_reason" in data:
        message = parts(data["message"])
        counts = read_counts(data.get("usage"))
        return Reading(counts=counts, tools=called(message), text=visible(message.get("content")), id=response_id)
    units = parts(data.get("meta"))
    if "billed_units" not in units and "tokens" not in units and "generation_id" not in data:
        return None
    return Reading(counts=read_counts(units), tools=called(data), text=text(data.get("text")), id=response_id)


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An event of a streamed chat, of the second or first API."""
    del value
    kind = data.get("type") or data.get("event_type")
    if kind == "stream-end":
        whole = see(data.get("response"))
        if whole is not None:
            whole.stream = "cohere"
        return whole
    if kind == "text-generation":
        return Reading("chunk", text=text(data.get("text")), stream="cohere")
    if type(kind) is not str or kind not in _EVENTS:
        return None
    delta = parts(data.get("delta"))
    message = parts(delta.get("message"))
    chunk = Reading("chunk", stream="cohere")
    if kind == "message-start":
        chunk.begins = True
    elif kind in {"content-start", "content-delta"}:
        chunk.text = text(field(message.get("content"), "text"))
    elif kind == "tool-call-start":
        calls = called({"tool_calls": [message.get("tool_calls")]})
        chunk.tools, chunk.places = calls, [count(data.get("index"))]
    elif kind == "message-end":
        chunk.counts = read_counts(delta.get("usage"))
    else:
        return NOTHING
    return chunk
