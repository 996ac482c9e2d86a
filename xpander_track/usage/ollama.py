"""
Reads Ollama's answers, streamed or not, and embeddings.

The counts are on the last chunk. Where the prompt was still in the cache, older servers leave its count out: unknown.

Where things are: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .messages import called
from .reading import Reading, See
from .shape import parts, text


def read_answer(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An answer of ``chat``, ``generate`` or ``embed``: whole, or a chunk of a stream."""
    del value, see
    if "done" not in data and "prompt_eval_count" not in data and "eval_count" not in data:
        return None
    if not ("message" in data or "response" in data or "embeddings" in data or "model" in data):
        return None
    message = parts(data.get("message"))
    return Reading(
        "chunk",
        read_counts(data),
        called(message),
        text(message.get("content")) if message else text(data.get("response")),
        stream="ollama",
        ends=data.get("done") is not False,
    )
