"""
Reads dspy's predictions, and the entries of a language model's history.

A prediction has its usage only with ``dspy.configure(track_usage=True)``. Its text is the last field of its signature.

Where things are: https://dspy.ai/api/primitives/Prediction/.
"""

from __future__ import annotations

from typing import Any

from .counts import read_by_model, read_counts
from .reading import Reading, See
from .shape import items, name, parts, text

_NO_ANSWERS = {"trajectory", "reasoning", "rationale", "lm_usage"}


def read_prediction(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``Prediction``, or a history entry."""
    del value
    if "_lm_usage" in data:
        usage, fields = data["_lm_usage"], parts(data.get("_store"))
    elif "lm_usage" in data:
        usage, fields = data["lm_usage"], data
    elif "outputs" in data and "response" in data and "usage" in data:
        return _entry(data, see)
    else:
        return None
    texts = [text(given) for field, given in fields.items() if field not in _NO_ANSWERS]
    answer = next((said for said in reversed(texts) if said is not None), None)
    return Reading(counts=read_by_model(usage), tools=_tools(parts(fields.get("trajectory"))), text=answer)


def _tools(trajectory: dict[str, Any]) -> list[str]:
    names = [name(value) for field, value in trajectory.items() if text(field) and field.startswith("tool_name_")]
    return [called for called in names if called and called != "finish"]


def _entry(data: dict[str, Any], see: See) -> Reading:
    response = see(data["response"]) or Reading()
    response.counts = read_counts(data["usage"]) or response.counts
    response.text = response.text or text((items(data["outputs"]) or [None])[0])
    return response
