"""Which tokens and tools a run has used: read off real responses, never guessed, counted once."""

from __future__ import annotations

import contextlib
import copy
import enum
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from xpander_track import Tokens, Usage, configure, current_run, read_usage, tracked_task
from xpander_track import run as run_module
from xpander_track.usage import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Call, RunsRecorded

# All of these, and what is expected of them, are pieces from the project's corpus of real responses.

CHAT_WITH_TOOLS = {
    "id": "chatcmpl-1",
    "choices": [
        {
            "finish_reason": "tool_calls",
            "index": 0,
            "logprobs": None,
            "message": {
                "content": "Let me look.",
                "refusal": None,
                "role": "assistant",
                "tool_calls": [
                    {"id": f"call_{name}", "function": {"arguments": "{}", "name": name}, "type": "function"}
                    for name in ("get_weather", "search_docs", "get_weather")
                ],
            },
        }
    ],
    "created": 1790000000,
    "model": "gpt-4.1",
    "object": "chat.completion",
    "usage": {
        "completion_tokens": 64,
        "prompt_tokens": 120,
        "total_tokens": 184,
        "completion_tokens_details": None,
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 100},
    },
}
CHAT = {
    **CHAT_WITH_TOOLS,
    "choices": [
        {
            "finish_reason": "stop",
            "index": 0,
            "logprobs": None,
            "message": {"content": "hi there", "refusal": None, "role": "assistant"},
        }
    ],
}
CHAT_ZERO = {**CHAT, "usage": {"completion_tokens": 0, "prompt_tokens": 0, "total_tokens": 0}}
CHAT_MISSING = {**CHAT, "usage": None}
CHAT_CUSTOM_TOOL = {
    **CHAT,
    "choices": [
        {
            "finish_reason": "tool_calls",
            "index": 0,
            "logprobs": None,
            "message": {
                "content": None,
                "refusal": None,
                "role": "assistant",
                "tool_calls": [{"id": "call_9", "custom": {"input": "SELECT 1", "name": "run_sql"}, "type": "custom"}],
            },
        }
    ],
    "usage": {"completion_tokens": 20, "prompt_tokens": 50, "total_tokens": 70},
}
CHAT_REFUSAL = {
    **CHAT,
    "choices": [
        {
            "finish_reason": "stop",
            "index": 0,
            "logprobs": None,
            "message": {"content": None, "refusal": "I'm sorry, I cannot assist with that.", "role": "assistant"},
        }
    ],
    "usage": {"completion_tokens": 11, "prompt_tokens": 81, "total_tokens": 92},
}
RESPONSE = {
    "id": "resp_1",
    "created_at": 1790000000.0,
    "model": "gpt-5",
    "object": "response",
    "output": [
        {"id": "ws_1", "action": {"type": "search", "query": "x"}, "status": "completed", "type": "web_search_call"},
        {"id": "mcp_1", "arguments": "{}", "name": "create_issue", "server_label": "gh", "type": "mcp_call"},
        {"id": "fs_1", "queries": ["q"], "status": "completed", "type": "file_search_call"},
        {"arguments": '{"id": 1}', "call_id": "call_1", "name": "lookup", "type": "function_call", "id": "fc_1"},
        {
            "id": "msg_1",
            "content": [{"annotations": [], "text": "Found it.", "type": "output_text"}],
            "role": "assistant",
            "status": "completed",
            "type": "message",
        },
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 900,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 210,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 1110,
    },
}
MESSAGE = {
    "id": "msg_1",
    "content": [{"citations": None, "text": "ok", "type": "text"}],
    "model": "claude-sonnet-4-5",
    "role": "assistant",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "type": "message",
    "usage": {
        "cache_creation_input_tokens": 248,
        "cache_read_input_tokens": 1800,
        "input_tokens": 21,
        "output_tokens": 393,
    },
}
MESSAGE_NULL_CACHE = {
    **MESSAGE,
    "usage": {
        "cache_creation_input_tokens": None,
        "cache_read_input_tokens": None,
        "input_tokens": 9,
        "output_tokens": 3,
    },
}
MESSAGE_SERVER_TOOL = {
    **MESSAGE,
    "content": [
        {"id": "toolu_1", "input": {"query": "x"}, "name": "web_search", "type": "server_tool_use"},
        {"id": "toolu_2", "input": {}, "name": "lookup", "type": "tool_use"},
        {"citations": None, "text": "Claude was found.", "type": "text"},
    ],
    "usage": {**MESSAGE["usage"], "server_tool_use": {"web_fetch_requests": 0, "web_search_requests": 1}},  # type: ignore[dict-item]
}
MESSAGE_THINKING = {
    **MESSAGE,
    "content": [
        {"signature": "c2ln", "thinking": "2+2...", "type": "thinking"},
        {"citations": None, "text": "The answer is 4.", "type": "text"},
    ],
}


def chunk(
    content: str | None = None, tool: str | None = None, usage: dict[str, int] | None = None, index: int = 0
) -> dict[str, Any]:
    delta: dict[str, Any] = {"content": content, "role": None}
    if tool is not None:
        delta["tool_calls"] = [{"index": index, "id": f"call_{index}", "function": {"name": tool, "arguments": ""}}]
    choices = [] if usage else [{"delta": delta, "finish_reason": None, "index": 0, "logprobs": None}]
    return {
        "id": "chatcmpl-1", "choices": choices, "created": 1790000000, "model": "gpt-4.1",
        "object": "chat.completion.chunk", "usage": usage,
    }  # fmt: skip


STREAM = [
    chunk(""), chunk("Hello"), chunk(" there"), chunk(tool="search"),
    chunk(usage={"completion_tokens": 10, "prompt_tokens": 19, "total_tokens": 29}),
]  # fmt: skip

CASES: dict[str, tuple[Any, Any, tuple[int | None, ...], tuple[str, ...], str | None]] = {
    "chat": (ChatCompletion, CHAT, (120, 64, 100, None), (), "hi there"),
    "chat, tools": (
        ChatCompletion, CHAT_WITH_TOOLS, (120, 64, 100, None),
        ("get_weather", "search_docs", "get_weather"), "Let me look.",
    ),
    "chat, zero": (ChatCompletion, CHAT_ZERO, (0, 0, None, None), (), "hi there"),
    "chat, missing": (ChatCompletion, CHAT_MISSING, (None, None, None, None), (), "hi there"),
    "chat, custom tool": (ChatCompletion, CHAT_CUSTOM_TOOL, (50, 20, None, None), ("run_sql",), None),
    "chat, refusal": (
        ChatCompletion, CHAT_REFUSAL, (81, 11, None, None), (), "I'm sorry, I cannot assist with that.",
    ),
    "response": (
        Response, RESPONSE, (900, 210, 0, 0), ("web_search", "create_issue", "file_search", "lookup"), "Found it.",
    ),
    "message": (Message, MESSAGE, (21, 393, 1800, 248), (), "ok"),
    "message, null cache": (Message, MESSAGE_NULL_CACHE, (9, 3, None, None), (), "ok"),
    "message, tools": (
        Message, MESSAGE_SERVER_TOOL, (21, 393, 1800, 248), ("web_search", "lookup"), "Claude was found.",
    ),
    "message, thinking": (Message, MESSAGE_THINKING, (21, 393, 1800, 248), (), "The answer is 4."),
    "chunk, text": (ChatCompletionChunk, STREAM[1], (None, None, None, None), (), "Hello"),
    "chunk, tool": (ChatCompletionChunk, STREAM[3], (None, None, None, None), ("search",), None),
    "chunk, usage": (ChatCompletionChunk, STREAM[4], (19, 10, None, None), (), None),
}  # fmt: skip

FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "validated": lambda kind, data: kind.model_validate(data),
    "constructed": lambda kind, data: kind.construct(**copy.deepcopy(data)),  # As the clients do.
    "dumped": lambda kind, data: kind.model_validate(data).model_dump(),
    "dict": lambda kind, data: data,
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def counts(tokens: Tokens | Usage | dict[str, int | None] | None) -> tuple[int | None, ...] | None:
    names = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")
    if tokens is None:
        return None
    return tuple((tokens if isinstance(tokens, dict) else vars(tokens))[name] for name in names)


# --- one response ---


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@each_form
def test_a_response_is_read(case: Any, form: Callable[[Any, Any], Any]) -> None:
    kind, data, tokens, tools, text = case
    usage = read_usage(form(kind, data))
    assert (counts(usage), usage.tools, usage.text, usage.response_id) == (tokens, tools, text or "", data["id"])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@each_form
def test_a_recorded_response_is_the_runs(case: Any, form: Callable[[Any, Any], Any], recorded: RunsRecorded) -> None:
    kind, data, tokens, tools, _ = case
    with tracked_task() as run:
        run.record_llm(form(kind, data))
    (report,) = recorded()
    reported = None if tokens == (None,) * 4 else tokens
    assert (counts(report.tokens), counts(run.tokens), tuple(report.used_tools)) == (reported, reported, tools)


@pytest.mark.parametrize("name", ["chat, tools", "response", "message, tools"])
def test_reading_changes_nothing(name: str) -> None:
    kind, data, *_ = CASES[name]
    response, twin = kind.model_validate(data), kind.model_validate(data)
    read_usage(response)
    assert response == twin
    assert vars(response) == vars(twin)


@pytest.mark.parametrize(
    ("kind", "data"),
    [(ChatCompletion, CHAT), (Response, RESPONSE), (Message, MESSAGE)],
    ids=["chat", "response", "message"],
)
def test_the_last_raw_response_is_kept(kind: Any, data: Any, recorded: RunsRecorded) -> None:
    response = kind.model_validate(data)
    with tracked_task() as run:
        run.record_llm({"id": "an earlier one"})
        run.record_llm(response)
    assert recorded()[0].llm_response == response.model_dump(mode="json")


# --- many responses ---


@each_form
def test_one_response_counts_once_however_often_it_is_seen(
    call: Call, form: Callable[[Any, Any], Any], recorded: RunsRecorded
) -> None:
    def answer() -> object:
        response = form(ChatCompletion, CHAT_WITH_TOOLS)
        for _ in range(3):
            current_run().record_llm(response)
        current_run().record_llm(copy.deepcopy(response))
        return response

    call(answer)
    (report,) = recorded()
    assert counts(report.tokens) == (120, 64, 100, None)
    assert report.used_tools == ["get_weather", "search_docs", "get_weather"]


def test_a_response_without_an_id_counts_once_by_identity(recorded: RunsRecorded) -> None:
    response, twin = {**CHAT, "id": None}, {**CHAT, "id": None}
    with tracked_task() as run:
        run.record_llm(response)
        run.record_llm(response)
        run.record_llm(twin)
    assert counts(recorded()[0].tokens) == (240, 128, 200, None)


def test_identity_is_not_mistaken_for_that_of_a_response_that_is_gone(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        for _ in range(50):
            run.record_llm({**CHAT, "id": None})
    assert counts(recorded()[0].tokens) == (50 * 120, 50 * 64, 50 * 100, None)


def test_responses_with_ids_of_their_own_add_up(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_llm(ChatCompletion.model_validate({**CHAT_WITH_TOOLS, "id": "chatcmpl-1"}))
        run.record_llm(ChatCompletion.model_validate({**CHAT_CUSTOM_TOOL, "id": "chatcmpl-2"}))
        run.record_llm(Message.model_validate(MESSAGE))
    (report,) = recorded()
    assert counts(report.tokens) == (120 + 50 + 21, 64 + 20 + 393, 100 + 1800, 248)
    assert report.used_tools == ["get_weather", "search_docs", "get_weather", "run_sql"]


@pytest.mark.parametrize("which", [slice(None), slice(-1, None)], ids=["each chunk", "the last chunk"])
@each_form
def test_the_chunks_of_a_stream_are_one_response(
    which: slice, form: Callable[[Any, Any], Any], recorded: RunsRecorded
) -> None:
    with tracked_task() as run:
        for part in STREAM[which]:
            run.record_llm(form(ChatCompletionChunk, part))
    assert counts(recorded()[0].tokens) == (19, 10, None, None)


def test_in_a_stream_the_last_usage_is_the_one_that_holds(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        for total in (1, 5, 10):
            run.record_llm(chunk(usage={"completion_tokens": total, "prompt_tokens": 19, "total_tokens": 19 + total}))
        run.record_llm(chunk("no usage in this one"))
    assert counts(recorded()[0].tokens) == (19, 10, None, None)


def test_tools_asked_for_in_chunks_are_put_together(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        for part in (chunk(tool="search"), chunk("text"), chunk(tool="fetch", index=1), chunk(tool="search", index=2)):
            run.record_llm(part)
    assert recorded()[0].used_tools == ["search", "fetch", "search"]


def test_one_chunk_counts_once_however_often_it_is_seen(call: Call, recorded: RunsRecorded) -> None:
    def answer() -> object:
        part = ChatCompletionChunk.model_validate(chunk(tool="search"))
        current_run().record_llm(part)
        current_run().record_llm(part)
        return part

    call(answer)
    assert recorded()[0].used_tools == ["search"]


# --- what the function gives ---


@pytest.mark.parametrize("name", ["chat, tools", "response", "message, tools"])
@each_form
def test_with_nothing_recorded_usage_is_read_off_the_returned_value(
    call: Call, name: str, form: Callable[[Any, Any], Any], recorded: RunsRecorded
) -> None:
    kind, data, tokens, tools, _ = CASES[name]
    call(lambda: form(kind, data))
    (report,) = recorded()
    assert (counts(report.tokens), tuple(report.used_tools)) == (tokens, tools)


def test_what_was_recorded_by_hand_is_not_added_to(call: Call, recorded: RunsRecorded) -> None:
    def answer() -> object:
        current_run().record_tokens(prompt_tokens=1, completion_tokens=2)
        return ChatCompletion.model_validate(CHAT)

    call(answer)
    assert counts(recorded()[0].tokens) == (1, 2, None, None)


def test_usage_is_read_where_the_result_is_kept_out(call: Call, recorded: RunsRecorded) -> None:
    configure(capture_result=False)
    call(lambda: CHAT)
    (report,) = recorded()
    assert (counts(report.tokens), report.result, report.llm_response) == ((120, 64, 100, None), None, None)


# --- by hand ---


def test_recorded_tokens_add_up(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_tokens(Tokens(prompt_tokens=1, completion_tokens=2, cache_read_tokens=3, cache_write_tokens=4))
        run.record_tokens(prompt_tokens=10, cache_read_tokens=30)
        run.record_llm(CHAT_ZERO)
    assert counts(recorded()[0].tokens) == (11, 2, 33, 4)


def test_not_known_is_none_and_none_used_is_0(recorded: RunsRecorded) -> None:
    with tracked_task(id="nothing"):
        pass
    with tracked_task(id="no usage") as run:
        run.record_llm(CHAT_MISSING)
    with tracked_task(id="zero") as run:
        run.record_tokens(prompt_tokens=0)
    assert [counts(report.tokens) for report in recorded()] == [None, None, (0, None, None, None)]


def test_tokens_told_later_are_not_shared(recorded: RunsRecorded) -> None:
    tokens = Tokens(prompt_tokens=1)
    with tracked_task() as run:
        run.record_tokens(tokens)
        tokens.prompt_tokens = 100
    assert (counts(recorded()[0].tokens) or ())[0] == 1


# --- what is no response ---


class Computed:
    """Answers everything, by computing it."""

    def __getattr__(self, name: str) -> Any:
        return {"prompt_tokens": 5}.get(name, self)

    @property
    def usage(self) -> dict[str, int]:
        return {"prompt_tokens": 5, "completion_tokens": 5}

    choices: Any = property(lambda self: [])
    object = "chat.completion"


@pytest.mark.parametrize(
    "response",
    [
        None, 0, 7, "text", b"bytes", True, object(), [], (), {}, set(), int, ValueError("no"),
        MagicMock(), Mock(), AsyncMock(), MagicMock(spec=ChatCompletion), MagicMock(spec=dict), MagicMock(spec=list),
        Computed(), SimpleNamespace(), {"choices": None}, {"choices": "no list"},
        {"object": "response"}, {"object": "response", "output": 5, "usage": 5}, {"type": "message"},
        {"type": "message", "content": [None, 5, "x"], "usage": []}, {"choices": [None, 5, "x"], "usage": "x"},
        {"answer": CHAT}, (number for number in range(3)), {"error": {"message": "quota"}}, {"input_tokens": 14},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_response_counts_nothing(call: Call, response: object, recorded: RunsRecorded) -> None:
    assert counts(read_usage(response)) == (None, None, None, None)

    def answer() -> object:
        current_run().record_llm(response)
        return response

    assert call(answer) is response
    (report,) = recorded()
    assert (report.tokens, report.used_tools, report.ending) == (None, [], "completed")


@pytest.mark.parametrize(
    "count", [-1, True, 1.5, "5", None, MagicMock(), [5], float("nan")], ids=lambda count: type(count).__name__
)
def test_what_is_no_count_is_not_reported(count: object, recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_llm({**CHAT, "usage": {"prompt_tokens": count, "completion_tokens": 7}})
    assert counts(recorded()[0].tokens) == (None, 7, None, None)


def test_a_generator_is_not_consumed() -> None:
    stream = (part for part in STREAM)
    with tracked_task() as run:
        run.record_llm(stream)
    assert list(stream) == STREAM


def test_a_response_that_was_made_by_hand_is_read_like_the_real_one() -> None:
    response = SimpleNamespace(
        id="x",
        object="chat.completion",
        choices=[SimpleNamespace(message=SimpleNamespace(content="hi", tool_calls=None))],
        usage=SimpleNamespace(prompt_tokens=5, completion_tokens=7),
    )
    assert read_usage(response) == Usage(prompt_tokens=5, completion_tokens=7, text="hi", response_id="x")


def test_counts_as_large_as_they_get_are_kept(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_tokens(prompt_tokens=10**30)
    assert counts(recorded()[0].tokens) == (10**30, None, None, None)


def test_threads_that_count_at_the_same_moment_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two of a run, each of which makes what counts."""
    meet = threading.Barrier(2, timeout=20)

    class Slow(Tally):
        def __init__(self, outer: Tally | None = None) -> None:
            super().__init__(outer)
            with contextlib.suppress(threading.BrokenBarrierError):
                meet.wait()

    monkeypatch.setattr(run_module, "Tally", Slow)
    with tracked_task(agent_id="agent-1") as run:
        threads = [threading.Thread(target=run.record_tokens, kwargs={"prompt_tokens": n}) for n in (3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert run.tokens is not None
        assert run.tokens.prompt_tokens == 7


class Price(enum.IntEnum):
    TWO = 2


class Index:
    def __index__(self) -> int:
        return 3


def test_counts_may_be_of_any_type_that_is_a_whole_number(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_tokens(prompt_tokens=Price.TWO, completion_tokens=Index())  # type: ignore[arg-type]
    assert recorded()[0].tokens == {
        "prompt_tokens": 2, "completion_tokens": 3, "cache_read_tokens": None, "cache_write_tokens": None,
    }  # fmt: skip
    assert run.tokens is not None
    assert type(run.tokens.prompt_tokens) is int


@pytest.mark.parametrize(
    "known",
    [{"prompt_tokens": None, "completion_tokens": None}, {"tokens": None}, {"tokens": None, "prompt_tokens": None}],
)
def test_counts_that_are_not_known_are_not_recorded(known: dict[str, Any], recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_tokens(**known)
        run.record_tokens(Tokens(**dict.fromkeys(Tokens.model_fields)))
    assert (run.tokens, recorded()[0].tokens) == (None, None)


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("part", ["tokens", "tools", "add"])
def test_a_run_is_reported_though_what_it_used_cannot_be_told(
    part: str, monkeypatch: pytest.MonkeyPatch, call: Call, recorded: RunsRecorded
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(part)

    def answer() -> object:
        if part != "add":
            current_run().record_llm(CHAT_WITH_TOOLS)
        monkeypatch.setattr(Tally, part, fail)
        return CHAT

    call(answer)
    monkeypatch.undo()
    (report,) = recorded()
    assert (report.ending, "hi there" in (report.result or "")) == ("completed", True)
    assert (report.tokens is not None) == (part == "tools")
    assert bool(report.used_tools) == (part == "tokens")
