"""
Reads pydantic-ai's runs, messages and events.

``usage`` is the run's own sum (handed from run to run by ``usage=``, it is that of all of them). It begins with zeros:
what is 0 was not reported. The calls are those in the run's new messages; the output tool is no tool.

Where things are: https://ai.pydantic.dev/api/run/ and https://ai.pydantic.dev/api/usage/.
"""

from __future__ import annotations

from typing import Any

from .counts import read_counts, together
from .fold import merged
from .reading import NOTHING, Reading, See
from .shape import count, field, is_list, items, joined, name, parts, text

_OUTPUT_TOOL = "final_result"  # Followed by the type's name where there are several.


def read_result(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An ``AgentRunResult`` or a ``StreamedRunResult``; or its output, usage and messages as a dict."""
    del value
    if "_state" in data and "output" in data:
        state = parts(data["_state"])
        messages = items(state.get("message_history"))[count(data.get("_new_message_index")) or 0 :]
        return _run(data["output"], state.get("usage"), messages, data.get("_output_tool_name"), see)
    if "output" in data and "usage" in data and is_list(data.get("messages")):
        messages = items(data["messages"])
        run_id = field(messages[-1], "run_id") if messages else None
        return _run(data["output"], data["usage"], [m for m in messages if field(m, "run_id") == run_id], None, see)
    if "_streamed_run_result" in data:
        return see(data["_streamed_run_result"])
    if "_stream_response" in data and "_all_messages" in data:
        return _streamed(data, see)
    return None


def read_message(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """A ``ModelResponse`` or a ``ModelRequest``."""
    del value, see
    kind = data.get("kind")
    if kind not in ("request", "response") or not is_list(data.get("parts")):
        return None
    found = [parts(part) for part in items(data["parts"])]
    kinds = {text(part.get("part_kind")) for part in found}
    if kind == "request":  # What a tool gives may be told as the user's words.
        return Reading("prompt") if "user-prompt" in kinds and "tool-return" not in kinds else NOTHING
    calls = [name(part.get("tool_name")) for part in found if part.get("part_kind") in _CALLS]
    return Reading(
        counts=read_counts(data.get("usage")),
        tools=[called for called in calls if called and not called.startswith(_OUTPUT_TOOL)],
        text=joined([text(part.get("content")) for part in found if part.get("part_kind") == "text"]),
        id=name(data.get("provider_response_id")),
    )


def read_event(data: dict[str, Any], value: object, see: See) -> Reading | None:
    """An event of a run, of which the last holds the result; or one of ``agent.iter``'s nodes."""
    del value
    kind = data.get("event_kind")
    if kind == "agent_run_result":
        run = see(data.get("result"))
        if run is not None:
            run.kind = "terminal"
        return run
    if kind == "function_tool_call":
        part = parts(data.get("part"))
        called = name(part.get("tool_name"))
        return Reading("chunk", tools=[called] if called else (), stream="pydantic-ai")
    if kind in {"part_start", "part_delta"}:
        part = parts(data.get("part") or data.get("delta"))
        is_text = part.get("part_kind") == "text" or part.get("part_delta_kind") == "text"
        said = text(part.get("content")) or text(part.get("content_delta"))
        return Reading("chunk", text=said, stream="pydantic-ai") if is_text else NOTHING
    if type(kind) is str:
        return NOTHING
    return see(data["model_response"]) if "model_response" in data else None


_CALLS = {"tool-call", "builtin-tool-call"}


def _run(output: object, usage: object, messages: list[Any], output_tool: object, see: See) -> Reading:
    readings = [see(message) for message in messages]
    responses = [reading for reading in readings if reading is not None and reading.kind == "whole"]
    for response in responses:
        response.tools = [called for called in response.tools if called != output_tool]
    run = merged("whole", responses, each=True)
    run.counts = read_counts(usage) or run.counts
    run.text = run.text if output is None else text(output)
    return run


def _streamed(data: dict[str, Any], see: See) -> Reading | None:
    if data.get("_run_result") is not None:
        return see(data["_run_result"])
    stream = parts(data["_stream_response"])
    messages = items(data["_all_messages"])[count(data.get("_new_message_index")) or 0 :]
    run = _run(None, None, messages, None, see)
    usages = [stream.get("_initial_run_ctx_usage"), field(stream.get("_raw_stream_response"), "_usage")]
    run.counts = together([read_counts(usage) for usage in usages]) or run.counts
    return run
