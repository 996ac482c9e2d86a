"""
Reads llama-index's responses and the events of its agents.

The usage is in ``raw``, the provider's own object; in an agent's output that of its last turn: the turns add up. The
events repeat each tool call, the last output those of all turns: a call is told by its id.

Where things are: https://docs.llamaindex.ai/en/stable/api_reference/prompts/ and .../agent/.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts, together
from .messages import call_name, visible
from .reading import NOTHING, Reading, See
from .shape import field, is_list, items, name, parts, text

_REPEATS = ({"tool_name", "tool_kwargs", "tool_id"}, {"input", "current_agent_name"}, {"delta", "current_agent_name"})


def read_response(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``ChatResponse`` or ``CompletionResponse``: whole, or a piece of a stream (with what came before)."""
    del value
    if "raw" not in data or "logprobs" not in data or not ("message" in data or "text" in data):
        return None
    raw = see(data["raw"])
    message = parts(data.get("message"))
    sources = (data.get("additional_kwargs"), message.get("additional_kwargs"))
    counts = raw.counts if raw is not None else None
    counts = counts or next((found for source in sources if (found := read_counts(source))), None)
    calls = _calls(message)
    return Reading(
        "whole" if data.get("delta") is None else "chunk",
        counts,
        list(calls.values()),
        _text(message) if message else text(data.get("text")),
        None if raw is None else raw.id,
        stream="llama-index",
        retells=True,
        places=list(calls),
    )


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An ``AgentOutput``, or another event of an agent's run."""
    del value
    if any(names <= data.keys() for names in _REPEATS):
        return NOTHING
    if "response" in data and "tool_calls" in data and "current_agent_name" in data:
        raw = see(data.get("raw"))
        message = parts(data["response"])
        calls = {name(field(call, "tool_id")): name(field(call, "tool_name")) for call in items(data["tool_calls"])}
        named = _calls(message)
        named.update({place: called for place, called in calls.items() if called})
        counts = None if raw is None else raw.counts
        return Reading(
            "chunk", counts, list(named.values()), _text(message), stream="llama-index agent", adds=True, retells=True,
            places=list(named),
        )  # fmt: skip
    if len(data) == 1 and "current_agent_name" in parts(data.get("result")):  # The last event, with the last output.
        last = see(data["result"])
        if last is not None:
            last.kind = "echo"
        return last
    if is_list(data.get("llm_token_counts")):  # The token counting handler.
        return Reading(counts=together([read_counts(counted) for counted in items(data["llm_token_counts"])]))
    return None


def _calls(message: dict[str, Any]) -> dict[object, str]:
    blocks = [parts(block) for block in items(message.get("blocks"))]
    calls = {name(b.get("tool_call_id")): name(b.get("tool_name")) for b in blocks if b.get("tool_name") is not None}
    older = items(field(message.get("additional_kwargs"), "tool_calls"))
    calls = calls or {name(field(call, "id")): call_name(call) for call in older}
    return {place: called for place, called in calls.items() if called}


def _text(message: dict[str, Any]) -> str | None:
    return visible(message.get("blocks")) or visible(message.get("content"))
