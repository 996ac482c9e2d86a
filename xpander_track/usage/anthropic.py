"""
Reads Anthropic's messages.

Where things are: https://docs.anthropic.com/en/api/messages; cache tokens stand beside ``input_tokens``, not in them:
https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching.
"""

from __future__ import annotations

from .shape import count, field, items, joined, text
from .usage import Usage

_CALLS = {"tool_use", "server_tool_use", "mcp_tool_use"}


def read_message(response: object) -> Usage | None:
    """A ``Message``; None if it is none."""
    if field(response, "type") != "message" or not isinstance(field(response, "content"), list):
        return None
    usage, content = field(response, "usage"), items(response, "content")
    names = [text(field(block, "name")) for block in content if field(block, "type") in _CALLS]
    return Usage(
        id=text(field(response, "id")),
        prompt_tokens=count(field(usage, "input_tokens")),
        completion_tokens=count(field(usage, "output_tokens")),
        cache_read_tokens=count(field(usage, "cache_read_input_tokens")),
        cache_write_tokens=count(field(usage, "cache_creation_input_tokens")),
        tools=tuple(name for name in names if name),
        text=joined([text(field(block, "text")) for block in content if field(block, "type") == "text"]),
    )
