"""Which run it is, and whose: ids, agents, runs inside of runs."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import random
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import Configuration, boundary, configure, current_run, track_task, tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Call, Log, RunsRecorded


# --- ids ---


def test_id_and_input_are_computed_of_the_arguments_though_the_signature_says_there_are_none(
    recorded: RunsRecorded,
) -> None:
    """As that of a function whose decorator takes an argument away."""

    def answer() -> str:
        return "answer"

    @functools.wraps(answer)
    def outer(request: dict[str, str]) -> str:
        return answer() + request["to"]

    tracked = track_task(id=lambda request: request["id"], input=lambda request: request["to"])(outer)
    assert tracked({"id": "mine", "to": "you"}) == "answeryou"
    assert [(run.id, run.input) for run in recorded()] == [("mine", "you")]


def test_an_id_is_made_for_each_run(call: Call, recorded: RunsRecorded) -> None:
    decorator = track_task(agent_id="agent-1")
    ids = [call(lambda: current_run().id, decorator=decorator) for _ in range(5)]
    assert len(set(ids)) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert [report.id for report in recorded()] == ids


def test_ids_do_not_follow_the_users_random_numbers() -> None:
    ids = []
    for _ in range(2):
        random.seed(1)
        with tracked_task() as run:
            ids.append(run.id)
        ids.append(str(random.getrandbits(128)))
    assert ids[0] != ids[2]
    assert ids[1] == ids[3]


def test_ids_of_threads_differ() -> None:
    def one(_: int) -> str:
        with tracked_task() as run:
            return run.id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(one, range(200)))) == 200


def test_an_id_may_be_given(call: Call, recorded: RunsRecorded) -> None:
    call(lambda: None, decorator=track_task(id="run-1"))
    with tracked_task(id="run-2"):
        pass
    assert [report.id for report in recorded()] == ["run-1", "run-2"]


def test_an_id_may_be_a_function_of_the_arguments(call: Call, recorded: RunsRecorded) -> None:
    call(lambda ticket, depth=2: None, 7, depth=1, decorator=track_task(id=lambda ticket, depth: f"{ticket}-{depth}"))
    assert [report.id for report in recorded()] == ["7-1"]


def test_one_id_is_one_record(call: Call, recorded: RunsRecorded) -> None:
    decorator = track_task(id="run-1")
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 / 0, decorator=decorator)
    call(lambda: "at last", decorator=decorator)
    assert [(report.id, report.ending, report.result) for report in recorded()] == [("run-1", "completed", "at last")]


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("wrong", [lambda: 1 / 0, lambda: 7, lambda: "", lambda: None, lambda extra: "id"])
def test_an_id_function_that_fails_costs_nothing_but_the_id(
    call: Call, wrong: Callable[..., str], recorded: RunsRecorded
) -> None:
    assert call(lambda: "42", decorator=track_task(id=wrong)) == "42"
    assert [(len(report.id), report.result) for report in recorded()] == [(32, "42")]
    assert boundary.troubles == 1


def test_an_id_that_utf8_has_no_form_for_is_mended(recorded: RunsRecorded) -> None:
    with tracked_task(id="run-\ud800") as run:
        pass
    assert (run.id, recorded()[0].id) == ("run-?", "run-?")


# --- agents ---

SOURCES: list[tuple[dict[str, str], str | None]] = [
    ({"argument": "a", "configuration": "b", "configure": "c", "environment": "d"}, "a"),
    ({"configuration": "b", "configure": "c", "environment": "d"}, "b"),
    ({"configure": "c", "environment": "d"}, "c"),
    ({"environment": "d"}, "d"),
    ({"configure": "c", "environment": ""}, "c"),
    ({}, None),
    ({"environment": ""}, None),
]


@pytest.mark.parametrize(("sources", "agent_id"), SOURCES)
@pytest.mark.parametrize("form", ["function", "block"])
def test_the_nearest_word_on_the_agent_counts(
    form: str, sources: dict[str, str], agent_id: str | None, monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded
) -> None:
    if "environment" in sources:
        monkeypatch.setenv("XPANDER_AGENT_ID", sources["environment"])
    configure(agent_id=sources.get("configure"))
    options: dict[str, Any] = {"agent_id": sources.get("argument")}
    if "configuration" in sources:
        options["configuration"] = Configuration(agent_id=sources["configuration"])
    if form == "function":
        track_task(**options)(lambda: None)()
    else:
        with tracked_task(**options):
            pass
    assert [report.agent_id for report in recorded()] == [agent_id]


def test_the_agent_is_looked_up_when_the_run_begins(monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded) -> None:
    answer = track_task(lambda: None)
    for agent_id in ("first", "second"):
        monkeypatch.setenv("XPANDER_AGENT_ID", agent_id)
        answer()
    assert [report.agent_id for report in recorded()] == ["first", "second"]


def test_a_run_without_an_agent_is_kept_and_said_once(call: Call, log: Log, recorded: RunsRecorded) -> None:
    for _ in range(3):
        assert call(lambda: "42") == "42"
    assert [(report.agent_id, report.result) for report in recorded()] == [(None, "42")] * 3
    assert len([line for line in log() if "no agent id" in line and "XPANDER_AGENT_ID" in line]) == 1


# --- runs inside of runs ---


def test_runs_inside_of_runs_are_their_own(call: Call, recorded: RunsRecorded) -> None:
    @track_task(agent_id="inner")
    def inner() -> str:
        current_run().record_tool("t2")
        current_run().record_tokens(prompt_tokens=10, completion_tokens=20)
        return "in"

    def outer() -> str:
        current_run().record_tool("t1")
        current_run().record_tokens(prompt_tokens=1, completion_tokens=2)
        inner()
        current_run().record_tool("t3")
        return "out"

    call(outer, decorator=track_task(agent_id="outer"))
    assert [(report.agent_id, report.used_tools, report.result) for report in recorded()] == [
        ("outer", ["t1", "t3"], "out"), ("inner", ["t2"], "in"),
    ]  # fmt: skip
    assert [(report.tokens or {})["prompt_tokens"] for report in recorded()] == [1, 10]


RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"message": {"content": "hi", "tool_calls": [{"function": {"name": "search"}}]}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 7},
}


@pytest.mark.parametrize("by_hand", [True, False], ids=["recorded by hand", "read off the returned value"])
def test_a_response_that_passes_through_two_runs_counts_once(*, by_hand: bool, recorded: RunsRecorded) -> None:
    @track_task(agent_id="inner")
    def inner() -> object:
        if by_hand:
            current_run().record_llm(RESPONSE)
        return RESPONSE

    track_task(agent_id="outer")(lambda: inner())()  # noqa: PLW0108  # two runs, not one decorated twice
    assert sum((report.tokens or {}).get("prompt_tokens") or 0 for report in recorded()) == 5


def test_an_inner_runs_exception_fails_the_outer_one_only_if_it_passes(call: Call, recorded: RunsRecorded) -> None:
    @track_task(agent_id="inner")
    def inner() -> None:
        raise ValueError("no")

    def outer() -> str:
        try:
            inner()
        except ValueError:
            return "saved"
        return "never"

    call(outer, decorator=track_task(agent_id="outer"))
    assert [(report.agent_id, report.ending) for report in recorded()] == [("outer", "completed"), ("inner", "failed")]


def test_recursion_is_a_run_each(recorded: RunsRecorded) -> None:
    @track_task
    def count(left: int) -> int:
        return 0 if left == 0 else 1 + count(left - 1)

    assert count(20) == 20
    assert [report.result for report in recorded()] == [str(left) for left in range(20, -1, -1)]


# --- switched off ---


@pytest.mark.parametrize("switch", ["configure", "1", "true", "YES", "on"])
def test_switched_off_nothing_is_recorded(
    call: Call, switch: str, monkeypatch: pytest.MonkeyPatch, log: Log, recorded: RunsRecorded
) -> None:
    if switch == "configure":
        configure(enabled=False)
    else:
        monkeypatch.setenv("XPANDER_TRACK_DISABLED", switch)

    def answer(question: str) -> str:
        run = current_run()
        run.record_tool("t")
        with run.tool("t"):
            run.set_result(1)
        return question

    assert call(answer, "why?") == "why?"
    with tracked_task(id="run-1") as run:
        assert not run
    assert (recorded(), log()) == ([], [])


@pytest.mark.parametrize("word", ["0", "false", "", "off"])
def test_other_words_leave_it_on(word: str, monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded) -> None:
    monkeypatch.setenv("XPANDER_TRACK_DISABLED", word)
    track_task(lambda: None)()
    assert len(recorded()) == 1


def test_configure_wins_over_the_environments_switch(monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded) -> None:
    monkeypatch.setenv("XPANDER_TRACK_DISABLED", "1")
    configure(enabled=True)
    track_task(lambda: None)()
    assert len(recorded()) == 1


def test_a_run_is_its_own_copy_and_none_where_it_is_unpickled() -> None:
    with tracked_task(agent_id="agent-1") as run:
        assert copy.copy(run) is copy.deepcopy([run])[0] is run
        assert not pickle.loads(pickle.dumps(run))


def test_environment_counts_as_it_is_when_a_run_begins(monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded) -> None:
    """Also where somebody has put another mapping in the place of ``os.environ``, as tests do."""
    for agent_id in ("first", "second"):
        monkeypatch.setenv("XPANDER_AGENT_ID", agent_id)
        with tracked_task():
            pass
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", {**os.environ, "XPANDER_AGENT_ID": "third"})
        with tracked_task():
            patch.setitem(os.environ, "XPANDER_AGENT_ID", "too late")
    with tracked_task():
        pass
    assert [report.agent_id for report in recorded()] == ["first", "second", "third", "second"]


def test_settings_count_as_they_are_when_a_run_begins(recorded: RunsRecorded) -> None:
    for agent_id in ("first", "second", "first"):
        configure(agent_id=agent_id)
        with tracked_task():
            configure(agent_id="too late")
    assert [report.agent_id for report in recorded()] == ["first", "second", "first"]


def test_run_with_a_platform_of_its_own_does_not_ask_for_another_one(log: Log) -> None:
    with tracked_task(agent_id="agent-1", configuration=Configuration(api_key="key", base_url="http://127.0.0.1:9")):
        pass
    assert log() == []
