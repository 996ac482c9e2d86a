"""
Reads OpenAI's chat completions and responses, their streams and batches, and all who copy their shape: Groq, Hugging
Face, Mistral, LiteLLM, DeepSeek, OpenRouter and other compatible servers.

Where things are: https://platform.openai.com/docs/api-reference/chat/object and .../responses/object.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .messages import call_name, visible
from .reading import NOTHING, Reading, See
from .shape import count, field, is_list, items, joined, name, parts, text

_NAMED_CALLS = {"function_call", "custom_tool_call", "mcp_call"}
_LAST_EVENTS = {"response.completed", "response.incomplete", "response.failed"}
# What the stream helper of the chat tells beside the chunks: the same again.
_DERIVED_EVENTS = {
    "content.delta", "content.done", "refusal.delta", "refusal.done", "logprobs.content.delta",
    "logprobs.content.done", "logprobs.refusal.delta", "logprobs.refusal.done",
    "tool_calls.function.arguments.delta", "tool_calls.function.arguments.done",
}  # fmt: skip


def read_chat(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``ChatCompletion``, one of its chunks, or an old ``Completion``."""
    del value, see
    choices = data.get("choices")
    if not is_list(choices):
        return None
    # Of several alternatives the first is the answer; in a stream each chunk is of one of them.
    listed = [parts(choice) for choice in items(choices)]
    choice = next((each for each in listed if not each.get("index")), parts(None))
    shape = listed[0] if listed else {"delta": None}  # The chunk that has only the usage.
    is_chunk = "delta" in shape
    if not is_chunk and "message" not in shape and "text" not in shape:
        return None
    usage = data.get("usage")
    if usage is None and data.get("x_groq") is not None:  # Groq's place, unless it is asked to do as others do.
        usage = field(data["x_groq"], "usage")
    reading = Reading(
        # The old completions have one shape, streamed or not.
        "chunk" if is_chunk or data.get("object") == "text_completion" else "whole",
        None if usage is None else read_counts(usage),
        id=name(data.get("id")),
        stream="openai chat",
    )
    message = parts(choice.get("delta") if is_chunk else choice.get("message"))
    if message:
        reading.text = visible(message.get("content")) or text(message.get("refusal"))
        if message.get("tool_calls") is not None or message.get("function_call") is not None:
            calls = _calls(message)
            reading.tools, reading.places = list(calls.values()), list(calls)
    else:
        reading.text = text(choice.get("text"))
    return reading


def read_response(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``Response``, or what the agents SDK keeps of one."""
    del value, see
    output = data.get("output")
    if data.get("object") != "response" and not (
        is_list(output) and "usage" in data and "messages" not in data and "object" not in data
    ):
        return None
    entries = [parts(item) for item in items(output)]
    contents = [parts(part) for item in entries if item.get("type") == "message" for part in items(item.get("content"))]
    return Reading(
        counts=read_counts(data.get("usage")),
        tools=[called for item in entries if (called := _entry_name(item))],
        text=joined([text(part.get("text")) or text(part.get("refusal")) for part in contents]),
        id=name(data.get("id")) or name(data.get("response_id")),
        stream="openai response",
    )


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An event of a streamed ``Response``, or of the chat's stream helper."""
    kind = data.get("type")
    if type(kind) is not str:
        return None
    if not kind.startswith("response."):
        if kind == "chunk" and "chunk" in data:
            return see(data["chunk"])
        return NOTHING if kind in _DERIVED_EVENTS else None
    if kind in _LAST_EVENTS:
        return read_response(parts(data.get("response")), value, see)
    event = Reading("chunk", stream="openai response", begins=kind == "response.created")
    if kind == "response.created":
        event.counts = read_counts(field(data.get("response"), "usage"))
    elif kind in {"response.output_text.delta", "response.refusal.delta"}:
        event.text = text(data.get("delta"))
    elif kind in {"response.output_item.added", "response.output_item.done"}:
        called = _entry_name(parts(data.get("item")))
        event.tools, event.places = ([called], [count(data.get("output_index"))]) if called else ((), None)
    else:
        return NOTHING
    return event


def read_batch_line(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A line of a batch's output: each has a result of its own, whatever the result's id is."""
    del value
    if "custom_id" not in data or "response" not in data:
        return None
    reading = see(field(data["response"], "body"))
    if reading is None:
        return NOTHING
    reading.key = ("line", name(data["custom_id"]), reading.id)
    return reading


def _calls(message: dict[str, Any]) -> dict[object, str]:
    """The names of tool calls by their place; in a stream, only a call's first chunk has its name."""
    names: dict[object, str | None] = {}
    calls = message.get("tool_calls")
    if calls is not None:
        for position, call in enumerate(items(calls)):
            place = count(field(call, "index"))
            # Gemini's compatible server gives all calls one place, but each its id.
            names[position if place is None else place, name(field(call, "id"))] = call_name(call)
    if message.get("function_call") is not None:  # The old form of one call.
        names[None] = name(field(message["function_call"], "name"))
    return {place: called for place, called in names.items() if called}


def _entry_name(item: dict[str, Any]) -> str | None:
    """The name of a tool call; hosted tools (``web_search_call``) have only their kind."""
    kind = text(item.get("type")) or ""
    if kind in _NAMED_CALLS:
        return name(item.get("name"))
    return kind.removesuffix("_call") if kind.endswith("_call") else None
