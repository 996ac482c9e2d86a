"""
Reads haystack's messages, chunks, and what its generators, agents and pipelines give.

An agent's ``last_message`` is in its ``messages``, and its ``token_usage`` is their sum: it counts once.

Where things are: https://docs.haystack.deepset.ai/docs/chatmessage.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .fold import merged
from .reading import NOTHING, Reading, See, conversation, group
from .shape import count, field, is_list, items, joined, name, parts, text


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``ChatMessage``."""
    del value, see
    own = "_role" in data
    role, meta = (data.get("_role"), data.get("_meta")) if own else (data.get("role"), data.get("meta"))
    content = data.get("_content") if own else data.get("content")
    if role is None or meta is None or not is_list(content):
        return None
    role = text(role) or text(field(role, "_value_"))  # An enum's
    if role != "assistant":
        return Reading("prompt") if role == "user" else NOTHING
    blocks = [parts(block) for block in items(content)]
    calls = [parts(block.get("tool_call")) or block for block in blocks]
    return Reading(
        counts=read_counts(field(meta, "usage")),
        tools=[called for call in calls if (called := name(call.get("tool_name")))],
        text=joined([text(block.get("text")) for block in blocks]),
    )


def read_chunk(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``StreamingChunk``."""
    del value, see
    if "component_info" not in data or "meta" not in data:
        return None
    calls = [parts(call) for call in items(data.get("tool_calls"))]
    named = {count(call.get("index")): called for call in calls if (called := name(call.get("tool_name")))}
    counts = read_counts(field(data["meta"], "usage"))
    return Reading(
        "chunk", counts, list(named.values()), text(data.get("content")), stream="haystack", begins=False,
        places=list(named),
    )  # fmt: skip


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """What a generator or an agent gives."""
    del value
    if is_list(data.get("replies")):
        replies = items(data["replies"])
        metas = items(data.get("meta"))  # Of a generator of texts.
        texts = [Reading(counts=read_counts(field(m, "usage")), text=text(r)) for r, m in zip(replies, metas)]  # noqa: B905
        return group(texts or [see(reply) for reply in replies])
    if "last_message" not in data or not is_list(data.get("messages")):
        return None
    run = merged("whole", conversation([see(message) for message in items(data["messages"])]).parts)
    run.counts = read_counts(data.get("token_usage")) or run.counts
    return run
