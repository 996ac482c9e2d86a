"""
Reads CrewAI's outputs of crews, tasks and single agents.

A crew's ``token_usage`` is that of its language model's whole life: a second kickoff's holds both, and does not say so.
It begins with zeros: with no successful request, nothing was reported.

Where things are: https://docs.crewai.com/en/concepts/crews#crew-output.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .messages import called
from .reading import Reading, See
from .shape import items, parts, text


def read_output(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``CrewOutput``, a ``TaskOutput`` or a ``LiteAgentOutput``."""
    del value
    if "_completed" in data and "_result" in data:  # A streamed crew's, once it has ended.
        return see(data["_result"])
    if "raw" not in data:
        return None
    if "tasks_output" in data:
        outputs = [parts(task) for task in items(data["tasks_output"])]
    elif "usage_metrics" in data or "expected_output" in data:
        outputs = [data]
    else:
        return None
    messages = [parts(message) for output in outputs for message in items(output.get("messages"))]
    return Reading(
        counts=read_counts(data.get("token_usage")) or read_counts(data.get("usage_metrics")),
        tools=[tool for message in messages for tool in called(message)],
        text=text(data["raw"]),
    )
