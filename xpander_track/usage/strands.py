"""
Reads the results and events of strands agents.

An agent's ``accumulated_usage`` is that of its whole life, ``agent_invocations[-1]`` that of this call. They begin with
zeros: where all are 0, nothing was reported.

Where things are: https://strandsagents.com/latest/documentation/docs/user-guide/observability-evaluation/metrics/.
"""

from __future__ import annotations

from typing import Any

from . import bedrock
from .counts import Counts, read_counts
from .messages import called, visible
from .reading import NOTHING, Reading, See
from .shape import field, items, name, parts

EVENTS = {
    "init_event_loop", "start", "start_event_loop", "data", "delta", "current_tool_use", "message", "force_stop",
    "event_loop_throttled_delay", "tool_stream_event", "reasoning", "complete", "event_loop_cycle_id",
}  # fmt: skip


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An ``AgentResult``, or that of a graph or swarm of agents."""
    del value
    if "accumulated_usage" in data and "results" in data:
        return _many(data, see)
    metrics = parts(data.get("metrics"))
    if "accumulated_usage" not in metrics or "message" not in data:
        return None
    calls = [parts(call) for call in items(metrics.get("agent_invocations"))]
    usage = calls[-1].get("usage") if calls else metrics["accumulated_usage"]
    message = parts(data["message"])
    return Reading(counts=_counts(usage), tools=_tools(metrics, calls), text=visible(message.get("content")))


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """One of ``stream_async``: each tells the same again, the last has the result."""
    if "accumulated_usage" in parts(field(data.get("result"), "metrics")):
        result = see(data["result"])
        if result is not None:
            result.kind = "terminal"
        return result
    if "event" in data and len(data) == 1:
        return bedrock.read_event(parts(data["event"]), value, see)
    return NOTHING if type(value) is dict and data.keys() <= EVENTS else None


def _counts(usage: object) -> Counts | None:
    counts = read_counts(usage)
    if counts is None or not any(counts[:-1]):
        return None
    return counts._replace(cache_in_prompt=None)  # It depends on the model.


def _tools(metrics: dict[str, Any], calls: list[dict[str, Any]]) -> list[str]:
    # A trace for each cycle of the agent's life: those of this call are the last ones.
    traces = items(metrics.get("traces"))
    cycles = len(items(calls[-1].get("cycles"))) if calls else len(traces)
    steps = [parts(step) for trace in traces[len(traces) - cycles :] for step in items(field(trace, "children"))]
    messages = [message for step in steps if (message := parts(step.get("message"))).get("role") == "assistant"]
    found = [tool for message in messages for tool in called(message)]
    if found or traces:
        return found
    by_name = parts(metrics.get("tool_metrics")) or parts(metrics.get("tool_usage"))
    return [tool for key in by_name if (tool := name(key))]


def _many(data: dict[str, Any], see: See) -> Reading:
    readings = [see(field(node, "result")) for node in list(parts(data["results"]).values())]
    said = [reading for reading in readings if reading is not None]
    return Reading(
        counts=_counts(data["accumulated_usage"]),
        tools=[tool for reading in said for tool in reading.tools],
        text=next((reading.text for reading in reversed(said) if reading.text), None),
    )
