"""Reads a usage by itself, or on an object that no other file knows: embeddings, a batch's sum, a wrapper."""

from __future__ import annotations

from typing import Any

from .counts import read_by_model, read_counts
from .reading import Reading, See
from .shape import name

# The last is of instructor's error after its retries.
_USAGES = ("usage", "usage_metadata", "usageMetadata", "token_usage", "usage_metrics", "total_usage")
_WRAPPERS = ("response", "completion", "raw_response")
HOLDERS = (*_USAGES, *_WRAPPERS)


def read_holder(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """Something with a usage, or around a response."""
    del value
    for holder in _USAGES:
        usage = data.get(holder)
        counts = None if usage is None else read_counts(usage)
        if counts is not None:
            return Reading(counts=counts, id=name(data.get("id")))
    for wrapper in _WRAPPERS:
        inner = data.get(wrapper)
        reading = None if inner is None else see(inner)
        if reading is not None:
            return reading
    return None


def read_usage_object(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A usage by itself, or usages by the model's name."""
    del see
    counts = read_counts(data)
    if counts is None:
        by_model = read_by_model(data) if type(value) is dict else None
        return None if by_model is None else Reading(counts=by_model)
    # An input alone is an estimate: what the endpoints that count tokens give.
    is_used = counts.completion is not None or "prompt_tokens" in data
    return Reading(counts=counts) if is_used else None
