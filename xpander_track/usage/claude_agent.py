"""
Reads the messages of the Claude agent SDK, as its ``query()`` gives them or as the CLI prints them.

The ``ResultMessage`` has the run's total. The ``AssistantMessage``s repeat the usage of one API message each time, with
an output count that is not yet the last one: they count only where a run was cut before its result.

Where things are: https://docs.claude.com/en/docs/agent-sdk/cost-tracking.
"""

from __future__ import annotations

from typing import Any

from .counts import read_by_model, read_counts
from .messages import visible
from .reading import NOTHING, Reading, See
from .shape import is_list, items, name, parts, text


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``ResultMessage``."""
    del value, see
    if "num_turns" not in data or "duration_ms" not in data:
        return None
    counts = read_counts(data.get("usage")) or read_by_model(data.get("model_usage") or data.get("modelUsage"))
    return Reading("terminal", counts, text=text(data.get("result")))


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """Any other message."""
    del value, see
    if data.get("type") == "assistant" and "content" in parts(data.get("message")):  # As the CLI prints it.
        data = parts(data["message"])
        data = {**data, "message_id": data.get("id")}
    elif "role" in data or not ("parent_tool_use_id" in data or "message_id" in data):
        return NOTHING if "subtype" in data and "data" in data else None
    if not is_list(data.get("content")) or "model" not in data:
        return NOTHING  # The user's, or a raw event, which is told again as a message.
    calls = {name(block.get("id")): called for b in items(data["content"]) if (called := _called(block := parts(b)))}
    message_id = name(data.get("message_id"))
    return Reading(
        "chunk" if message_id else "whole",
        read_counts(data.get("usage")),
        list(calls.values()),
        visible(data["content"]),
        message_id,
        stream="claude agent",
        places=list(calls),
    )


def _called(block: dict[str, Any]) -> str | None:
    return name(block.get("name")) if "input" in block and "id" in block else None
