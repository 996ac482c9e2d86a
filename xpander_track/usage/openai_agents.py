"""
Reads the runs of OpenAI's agents SDK, and what is left of a failed one (``exception.run_data``).

The run's usage is the sum of its ``raw_responses``, and of the runs of the agents that it used as tools.

Where things are: https://openai.github.io/openai-agents-python/usage/.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .fold import merged
from .reading import NOTHING, Reading, See
from .shape import field, is_list, items, text

_EVENTS = {"run_item_stream_event", "agent_updated_stream_event"}


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``RunResult``, streamed or not, or a ``RunErrorDetails``."""
    del value
    if "run_data" in data:
        return see(data["run_data"])
    if not is_list(data.get("raw_responses")) or not ("new_items" in data or "final_output" in data):
        return None
    responses = [see(response) for response in items(data["raw_responses"])]
    run = merged("whole", responses, each=True)
    run.counts = read_counts(field(data.get("context_wrapper"), "usage")) or run.counts
    run.text = text(data.get("final_output")) or run.text
    return run


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """One of ``stream_events``: the raw ones have the model's responses."""
    del value
    kind = data.get("type")
    if kind == "raw_response_event":
        return see(data.get("data"))
    return NOTHING if type(kind) is str and kind in _EVENTS else None
