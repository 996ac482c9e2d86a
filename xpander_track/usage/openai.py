"""
Reads OpenAI's chat completions, their stream chunks, and responses; also what copies their shape.

Where things are: https://platform.openai.com/docs/api-reference/chat/object and .../responses/object.
"""

from __future__ import annotations

from .shape import count, field, fields, items, joined, text
from .usage import Usage

_NAMED_CALLS = {"function_call", "custom_tool_call", "mcp_call"}


def read_chat(response: object) -> Usage | None:
    """A ``ChatCompletion`` or a ``ChatCompletionChunk``; None if it is neither."""
    if not isinstance(field(response, "choices"), list):
        return None
    choices = items(response, "choices")
    is_chunk = field(response, "object") == "chat.completion.chunk" or any(
        field(c, "delta") is not None for c in choices
    )
    part = "delta" if is_chunk else "message"
    message = field(choices[0], part) if choices else None
    usage = field(response, "usage")
    calls = _called(message)
    return Usage(
        id=text(field(response, "id")),
        prompt_tokens=count(field(usage, "prompt_tokens")),
        completion_tokens=count(field(usage, "completion_tokens")),
        cache_read_tokens=count(fields(usage, "prompt_tokens_details", "cached_tokens")),
        cache_write_tokens=count(fields(usage, "prompt_tokens_details", "cache_write_tokens")),
        tools=tuple(calls.values()),
        text=text(field(message, "content")) or text(field(message, "refusal")) or text(field(message, "content")),
        is_chunk=is_chunk,
        places=tuple(calls),
    )


def read_response(response: object) -> Usage | None:
    """A ``Response`` of the Responses API; None if it is none."""
    if field(response, "object") != "response":
        return None
    usage, output = field(response, "usage"), items(response, "output")
    parts = [part for item in output if field(item, "type") == "message" for part in items(item, "content")]
    return Usage(
        id=text(field(response, "id")),
        prompt_tokens=count(field(usage, "input_tokens")),
        completion_tokens=count(field(usage, "output_tokens")),
        cache_read_tokens=count(fields(usage, "input_tokens_details", "cached_tokens")),
        cache_write_tokens=count(fields(usage, "input_tokens_details", "cache_write_tokens")),
        tools=tuple(name for item in output if (name := _named(item))),
        text=joined([text(field(part, "text")) or text(field(part, "refusal")) for part in parts]),
    )


def _called(message: object) -> dict[object, str]:
    """The names of tool calls by their place; in a stream, only a call's first chunk has its name."""
    names: dict[object, str | None] = {None: text(fields(message, "function_call", "name"))}
    for position, call in enumerate(items(message, "tool_calls")):
        place = count(field(call, "index"))
        called = field(call, "function") or field(call, "custom")
        names[position if place is None else place] = text(field(called, "name"))
    return {place: name for place, name in names.items() if name}


def _named(item: object) -> str | None:
    """The name of a tool call; hosted tools (``web_search_call``) have only their kind."""
    kind = text(field(item, "type")) or ""
    if kind in _NAMED_CALLS:
        return text(field(item, "name"))
    return kind.removesuffix("_call") if kind.endswith("_call") else None
