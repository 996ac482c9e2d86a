"""A response counts once, whoever shows it: the user, the function's return, a framework's result, a run inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Run, current_run, track_task, tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable


def completion(response_id: str | None, prompt: int, *tools: str) -> dict[str, Any]:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in tools]
    return {
        "id": response_id,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok", "tool_calls": calls}}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 1},
    }


def message(message_id: str, prompt: int, provider_id: str | None = None) -> dict[str, Any]:
    """LangChain's message of such a completion."""
    return {
        "type": "ai",
        "id": message_id,
        "content": "ok",
        "tool_calls": [],
        "response_metadata": {"id": provider_id},
        "usage_metadata": {"input_tokens": prompt, "output_tokens": 1},
    }


def agents_result(*responses: tuple[str, int]) -> dict[str, Any]:
    """What the agents SDK's result holds."""
    raw = [
        {"response_id": response_id, "output": [], "usage": {"input_tokens": prompt, "output_tokens": 1}}
        for response_id, prompt in responses
    ]
    used = {"input_tokens": sum(prompt for _, prompt in responses), "output_tokens": len(raw)}
    return {"final_output": "ok", "new_items": [], "raw_responses": raw, "context_wrapper": {"usage": used}}


def prompts(*recorded: Any) -> int | None:
    with tracked_task() as run:
        for response in recorded:
            run.record_llm(response)
    return run.tokens and run.tokens.prompt_tokens


def tracked(function: Callable[[], Any]) -> Run:
    """The run of *function*."""
    runs: list[Run] = []

    @track_task
    def agent() -> Any:
        runs.append(current_run())
        return function()

    agent()
    return runs[0]


FIRST, SECOND = completion("chatcmpl-1", 100, "search"), completion("chatcmpl-2", 10)
RAW = {"response_id": "r1", "output": [], "usage": {"input_tokens": 100, "output_tokens": 1}}
STATE = {"messages": [message("lc-1", 100, "chatcmpl-1"), message("lc-2", 10, "chatcmpl-2")]}


def test_recorded_by_hand_returned_and_in_a_frameworks_result() -> None:
    def agent() -> Any:
        current_run().record_llm(FIRST)
        current_run().record_llm(STATE)
        current_run().record_llm(STATE["messages"][0])
        current_run().record_llm([FIRST, SECOND])
        return STATE

    run = tracked(agent)
    assert run.tokens
    assert (run.tokens.prompt_tokens, run.used_tools) == (110, ["search"])


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ([FIRST, SECOND], 110),  # a call that was tried again was paid twice
        ([FIRST, FIRST], 100),
        ([completion(None, 100), completion(None, 100)], 200),
        ([STATE, FIRST, SECOND], 110),
        ([SECOND, STATE], 110),
        ([STATE, STATE], 110),
        ([STATE, {"messages": [*STATE["messages"], message("lc-3", 1)]}], 111),
        ([message("lc-1", 100), message("lc-1", 100)], 100),
        # Some servers give all their responses one id: a framework's own ids tell the messages apart.
        ([message("lc-1", 100, "same"), message("lc-2", 10, "same")], 110),
        ([agents_result(("r1", 100), ("r2", 10))], 110),
        ([agents_result(("r1", 100), ("r2", 10)), RAW], 110),
        ([RAW, agents_result(("r1", 100), ("r2", 10))], 110),
        ([agents_result(("same", 100), ("same", 10))], 110),
    ],
)  # fmt: skip
def test_what_is_recorded(recorded: list[Any], expected: int) -> None:
    assert prompts(*recorded) == expected


def test_what_a_run_inside_has_counted_is_not_counted_outside() -> None:
    def outer() -> Any:
        with tracked_task() as inner:
            inner.record_llm(FIRST)
        return [FIRST, SECOND]

    run = tracked(outer)
    assert run.tokens
    assert (run.tokens.prompt_tokens, run.used_tools) == (10, [])


def test_a_stream_that_a_run_inside_has_read_is_not_counted_outside() -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": 5}}

    def outer() -> Any:
        with tracked_task() as inner:
            return list(inner.llm_stream([chunk]))

    assert tracked(outer).tokens is None


def test_what_a_failed_run_has_used_is_read_off_its_error() -> None:
    class MaxTurnsExceeded(Exception):
        """As the agents SDK raises it."""

    def agent() -> None:
        error = MaxTurnsExceeded("too many")
        error.run_data = agents_result(("r1", 100))  # type: ignore[attr-defined]
        raise error

    runs: list[Run] = []

    @track_task
    def outer() -> None:
        runs.append(current_run())
        agent()

    with pytest.raises(MaxTurnsExceeded):
        outer()
    assert runs[0].tokens
    assert (runs[0].tokens.prompt_tokens, runs[0].ending) == (100, "failed")


def test_a_frameworks_result_stays_json_in_the_runs_result() -> None:
    assert tracked(lambda: SECOND).result == (
        '{"id":"chatcmpl-2","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
        '"content":"ok","tool_calls":[]}}],"usage":{"prompt_tokens":10,"completion_tokens":1}}'
    )
