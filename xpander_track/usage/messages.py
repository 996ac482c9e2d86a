"""
Messages by role, as conversations hold them: ``{"role": "assistant", "content": ..., "tool_calls": [...]}``.

The form of OpenAI's requests, which many keep their history in; also that of Anthropic's and Bedrock's, whose content
is a list of blocks. The other readers take from here what they have in common.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .reading import NOTHING, Reading, See, conversation, group
from .shape import field, is_list, items, joined, name, parts, text

_ANSWERS = {"assistant", "ai", "model"}
_PROMPTS = {"user", "human"}
_OTHERS = {"system", "tool", "function", "developer", "ipython", "tool-response", "tool-call"}
_MAX_NODES = 100


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """One message by its role."""
    del value, see
    role = text(data.get("role"))
    if role is None or not ("content" in data or "tool_calls" in data or "blocks" in data):
        return None
    content = data.get("content")
    if role in _PROMPTS:
        answers_call = any("tool_use_id" in (block := parts(b)) or "toolResult" in block for b in items(content))
        return NOTHING if answers_call else Reading("prompt")
    if role in _OTHERS:
        return NOTHING
    if role not in _ANSWERS:
        return None
    counts = read_counts(data.get("usage")) or read_counts(field(data.get("metadata"), "usage"))
    return Reading(
        counts=counts, tools=called(data), text=visible(content) or text(data.get("refusal")), id=name(data.get("id"))
    )


def read_state(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """
    A state with messages (LangGraph), or one state by the name of the node or component that gave it.

    What such a step gives is new, a state also has what was there before: it is read from the last prompt on.
    """
    messages = data.get("messages")
    if is_list(messages):
        readings = [see(message) for message in items(messages)]
        return conversation(readings) if any(readings) else None
    if messages is not None:
        return see(messages)
    if type(value) is not dict or len(data) > _MAX_NODES:
        return None
    steps = [step for step in list(data.values()) if "messages" in (inner := parts(step)) or "replies" in inner]
    return group([see(step) for step in steps]) if steps else None


def visible(content: object) -> str | None:
    """The text of a content: a text, or the text blocks of a list, not its thoughts."""
    said = text(content)
    if said is not None:
        return said
    return joined([text(block) or _visible(parts(block)) for block in items(content)])


def called(message: dict[str, Any]) -> list[str]:
    """Names of the tool calls in a message: of its ``tool_calls``, else of the blocks of its content."""
    calls = items(message.get("tool_calls"))
    names = [call_name(call) for call in calls] or [
        _called(parts(block)) for block in items(message.get("content") or message.get("blocks"))
    ]
    if not calls and "function_call" in message:  # OpenAI's old form of one call.
        names.append(field(message["function_call"], "name"))
    return [said for called in names if (said := name(called))]


def call_name(call: object) -> str | None:
    """The name of a tool call: its function's, its own, or that of a custom tool."""
    data = parts(call)
    called = parts(data.get("function")) or parts(data.get("custom")) or data
    return name(called.get("name")) or name(data.get("tool_name"))


def _visible(block: dict[str, Any]) -> str | None:
    kind = text(block.get("type")) or text(block.get("block_type"))
    return text(block.get("text")) if kind in {None, "text", "output_text", "TextContent"} else None


def _called(block: dict[str, Any]) -> str | None:
    kind = text(block.get("type")) or text(block.get("block_type"))
    if kind in {"tool_use", "server_tool_use", "mcp_tool_use", "function_call", "tool_call"}:
        return name(block.get("name")) or name(block.get("tool_name"))
    return name(field(block.get("toolUse"), "name"))
