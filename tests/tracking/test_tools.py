"""Which tools a run has used: recorded by hand, in a block, by a decorator."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import ToolCall, current_run, record_tool, track_task, track_tool, tracked_task

if TYPE_CHECKING:
    from .conftest import Call, Log, RunsRecorded


def without_duration(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in call.items() if name != "duration"} for call in calls]


# --- by hand ---


@pytest.mark.parametrize("form", ["module", "run"])
def test_record_tool_records_what_it_is_told(form: str, recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        record = record_tool if form == "module" else run.record_tool
        record("search", arguments={"q": "why?"}, result=["a"], error=ValueError("no"), duration=1.5)
        record("fetch", error="text")
        record("plain")
    (report,) = recorded()
    assert report.used_tools == ["search", "fetch", "plain"]
    assert report.tool_calls == [
        {"name": "search", "arguments": {"q": "why?"}, "result": ["a"], "error": "ValueError: no", "duration": 1.5},
        {"name": "fetch", "error": "text"},
        {"name": "plain"},
    ]


def test_tools_of_all_kinds_are_in_the_order_of_their_calls(call: Call, recorded: RunsRecorded) -> None:
    @track_tool
    def decorated() -> None:
        record_tool("inside")

    def answer() -> None:
        record_tool("first")
        with current_run().tool("block"):
            decorated()
        record_tool("first")

    call(answer)
    assert recorded()[0].used_tools == ["first", "block", "decorated", "inside", "first"]


def test_a_result_is_a_snapshot(recorded: RunsRecorded) -> None:
    with tracked_task():
        parts = [1]
        record_tool("t", arguments=parts, result=parts)
        parts.append(2)
    assert recorded()[0].tool_calls == [{"name": "t", "arguments": [1], "result": [1]}]


def test_tools_may_be_recorded_from_any_thread(recorded: RunsRecorded) -> None:
    with tracked_task() as run:

        def record() -> None:
            for _ in range(100):
                run.record_tool("t")

        threads = [threading.Thread(target=record) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recorded()[0].used_tools == ["t"] * 800


# --- in a block ---


@pytest.mark.parametrize("form", ["with", "async with"])
def test_a_tool_block_is_timed(form: str, recorded: RunsRecorded) -> None:
    def body(tool: ToolCall) -> None:
        threading.Event().wait(0.01)
        tool.set_result({"pages": 3})

    async def main() -> None:
        async with tracked_task() as run, run.tool("fetch", {"url": "u"}) as tool:
            await asyncio.sleep(0)
            body(tool)

    if form == "async with":
        asyncio.run(main())
    else:
        with tracked_task() as run, run.tool("fetch", {"url": "u"}) as tool:
            body(tool)
    (recorded_call,) = recorded()[0].tool_calls
    assert 0.01 <= recorded_call.pop("duration") < 1
    assert recorded_call == {"name": "fetch", "arguments": {"url": "u"}, "result": {"pages": 3}}


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
def test_a_tool_blocks_exception_is_recorded_and_passes_on(error: BaseException, recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        tool = run.tool("fetch")
        tool.__enter__()
        tool.__exit__(type(error), error, None)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    assert without_duration(recorded()[0].tool_calls) == [{"name": "fetch", "error": text}]


def test_a_tool_block_raises_the_same_exception(recorded: RunsRecorded) -> None:
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught, tracked_task() as run, run.tool("fetch"):
        raise error
    assert caught.value is error
    assert (recorded()[0].ending, recorded()[0].tool_calls[0]["error"]) == ("failed", "ValueError: no")


def test_a_tool_that_still_runs_when_the_run_ends_is_in_it(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        tool = run.tool("fetch")
        tool.__enter__()
    tool.__exit__(None, None, None)
    assert recorded()[0].tool_calls == [{"name": "fetch"}]


def test_a_tool_block_that_is_never_entered_is_no_call(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.tool("fetch")
    assert recorded()[0].used_tools == []


# --- by a decorator ---


def test_track_tool_records_arguments_result_and_duration(call: Call, recorded: RunsRecorded) -> None:
    @track_tool
    def search(query: str, limit: int = 3) -> list[str]:
        return [query] * limit

    assert call(lambda: search("why?", limit=2)) == ["why?", "why?"]
    (recorded_call,) = recorded()[0].tool_calls
    assert 0 <= recorded_call.pop("duration") < 1
    assert recorded_call == {
        "name": "search", "arguments": {"query": "why?", "limit": 2}, "result": ["why?", "why?"],
    }  # fmt: skip


def test_track_tool_takes_asynchronous_functions(recorded: RunsRecorded) -> None:
    @track_tool(name="web_search")
    async def search(query: str) -> str:
        await asyncio.sleep(0.01)
        return query.upper()

    @track_task
    async def answer() -> list[str]:
        return [await search("why?"), await search("how?")]

    assert asyncio.run(answer()) == ["WHY?", "HOW?"]
    (report,) = recorded()
    assert report.used_tools == ["web_search", "web_search"]
    assert all(call["duration"] >= 0.01 for call in report.tool_calls)
    assert [call["result"] for call in report.tool_calls] == ["WHY?", "HOW?"]


@pytest.mark.parametrize("error", [ValueError("no"), asyncio.CancelledError(), SystemExit(1)], ids=repr)
def test_track_tool_records_the_exception(error: BaseException, recorded: RunsRecorded) -> None:
    @track_tool
    def search() -> None:
        raise error

    with tracked_task(), pytest.raises(type(error)) as caught:
        search()
    assert caught.value is error
    assert [call["error"].split(":")[0] for call in recorded()[0].tool_calls] == [type(error).__name__]


class Tools:
    @track_tool
    def method(self, query: str) -> str:
        return query

    @classmethod
    @track_tool
    def class_above(cls, query: str) -> str:
        return query

    @track_tool
    @classmethod
    def class_below(cls, query: str) -> str:
        return query

    @staticmethod
    @track_tool
    def static_above(query: str) -> str:
        return query

    @track_tool
    @staticmethod
    def static_below(query: str) -> str:
        return query


@pytest.mark.parametrize("name", ["method", "class_above", "class_below", "static_above", "static_below"])
def test_track_tool_leaves_the_receiver_out(name: str, recorded: RunsRecorded) -> None:
    with tracked_task():
        assert getattr(Tools(), name)("why?") == "why?"
    assert without_duration(recorded()[0].tool_calls) == [
        {"name": name, "arguments": {"query": "why?"}, "result": "why?"}
    ]


def test_a_tool_may_be_tracked_as_a_run_too(recorded: RunsRecorded) -> None:
    @track_tool
    @track_task(id="inner")
    def search() -> str:
        return "found"

    with tracked_task(id="outer"):
        search()
    assert [(report.id, report.used_tools, report.result) for report in recorded()] == [
        ("outer", ["search"], None), ("inner", [], "found"),
    ]  # fmt: skip


def test_concurrent_tools_are_recorded_each(recorded: RunsRecorded) -> None:
    async def main() -> None:
        async with tracked_task() as run:

            async def work(number: int) -> None:
                async with run.tool(f"t{number}") as tool:
                    await asyncio.sleep(0)
                    tool.set_result(number)

            await asyncio.gather(*(work(number) for number in range(10)))

    asyncio.run(main())
    assert sorted((call["name"], call["result"]) for call in recorded()[0].tool_calls) == [
        (f"t{number}", number) for number in range(10)
    ]


# --- where there is no run ---


def test_record_tool_without_a_run_warns_once_for_each_place(log: Log, recorded: RunsRecorded) -> None:
    line = inspect.currentframe().f_lineno  # type: ignore[union-attr]
    for _ in range(3):
        record_tool("search")
        record_tool("fetch")
    assert [message.split(": ")[0] for message in log()] == [
        f"record_tool() at {__file__}:{line + 2}", f"record_tool() at {__file__}:{line + 3}",
    ]  # fmt: skip
    assert recorded() == []


def test_tracked_tools_without_a_run_say_nothing(call: Call, log: Log, recorded: RunsRecorded) -> None:
    assert call(lambda query: query, "why?", decorator=track_tool) == "why?"
    with current_run().tool("search", {"q": 1}) as tool:
        tool.set_result(1)
    assert (log(), recorded()) == ([], [])


def test_a_tracked_tools_exception_passes_without_a_run(call: Call) -> None:
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 / 0, decorator=track_tool)


# --- what the model asked for ---

ASKED = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"message": {"tool_calls": [{"function": {"name": name}} for name in ("b", "a", "b")]}}],
}


def test_without_any_call_the_tools_that_the_model_asked_for_are_used(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        run.record_llm(ASKED)
        assert run.used_tools == ["b", "a", "b"]
    assert (recorded()[0].used_tools, recorded()[0].tool_calls) == (["b", "a", "b"], [])


@pytest.mark.parametrize("first", ["call", "response"])
def test_a_call_that_was_recorded_wins_over_what_the_model_asked_for(first: str, recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        for step in ("call", "response") if first == "call" else ("response", "call"):
            if step == "call":
                record_tool("a")
            else:
                run.record_llm(ASKED)
    assert recorded()[0].used_tools == ["a"]


def test_what_the_model_asked_for_is_read_off_the_returned_value(call: Call, recorded: RunsRecorded) -> None:
    call(lambda: ASKED)
    assert recorded()[0].used_tools == ["b", "a", "b"]
