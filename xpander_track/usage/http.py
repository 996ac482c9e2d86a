"""
Reads HTTP responses: the SDKs' ``with_raw_response``, httpx, requests. Only a body that was read before; none is waited
for, or consumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .bedrock import read_json

if TYPE_CHECKING:
    from .reading import Reading, See


def read_raw(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A raw response."""
    del value
    if "http_response" in data:  # openai, anthropic, groq
        return see(data["http_response"])
    if "_data" in data and "_response" in data:  # cohere
        return see(data["_data"])
    body = data.get("_content")
    if type(body) is not bytes or "status_code" not in data:
        return None
    return see(read_json(body))
