"""Reports: plain data that survives a line of JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.delivery.report import Report, begun_part, destinations_part, reported, started

from .conftest import Place

if TYPE_CHECKING:
    from .conftest import MakeReport

FULL: dict[str, Any] = {
    "llm_response": {"choices": [{"text": "שלום", "score": 0.25, "none": None}], "big": 2**70},
    "tokens": {"prompt_tokens": 3, "completion_tokens": None},
    "used_tools": ["search", "search"],
    "tool_calls": [{"name": "search", "arguments": {"q": "x"}, "duration": 0.5}],
}


@pytest.mark.parametrize(
    "fields",
    [{}, {"stage": "started"}, {"stage": "progress"}, FULL, {"agent_id": None, "name": None, "input": None}],
    ids=["ended", "started", "progress", "full", "bare"],
)
def test_report_survives_json(make_report: MakeReport, fields: dict[str, Any]) -> None:
    report = make_report(**fields)
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("given", [None, "", 'a "quoted" line\n', "שלום \U0001f680", "\0"])
@pytest.mark.parametrize("places", [[], [Place("one")], [Place('the "first"'), Place("second")]])
def test_pieces_that_a_run_writes_are_a_report(given: str | None, places: list[Place]) -> None:
    begun = begun_part("run-1", "agent-1", None, 1.5e9, given, destinations_part(places))
    beginning = Report("run-1", "started", "agent-1", None, 1.5e9, [place.key for place in places], input=given)
    assert Report.from_json(started(begun)) == beginning
    assert Report.from_json(reported({"stage": "started"}, begun)) == beginning
    fields = {"stage": "ended", "ending": "failed", "duration": 1e-7, "result": given, **FULL}
    assert Report.from_json(reported(fields, begun)) == dataclasses.replace(beginning, **fields)


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [nested(100), 2**14_000, -(2**70), 1e308, -0.0, True, {"": {}}, ["\0", "\u2028", "\U0001f680"]],
    ids=["deep", "huge", "negative", "large", "zero", "true", "no name", "odd texts"],
)
def test_whatever_is_captured_survives_json(make_report: MakeReport, value: Any) -> None:
    report = make_report(llm_response=value, tool_calls=[{"name": "search", "result": value}])
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("text", ["\n", "\r\n", "\x0b\x0c\x1c\x85\u2028\u2029", "\0", '"\\', "\U0001f680"])
def test_report_is_one_line_whatever_is_in_it(make_report: MakeReport, text: str) -> None:
    line = make_report(input=f"a{text}b", result=text).to_json()
    assert len((line + b"\n").splitlines()) == 1
    assert Report.from_json(line).input == f"a{text}b"


@pytest.mark.parametrize("line", [b"", b"{", b"{}", b"[]", b"null", b'"text"', b'{"id": "x", "surprise": 1}', b"\xff"])
def test_what_is_no_report_is_refused_as_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # json has its own words
        Report.from_json(line)


@pytest.mark.parametrize(
    ("ending", "is_success"),
    [
        ("completed", True), ("stopped_early", True), ("failed", False), ("cancelled", False), ("timed_out", False),
        ("interrupted", False), (None, None),
    ],
)  # fmt: skip
def test_success_follows_from_the_ending(make_report: MakeReport, ending: Any, is_success: bool | None) -> None:
    assert make_report(ending=ending).is_success is is_success


def test_report_is_frozen(make_report: MakeReport) -> None:
    with pytest.raises(FrozenInstanceError):
        make_report().result = "another"  # type: ignore[misc]
