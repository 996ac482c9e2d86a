"""
Reads what an MCP tool gives: its text. It has no usage, and does not name the tool: only who calls it knows.

Where things are: https://modelcontextprotocol.io/specification/.
"""

from __future__ import annotations

from typing import Any

from .messages import visible
from .reading import Reading, See
from .shape import is_list

_MARKS = ("is_error", "isError", "structured_content", "structuredContent")


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``CallToolResult``."""
    del value, see
    if not is_list(data.get("content")) or not any(mark in data for mark in _MARKS):
        return None
    failed = data.get("is_error") is True or data.get("isError") is True
    return Reading(text=None if failed else visible(data["content"]))
