"""
Reads the messages and results of AutoGen's AgentChat, and what its model clients give.

A run's usage is the sum of its messages' ``models_usage``; a streamed run ends with the result, which holds them all.

Where things are: https://microsoft.github.io/autogen/stable/reference/python/autogen_agentchat.messages.html.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .fold import merged
from .reading import NOTHING, Reading, See, group
from .shape import field, is_list, items, name, text

# Thoughts are not visible, and what is streamed comes again as a message.
_SILENT = {"ThoughtEvent", "ModelClientStreamingChunkEvent", "CodeGenerationEvent", "CodeExecutionEvent"}


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A message or an event, or a model client's ``CreateResult``."""
    del value, see
    content = data.get("content")
    if "models_usage" in data:
        usage, kind = data["models_usage"], text(data.get("type"))
        if usage is None and data.get("source") == "user":
            return NOTHING
        said = text(content) if kind not in _SILENT else None
        is_request = kind == "ToolCallRequestEvent"
        key = ("autogen message", message_id) if (message_id := name(data.get("id"))) else None
        return Reading(counts=read_counts(usage), tools=_called(content) if is_request else (), text=said, key=key)
    if "cached" in data and "usage" in data and "finish_reason" in data:
        return Reading(counts=read_counts(data["usage"]), tools=_called(content), text=text(content))
    return None


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``TaskResult``, or an agent's ``Response``."""
    del value
    if "chat_message" in data and "inner_messages" in data:
        return group([*(see(message) for message in items(data["inner_messages"])), see(data["chat_message"])])
    if "stop_reason" not in data or not is_list(data.get("messages")):
        return None
    return merged("terminal", [see(message) for message in items(data["messages"])])


def _called(content: object) -> list[str]:
    return [called for call in items(content) if (called := name(field(call, "name")))]
