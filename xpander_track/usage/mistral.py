"""
Reads what Mistral's client has of its own: the events of its streams, and conversations. Its chat has OpenAI's shape.

What connectors put into the prompt is counted beside it (``connector_tokens``), and is not added to it.

Where things are: https://docs.mistral.ai/api/.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .messages import visible
from .reading import NOTHING, Reading, See
from .shape import is_list, items, joined, name, parts, text

_CALLS = {"function.call", "tool.execution"}


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``CompletionEvent``, or an event of a streamed conversation."""
    del value
    inner = parts(data.get("data"))
    if "choices" in inner:
        return see(data["data"])
    kind = text(inner.get("type"))
    if kind is None or "event" not in data:
        return None
    chunk = Reading("chunk", stream="mistral")
    if kind == "message.output.delta":
        content = inner.get("content")
        chunk.text = text(content) or visible([content])
    elif kind in {"function.call.delta", "tool.execution.started"}:
        chunk.tools = [called] if (called := name(inner.get("name"))) else ()
        chunk.places = [name(inner.get("id")) or name(inner.get("tool_call_id"))]
    elif kind == "conversation.response.done":
        chunk.counts, chunk.ends = read_counts(inner.get("usage")), True
    elif kind == "conversation.response.started":
        chunk.begins = True
    else:
        return NOTHING
    return chunk


def read_conversation(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``ConversationResponse``."""
    del value, see
    if "conversation_id" not in data or not is_list(data.get("outputs")):
        return None
    outputs = [parts(output) for output in items(data["outputs"])]
    messages = [visible(output.get("content")) for output in outputs if output.get("type") == "message.output"]
    return Reading(
        counts=read_counts(data.get("usage")),
        tools=[called for o in outputs if o.get("type") in _CALLS and (called := name(o.get("name")))],
        text=joined(messages),
    )
