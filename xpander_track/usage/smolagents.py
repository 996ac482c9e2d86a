"""
Reads smolagents' runs, steps and messages.

Each step has its own usage; the run's is their sum, also over earlier runs where the memory was kept: then this run's
are the steps after the last task. The closing tool and the interpreter are no tools of the user's.

Where things are: https://huggingface.co/docs/smolagents/reference/agents.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts
from .fold import merged
from .messages import call_name, visible
from .reading import NOTHING, Reading, See, conversation
from .shape import count, field, is_list, items, name, parts, text

_OWN_TOOLS = {"final_answer", "python_interpreter"}


def read_run(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``RunResult``, an agent, or its memory."""
    del value
    if "memory" in data and "monitor" in data:
        return see(data["memory"])
    if not is_list(data.get("steps")) or not ("token_usage" in data or "system_prompt" in data):
        return None
    steps = [see(step) for step in items(data["steps"])]
    tasks = sum(step is not None and step.kind == "prompt" for step in steps)
    run = merged("whole", conversation(steps).parts)
    run.counts = (read_counts(data.get("token_usage")) if tasks <= 1 else None) or run.counts
    run.text = text(data.get("output")) or run.text
    return run


def read_step(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A step of a run, as the memory holds it or a stream gives it."""
    del value, see
    if "task" in data and "task_images" in data:
        return Reading("prompt")
    if "step_number" in data and "token_usage" in data:
        said = _answer(data) if data.get("is_final_answer") is True else None
        if said is None and not data.get("code_action"):
            said = visible(data.get("model_output"))
        return Reading("whole", read_counts(data["token_usage"]), _called(data), said, stream="smolagents")
    if "plan" in data and "token_usage" in data:
        return Reading("whole", read_counts(data["token_usage"]), stream="smolagents")
    if data.keys() == {"output"}:  # The last of a stream.
        return Reading("whole", text=text(data["output"]))
    return NOTHING if data.keys() == {"system_prompt"} else None


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``ChatMessage``, or a piece of a streamed one."""
    del value
    if "token_usage" not in data or "content" not in data:
        return None
    if "role" not in data:
        calls = [parts(call) for call in items(data.get("tool_calls"))]
        named = {count(call.get("index")): called for call in calls if (called := call_name(call))}
        return Reading(
            "chunk", read_counts(data["token_usage"]), list(named.values()), text(data["content"]), stream="smolagents",
            places=list(named),
        )  # fmt: skip
    if text(data["role"]) != "assistant":
        return NOTHING
    raw = see(data.get("raw"))  # It knows of the cache.
    counts = (raw.counts if raw is not None else None) or read_counts(data["token_usage"])
    return Reading(counts=counts, tools=_called(data), text=visible(data["content"]), id=raw.id if raw else None)


def _answer(step: dict[str, Any]) -> str | None:
    """What the last step answers: its output, or what it closes the run with."""
    calls = [parts(call) for call in items(step.get("tool_calls"))]
    given = [field(call.get("arguments") or field(call.get("function"), "arguments"), "answer") for call in calls]
    return next((said for value in [step.get("action_output"), *given] if (said := text(value))), None)


def _called(data: dict[str, Any]) -> list[str]:
    names = [name(field(call, "name")) or call_name(call) for call in items(data.get("tool_calls"))]
    return [called for called in names if called and called not in _OWN_TOOLS]
