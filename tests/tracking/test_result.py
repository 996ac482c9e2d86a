"""What came of a run: what the function gives, as text, unless something was set."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from pydantic import BaseModel, Field, SecretStr

from xpander_track import configure, current_run, track_task, tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Call, RunsRecorded


class Inner(BaseModel):
    score: float = 0.5


class Answer(BaseModel):
    text: str = "42"
    inner: Inner = Inner()
    other: str = Field(default="x", alias="another")
    hidden: str = Field(default="y", exclude=True)
    key: SecretStr = SecretStr("secret")


@dataclasses.dataclass
class Found:
    name: str
    parts: list[Inner]


class Pair(NamedTuple):
    left: int
    right: str


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("42", "42"),
        ("", ""),
        ("größer\n➜ \x00", "größer\n➜ \x00"),
        (None, None),
        (42, "42"),
        (1.5, "1.5"),
        (False, "false"),
        ([], "[]"),
        ({}, "{}"),
        (["a", 1, None], '["a",1,null]'),
        (("a", {"b": (1,)}), '["a",{"b":[1]}]'),
        (Answer(), '{"text":"42","inner":{"score":0.5},"other":"x","key":"**********"}'),
        (Found("n", [Inner()]), '{"name":"n","parts":[{"score":0.5}]}'),
        (Pair(1, "r"), '[1,"r"]'),
        (b"bytes", "bytes"),
        (b"\xff\xfe", "<2 bytes>"),
        (1 << 20_000, "<int of 20001 bits>"),
    ],
    ids=itertools.count(),  # No text can be made of the last one.
)
def test_what_is_returned_is_the_result(call: Call, given: object, text: str | None, recorded: RunsRecorded) -> None:
    assert call(lambda: given) is given
    assert [(report.result, report.ending) for report in recorded()] == [(text, "completed")]


def test_the_same_value_twice_is_not_circular(recorded: RunsRecorded) -> None:
    part = [1]
    track_task(lambda: [part, part])()
    assert [report.result for report in recorded()] == ["[[1],[1]]"]


def test_what_is_set_wins_over_what_is_returned(call: Call, recorded: RunsRecorded) -> None:
    def answer() -> str:
        current_run().set_result("first")
        current_run().set_result({"set": "last"})
        return "returned"

    assert call(answer) == "returned"
    assert [report.result for report in recorded()] == ['{"set":"last"}']


def test_none_is_a_result_that_can_be_set(call: Call, recorded: RunsRecorded) -> None:
    def answer() -> str:
        current_run().set_result(None)
        return "returned"

    call(answer)
    assert [report.result for report in recorded()] == [None]


def test_what_is_set_wins_over_the_error(call: Call, recorded: RunsRecorded) -> None:
    def answer() -> None:
        current_run().set_result("so far")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        call(answer)
    assert [(report.result, report.ending) for report in recorded()] == [("so far", "failed")]


def test_a_set_result_is_a_snapshot(recorded: RunsRecorded) -> None:
    with tracked_task() as run:
        parts = [1]
        run.set_result(parts)
        parts.append(2)
    assert [report.result for report in recorded()] == ["[1]"]


@pytest.mark.parametrize("decorator", [track_task(capture_result=False), tracked_task(capture_result=False)])
def test_capture_result_false_keeps_what_is_returned_out(
    call: Call, decorator: Callable[..., Any], recorded: RunsRecorded
) -> None:
    assert call(lambda: "42", decorator=decorator) == "42"
    assert [report.result for report in recorded()] == [None]


def test_capture_result_false_keeps_what_is_set(call: Call, recorded: RunsRecorded) -> None:
    call(lambda: current_run().set_result("set"), decorator=track_task(capture_result=False))
    assert [report.result for report in recorded()] == ["set"]


def test_capture_result_false_keeps_the_error(call: Call, recorded: RunsRecorded) -> None:
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 / 0, decorator=track_task(capture_result=False))
    assert [report.result for report in recorded()] == ["ZeroDivisionError: division by zero"]


@pytest.mark.parametrize(("own", "text"), [(None, None), (True, "42"), (False, None)])
def test_a_decorators_word_on_the_result_wins_over_configure(
    call: Call, *, own: bool | None, text: str | None, recorded: RunsRecorded
) -> None:
    configure(capture_result=False)
    call(lambda: "42", decorator=track_task(capture_result=own))
    assert [report.result for report in recorded()] == [text]


def test_a_generator_that_is_returned_is_not_consumed(call: Call, recorded: RunsRecorded) -> None:
    generator = (number for number in range(3))
    assert list(call(lambda: generator)) == [0, 1, 2]
    assert "genexpr" in (recorded()[0].result or "")


def test_an_endless_iterator_that_is_returned_is_not_consumed(call: Call, recorded: RunsRecorded) -> None:
    assert next(call(lambda: itertools.count())) == 0  # noqa: PLW0108  # a class is refused
    assert [report.result for report in recorded()] == ["count(0)"]


def test_what_was_recorded_is_told_by_the_run_itself() -> None:
    with tracked_task(id="run-1", agent_id="agent-1", input="why?") as run:
        assert (run.result, run.ending, run.is_success, run.used_tools, run.tokens) == (None, None, None, [], None)
        run.set_result("42")
        run.record_tool("search")
        run.record_tokens(prompt_tokens=1)
    assert (run.id, run.agent_id, run.input, run.result, run.ending, run.is_success, run.used_tools) == (
        "run-1", "agent-1", "why?", "42", "completed", True, ["search"],
    )  # fmt: skip
    assert run.tokens is not None
    assert run.tokens.prompt_tokens == 1


def test_after_the_end_nothing_changes_any_more(recorded: RunsRecorded) -> None:
    with tracked_task(input="why?") as run:
        run.set_result("42")
    run.set_input("late")
    run.set_result("late")
    run.fail("late")
    run.record_tool("late")
    run.record_tokens(prompt_tokens=1)
    run.record_llm({"id": "late"})
    run.report_progress(result="late")
    with run.tool("late"):
        pass
    (report,) = recorded()
    assert (report.input, report.result, report.ending, report.used_tools, report.tokens, report.llm_response) == (
        "why?", "42", "completed", [], None, None,
    )  # fmt: skip
    assert (run.input, run.result, run.ending, run.used_tools, run.tokens) == ("why?", "42", "completed", [], None)


def test_the_run_reads_well() -> None:
    with tracked_task(id="run-1", agent_id="agent-1") as run:
        assert repr(run) == "<Run run-1 of agent-1: open>"
    assert repr(run) == "<Run run-1 of agent-1: completed>"


def test_a_report_can_be_written_as_json(recorded: RunsRecorded) -> None:
    track_task(lambda: {"a": "\u2028", "b": "\ud800"})()
    assert json.loads(recorded()[0].result or "") == {"a": "\u2028", "b": "?"}
