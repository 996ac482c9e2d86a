"""
Reads LangChain's messages, results and events, in their own form, dumped, or as checkpoints and traces hold them.

``usage_metadata`` has the cached tokens in the prompt, also where the provider has them beside. A message may hold the
same counts up to three times; the first of ``usage_metadata``, ``token_usage`` and ``usage`` is taken.
LangGraph's states are lists of these messages: see ``messages.py``.

Where things are: https://reference.langchain.com/python/langchain-core/messages/ai/UsageMetadata.
"""

from __future__ import annotations

from typing import Any

from .counts import Counts, read_by_model, read_counts
from .fold import merged
from .messages import call_name, visible
from .reading import NOTHING, Reading, See
from .shape import count, field, is_list, items, name, parts, text

_ANSWERS = {"ai", "AIMessage", "AIMessageChunk"}
_PROMPTS = {"human", "HumanMessage", "HumanMessageChunk"}
_OTHERS = {
    "system", "tool", "function", "remove", "chat", "SystemMessage", "ToolMessage", "FunctionMessage", "RemoveMessage",
    "SystemMessageChunk", "ToolMessageChunk", "FunctionMessageChunk", "ChatMessage", "ChatMessageChunk",
}  # fmt: skip

RESULTS = (
    "generations", "generation_info", "parsing_error", "intermediate_steps", "usage_metadata", "interrupts", "ns",
    "payload",
)  # fmt: skip


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A message."""
    del value, see
    kind, form = data.get("type"), data
    if kind == "constructor" and data.get("lc") == 1:  # As `dumpd` writes it, which leaves out what is empty.
        kind, data = text((items(data.get("id")) or [None])[-1]), parts(data.get("kwargs"))
    elif "content" not in data and is_of_message(kind) and "content" in parts(data.get("data")):
        data = parts(data["data"])  # As `messages_to_dict` writes it.
    if not is_of_message(kind) or not (data is not form or "response_metadata" in data or "additional_kwargs" in data):
        return None
    if kind in _PROMPTS:
        return Reading("prompt")
    if kind in _OTHERS:
        return NOTHING
    metadata = parts(data.get("response_metadata"))
    message_id = name(data.get("id"))
    is_chunk = kind == "AIMessageChunk"
    pieces = [parts(piece) for piece in items(data.get("tool_call_chunks"))] if is_chunk else []
    names = [name(piece.get("name")) for piece in pieces] or _called(data)
    places: list[object] = [count(piece.get("index")) for piece in pieces]
    named = [(place, called) for place, called in zip(places or range(len(names)), names) if called]  # noqa: B905
    return Reading(
        "chunk" if is_chunk else "whole",
        _counts(data, metadata),
        [called for _, called in named],
        visible(data.get("content")),
        name(metadata.get("id")) or message_id,
        key=("langchain", message_id) if message_id else None,
        stream="langchain" if is_chunk else "",
        adds=True,
        places=[place for place, _ in named] if is_chunk and None not in places else None,
    )


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:  # noqa: PLR0911  # one for each
    """An ``LLMResult`` or ``ChatResult``, a generation, a structured output with its raw message, a usage handler."""
    del value
    if is_list(data.get("generations")):
        return _generations(data, see)
    if "message" in data and "generation_info" in data:
        return see(data["message"])
    if "raw" in data and "parsing_error" in data:
        return see(data["raw"])
    if "intermediate_steps" in data and "output" in data:
        steps = [next(iter(items(step)), None) for step in items(data["intermediate_steps"])]
        names = [called for step in steps if (called := name(field(step, "tool")))]
        return Reading(tools=names, text=text(data["output"]))
    if "usage_metadata" in data and "content" not in data:
        counts = read_by_model(data["usage_metadata"])
        return None if counts is None else Reading(counts=counts)
    if "value" in data and "interrupts" in data:  # LangGraph's GraphOutput
        return see(data["value"])
    if "ns" in data and "data" in data and "type" in data:  # LangGraph's parts of a stream
        return see(data["data"])
    if "payload" in data and "step" in data:  # LangGraph's debugging
        return see(data["payload"])
    return None


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """One of ``astream_events``: of all that repeat a message, the model's own count."""
    del value
    kind = text(data.get("event"))
    if kind is None or not kind.startswith("on_") or "run_id" not in data:
        return None
    inner = parts(data.get("data"))
    if kind in {"on_chat_model_end", "on_llm_end"}:
        return see(inner.get("output")) or NOTHING
    return see(inner.get("chunk")) or NOTHING if kind == "on_chat_model_stream" else NOTHING


def is_of_message(kind: object) -> bool:
    """Whether *kind* is the type of a message."""
    return type(kind) is str and (kind in _ANSWERS or kind in _PROMPTS or kind in _OTHERS)


def _counts(data: dict[str, Any], metadata: dict[str, Any]) -> Counts | None:
    sources = (data.get("usage_metadata"), metadata.get("token_usage"), metadata.get("usage"), metadata)
    return next((counts for source in sources if (counts := read_counts(source)) is not None), None)


def _called(data: dict[str, Any]) -> list[str | None]:
    # A call whose arguments are no JSON was asked for all the same.
    calls = [*items(data.get("tool_calls")), *items(data.get("invalid_tool_calls"))]
    return [call_name(call) for call in calls or items(field(data.get("additional_kwargs"), "tool_calls"))]


def _generations(data: dict[str, Any], see: See) -> Reading:
    # One list of alternatives for each prompt: the first is the answer, and the counts are for all of them.
    answers = [next(iter(items(each)), None) if is_list(each) else each for each in items(data["generations"])]
    readings = [see(field(answer, "message")) or Reading(text=text(field(answer, "text"))) for answer in answers]
    whole = merged("whole", readings, each=True)
    output = parts(data.get("llm_output"))
    said = read_counts(output.get("token_usage")) or read_counts(output.get("usage"))
    whole.counts = said or whole.counts
    whole.text = next((reading.text for reading in readings if reading.text), None)
    return whole
