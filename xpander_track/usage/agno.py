"""
Reads agno's runs of agents, teams and workflows, and their events.

``metrics`` are the run's sum, verbatim by provider, and begin with zeros; its messages repeat the parts. A team's are
its leader's: those of its members stand in ``member_responses``.

Where things are: https://docs.agno.com/reference/agents/run-response.
"""

from __future__ import annotations

from typing import Any

from .counts import Counts, read_counts, together
from .messages import called
from .reading import NOTHING, Reading, See, group
from .shape import field, is_list, items, name, parts, text

_MARKS = ("agent_id", "team_id", "workflow_id", "model_provider", "status")


def read_run(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``RunOutput``, ``TeamRunOutput`` or ``WorkflowRunOutput``."""
    del value
    if "run_id" not in data or name(data.get("event")) or not any(mark in data for mark in _MARKS):
        return None
    if is_list(data.get("step_executor_runs")):
        runs = [see(run) for run in items(data["step_executor_runs"])]
        return group([*runs, Reading(text=text(data.get("content")))])
    return _run(data, see)


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An event of a streamed run, of which the last holds the whole."""
    del value
    kind = name(data.get("event"))
    if kind is None or "run_id" not in data or "created_at" not in data:
        return None
    kind = kind.removeprefix("Team")
    if kind in {"RunCompleted", "RunPaused", "RunCancelled"}:
        return _run(data, see)
    chunk = Reading("chunk", key=_key(data), stream="agno")
    if kind == "ModelRequestCompleted":
        chunk.counts, chunk.adds = _counts(data), True
    elif kind in {"ToolCallStarted", "ToolCallCompleted"} and not data.get("parent_run_id"):
        tool = parts(data.get("tool"))
        chunk.tools = [tool_name] if (tool_name := name(tool.get("tool_name"))) else ()
        chunk.places = [name(tool.get("tool_call_id"))]
    elif kind == "RunContent":
        chunk.text = text(data.get("content"))
    else:
        return NOTHING
    return chunk


def _run(data: dict[str, Any], see: See) -> Reading:
    messages = [parts(message) for message in items(data.get("messages"))]
    answers = [m for m in messages if m.get("role") == "assistant" and m.get("from_history") is not True]
    turns = [Reading(counts=_counts(m.get("metrics")), id=name(field(m.get("provider_data"), "id"))) for m in answers]
    tools = [tool_name for tool in items(data.get("tools")) if (tool_name := name(field(tool, "tool_name")))]
    run = Reading(
        counts=_counts(data.get("metrics")) or together([turn.counts for turn in turns]),
        tools=() if data.get("parent_run_id") else tools or [one for answer in answers for one in called(answer)],
        text=text(data.get("content")),
        key=_key(data),
        parts=turns,
    )
    members = [see(member) for member in items(data.get("member_responses"))]
    for member in members:
        _silence(member)
    return group([*members, run]) if members else run


def _silence(member: Reading | None) -> None:
    """A member's calls are not the team's: that one's call is the delegation."""
    if member is not None:
        member.tools = ()
        for part in member.parts if member.kind == "group" else ():
            _silence(part)


def _key(data: dict[str, Any]) -> tuple[str, str] | None:
    run_id = name(data.get("run_id"))
    return ("agno run", run_id) if run_id else None


def _counts(metrics: object) -> Counts | None:
    counts = read_counts(metrics)
    if counts is None or not (counts.prompt or counts.completion):
        return None
    # Where there are counts, what is left out of the JSON is 0.
    return counts._replace(cache_read=counts.cache_read or 0, cache_write=counts.cache_write or 0)
