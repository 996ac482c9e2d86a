"""Trouble of ours is logged once, counted, and never the user's."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import boundary, capture, configure, current_run, record_tool, track_task, track_tool, tracked_task

if TYPE_CHECKING:
    from .conftest import Call, Log, RunsRecorded

pytestmark = pytest.mark.usefixtures("net")

# What runs inside of a user's call; each of them is made to fail.
STEPS = [
    "run.Run.__init__", "run.Run.begin", "run.Run.end", "run.Run._post", "run.Run.add_tool", "run.Run.is_held_up",
    "run.destinations", "run.read", "run.describe_error", "run.ending_of", "run.Capture", "run.Tally",
    "run.Report", "usage.tally.Tally.tokens", "usage.tally.Tally.tools", "capture.plain", "capture.Capture.data",
    "capture.Capture.text", "capture.Capture.arguments", "capture.Parameters.bind", "capture.Parameters.lone",
    "opening.enter", "opening.leave", "tracking.is_here", "tracking.current_run", "current._stack",
    "delivery.outbox.get", "delivery.outbox.home", "delivery.routing.home", "delivery.dispatcher.Dispatcher.__init__",
    "delivery.dispatcher.Dispatcher.post", "delivery.dispatcher.Dispatcher.follow",
    "delivery.dispatcher.Dispatcher.wake", "delivery.journal.Journal.append",
]  # fmt: skip


def _work(question: str) -> str:
    if question == "fail":
        raise ValueError(question)
    return question.upper()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_not_noticed(call: Call, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a bug of ours")

    for decorator in (track_task(wait=0.01), tracked_task(wait=0.01), track_tool):
        with monkeypatch.context() as patch:
            patch.setattr(f"xpander_track.{step}", broken)
            assert call(_work, "why?", decorator=decorator) == "WHY?"
            with pytest.raises(ValueError, match="fail"):
                call(_work, "fail", decorator=decorator)
            assert call(lambda: track_tool(_work)("why?"), decorator=decorator) == "WHY?"
            with tracked_task() as run, run.tool("t"):
                run.record_tool("t")
        assert not current_run() or step == "opening.leave"  # What is not left stays current.
        assert call(_work, "why?", decorator=decorator) == "WHY?"


@pytest.mark.parametrize(
    "step",
    ["run.Run.begin", "run.Run._post", "capture.Parameters.bind", "capture.plain", "delivery.journal.Journal.append"],
)
def test_trouble_is_logged_once_and_counted(step: str, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setenv("XPANDER_AGENT_ID", "agent-1")
    track_task(_work)("why?")  # What is said once in any case is said now.
    said = len(log())
    with monkeypatch.context() as patch:
        patch.setattr(f"xpander_track.{step}", broken)
        counted = [0]
        for _ in range(3):
            track_task(_work)("why?")
            counted.append(boundary.troubles)
    assert counted == sorted(set(counted))
    lines = log()[said:]
    assert lines == list(dict.fromkeys(lines))
    assert all("RuntimeError: a bug of ours. Your code is not affected" in line for line in lines)


def test_the_traceback_is_in_the_debug_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG, logger=boundary.logger.name)
    monkeypatch.setattr(capture.Parameters, "bind", lambda *args, **kwargs: 1 / 0)
    track_task(_work)("why?")
    assert [type(line.exc_info[1]) for line in caplog.records if line.exc_info] == [ZeroDivisionError]


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_ctrl_c_and_cancellation_pass(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(capture.Parameters, "bind", interrupted)
    with pytest.raises(error):
        track_task(_work)("why?")


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a bug of theirs")


@pytest.fixture
def _broken_handler() -> Any:
    handler = Broken()
    boundary.logger.addHandler(handler)
    yield
    boundary.logger.removeHandler(handler)


@pytest.mark.usefixtures("_broken_handler")
def test_a_log_handler_that_raises_is_not_noticed(call: Call) -> None:
    record_tool("nowhere")
    assert call(_work, "why?") == "WHY?"


# --- the user's own functions that we call ---


@pytest.mark.parametrize("option", ["id", "input"])
def test_an_options_function_that_raises_is_told_once(call: Call, option: str, log: Log) -> None:
    def choose(question: str) -> str:
        raise LookupError(question)

    options: dict[str, Any] = {option: choose}
    for _ in range(3):
        assert call(_work, "why?", decorator=track_task(agent_id="agent-1", **options)) == "WHY?"
    step = f"{'compute' if option == 'id' else 'record'} a run's {option}"
    assert [line for line in log() if "LookupError" in line] == [
        f"Could not {step}: LookupError: why?. Your code is not affected."
    ]
    assert boundary.troubles == 3


class EvilError(Exception):
    """Cannot be described."""

    @property
    def exceptions(self) -> None:
        raise RuntimeError("evil")


def test_an_exception_that_cannot_be_described_is_trouble_too(call: Call, recorded: RunsRecorded) -> None:
    def choose(question: str) -> str:
        raise EvilError(question)

    assert call(_work, "why?", decorator=track_task(input=choose)) == "WHY?"
    assert [report.result for report in recorded()] == ["WHY?"]


@pytest.mark.parametrize("option", ["id", "input"])
def test_an_options_function_that_exits_is_not_noticed(call: Call, option: str, recorded: RunsRecorded) -> None:
    def choose(question: str) -> str:
        raise SystemExit(question)

    options: dict[str, Any] = {option: choose}
    assert call(_work, "why?", decorator=track_task(**options)) == "WHY?"
    assert [report.result for report in recorded()] == ["WHY?"]


class UnhashableHook:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, text: str) -> str:
        return text.replace("why", "[redacted]")


def test_a_redact_function_need_not_be_hashable(call: Call, recorded: RunsRecorded) -> None:
    configure(redact=UnhashableHook())
    assert call(_work, "why?") == "WHY?"
    assert [report.input for report in recorded()] == ["[redacted]?"]


def test_settings_that_cannot_be_used_keep_the_runs_here(
    call: Call, monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded, log: Log
) -> None:
    monkeypatch.setenv("XPANDER_BASE_URL", "ftp://platform")
    assert call(_work, "why?") == "WHY?"
    assert [report.result for report in recorded()] == ["WHY?"]
    assert any("base_url must begin with http:// or https://" in line for line in log())
