"""Reading tasks back, and reporting a loaded task's metrics."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from xpander_track.platform import (
    AgentExecutionStatus,
    AnswerUnreadable,
    Configuration,
    InvalidArgument,
    ModuleException,
    Task,
    Tasks,
    Tokens,
)

from ..platform_server import Answer

if TYPE_CHECKING:
    from ..platform_server import PlatformServer
    from .conftest import Call

ROW = {"id": "run-1", "agent_id": "agent-1", "organization_id": "org-1", "status": "completed"}


@pytest.fixture
def task(configuration: Configuration) -> Task:
    return Task.report_external_task(configuration, "agent-1", "run-1", input="why?", result="so", used_tools=["t"])


# -- Loading


def test_task_is_loaded_by_id(task: Task, server: PlatformServer, configuration: Configuration, call: Call) -> None:
    loaded = call(Task.load, "run-1", configuration)
    request = server.requests[-1]
    assert (request.method, request.target, request.body, "content-type" in request.headers, loaded) == (
        "GET",
        "/agent-execution/run-1/status",
        b"",
        False,
        task,
    )


def test_tasks_loads_with_its_own_configuration(task: Task, configuration: Configuration, call: Call) -> None:
    loaded = call(Tasks(configuration).get, "run-1")
    assert (loaded.id, loaded.configuration is configuration, configuration.state.task is loaded) == (
        "run-1",
        True,
        True,
    )


def test_environment_is_used_where_no_configuration_is_given(
    task: Task, server: PlatformServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XPANDER_BASE_URL", server.url)
    monkeypatch.setenv("XPANDER_API_KEY", "of-environment")
    call(Task.load, "run-1")
    call(Tasks().get, "run-1")
    call(Tasks().list, "agent-1")
    assert [request.headers["x-api-key"] for request in server.requests[1:]] == ["of-environment"] * 3


def test_task_that_does_not_exist_is_404(configuration: Configuration, call: Call) -> None:
    with pytest.raises(ModuleException, match=r"\[404\] .*task not found"):
        call(Task.load, "run-1", configuration)


@pytest.mark.parametrize(
    ("task_id", "segment"), [("a/b", "a%2Fb"), ("a?b", "a%3Fb"), ("é", "%C3%A9"), ("../x", "..%2Fx")]
)
def test_loaded_id_is_one_segment_of_the_path(
    task_id: str, segment: str, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    call(Task.report_external_task, configuration, "agent-1", task_id)
    loaded = call(Task.load, task_id, configuration)
    assert (loaded.id, server.requests[-1].target) == (task_id, f"/agent-execution/{segment}/status")


@pytest.mark.parametrize("task_id", [None, "", "..", object()])
def test_id_that_can_be_no_segment_is_refused(
    task_id: Any, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    with pytest.raises(InvalidArgument, match=r"Failed to get tas - .*\bid\b"):
        call(Task.load, task_id, configuration)
    assert server.requests == []


def test_failed_load_says_so(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    server.answers([Answer(text="no task")])
    with pytest.raises(AnswerUnreadable, match=r"^\[500\] Failed to get tas - "):
        call(Task.load, "run-1", configuration)


def test_reload_brings_the_same_object_up_to_date(
    task: Task, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.tasks["run-1"] |= {"status": "failed", "result": "changed", "title": "new"}
    call(task.reload)
    assert (
        task.status,
        task.result,
        task.title,
        task.configuration is configuration,
        configuration.state.task is task,
    ) == (AgentExecutionStatus.Failed, "changed", "new", True, True)


def test_async_reload_returns_the_task(task: Task) -> None:
    assert asyncio.run(task.areload()) is task


def test_failed_reload_changes_nothing(task: Task, server: PlatformServer, call: Call) -> None:
    before = task.model_dump()
    server.answers([Answer(json={"id": "run-1", "result": "half"})])
    with pytest.raises(AnswerUnreadable):
        call(task.reload)
    assert task.model_dump() == before


# -- Listing


def test_history_has_the_agents_tasks_in_the_platforms_order(
    server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    for agent_id, task_id in [("agent-1", "b"), ("agent-2", "x"), ("agent-1", "a")]:
        call(Task.report_external_task, configuration, agent_id, task_id, result=f"of {task_id}")
    rows = call(Tasks(configuration).list, "agent-1")
    request = server.requests[-1]
    assert (request.method, request.target, [(row.id, row.result, row.status) for row in rows]) == (
        "GET",
        "/agent-execution/executions/history/agent-1",
        [("b", "of b", AgentExecutionStatus.Completed), ("a", "of a", AgentExecutionStatus.Completed)],
    )


def test_history_is_filtered_by_the_platform(configuration: Configuration, call: Call) -> None:
    call(Task.report_external_task, configuration, "agent-1", "good")
    call(Task.report_external_task, configuration, "agent-1", "bad", is_success=False)
    assert [row.id for row in call(Tasks(configuration).list, "agent-1", {"status": "failed"})] == ["bad"]


@pytest.mark.parametrize(
    ("filters", "sent"),
    [
        (None, []),
        ({}, []),
        ({"user_id": "a b&c"}, [("user_id", "a b&c")]),
        ({"user_id": None, "parent_task_id": True}, [("user_id", ""), ("parent_task_id", "true")]),
        (
            {"status": AgentExecutionStatus.Failed, "internal_status": "é"},
            [("status", "failed"), ("internal_status", "é")],
        ),
    ],
)
def test_filters_are_the_query(
    filters: dict[str, Any] | None, sent: list[Any], server: PlatformServer, configuration: Configuration
) -> None:
    Tasks(configuration).list("agent-1", filters)
    path, _, query = server.requests[0].target.partition("?")
    assert (path, parse_qsl(query, keep_blank_values=True)) == ("/agent-execution/executions/history/agent-1", sent)


def test_row_loads_its_task_with_the_configuration_of_the_list(
    task: Task, configuration: Configuration, call: Call
) -> None:
    (row,) = call(Tasks(configuration).list, "agent-1")
    loaded = call(row.load)
    assert (loaded, loaded.configuration is configuration) == (task, True)


def test_row_needs_only_its_required_fields(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    server.answers([Answer(json=[ROW])])
    (row,) = call(Tasks(configuration).list, "agent-1")
    optional = [
        "user_id", "parent_task_id", "triggering_agent_id", "created_at", "updated_at", "source_node_type", "result",
        "title", "execution_kind", "process", "conversation_kind",
    ]  # fmt: skip
    assert row.model_dump() == {**ROW, **dict.fromkeys(optional)}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([ROW, {**ROW, "status": "canary"}], "status"),
        ([ROW, {**ROW, "status": None}], "status"),
        ([{name: value for name, value in ROW.items() if name != "organization_id"}], "organization_id"),
        ([ROW, "canary"], "no JSON object"),
        ({"rows": [ROW]}, "no JSON array"),
        (None, "no JSON array"),
    ],
)
def test_one_bad_row_fails_the_list(
    rows: Any, reason: str, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.answers([Answer(json=rows)])
    with pytest.raises(AnswerUnreadable, match=f"Failed to list tasks - .*{reason}") as error:
        call(Tasks(configuration).list, "agent-1")
    assert "canary" not in str(error.value)


# -- Metrics


def test_metrics_of_a_task_are_the_contracts(
    task: Task, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    task.tokens = Tokens(prompt_tokens=5, completion_tokens=7, cache_read_tokens=1)
    task.llm_model_name = "GPT-4o"
    task.duration = 9.5
    call(task.report_metrics, configuration)
    request = server.requests[-1]
    assert (request.method, request.target, request.body.decode()) == (
        "POST",
        "/agents-metrics/agent-1/execution",
        (
            '{"execution_id":"run-1","source":"external","sub_executions":[],"memory_thread_id":"run-1","task":"why?",'
            '"triggered_by":"N/A","skills":[],"status":"completed","internal_status":null,"duration":0.0,'
            '"ai_model":"gpt-4o","worker":null,"ai_employee_id":null,"api_calls_made":["t"],"result":"so",'
            '"llm_tokens":{"inner":{"completion_tokens":0,"prompt_tokens":0,"cache_read_tokens":0,"cache_write_tokens":0,'
            '"total_tokens":0},"worker":{"completion_tokens":7,"prompt_tokens":5,"cache_read_tokens":1,'
            '"cache_write_tokens":0,"total_tokens":12}}}'
        ),
    )


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"result": ""}, {"result": None}),
        ({"used_tools": None}, {"api_calls_made": None}),
        ({"llm_model_name": None}, {"ai_model": "xpander"}),
        ({"status": None, "source": None}, {"status": None, "source": None}),
    ],
)
def test_metrics_of_what_a_task_lacks(
    changes: dict[str, Any], sent: dict[str, Any], task: Task, server: PlatformServer, configuration: Configuration
) -> None:
    for name, value in {"tokens": Tokens(), **changes}.items():
        setattr(task, name, value)
    task.report_metrics(configuration)
    assert server.requests[-1].json.items() >= sent.items()


def test_metrics_need_tokens(task: Task, server: PlatformServer, configuration: Configuration, call: Call) -> None:
    with pytest.raises(InvalidArgument, match=r"\[500\] Failed to report metrics - .*tokens"):
        call(task.report_metrics, configuration)
    assert len(server.requests) == 1


def test_metrics_go_where_the_environment_says_and_not_where_the_task_came_from(
    task: Task, server: PlatformServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XPANDER_BASE_URL", server.url)
    monkeypatch.setenv("XPANDER_API_KEY", "of-environment")
    task.tokens = Tokens()
    call(task.report_metrics)
    assert server.requests[-1].headers["x-api-key"] == "of-environment"


@pytest.mark.parametrize("answer", [Answer(204), Answer(text="thanks"), Answer(json=[1])])
def test_answer_to_metrics_is_not_used(
    answer: Answer, task: Task, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    task.tokens = Tokens()
    server.answers([answer])
    assert call(task.report_metrics, configuration) is None


def test_refused_metrics_raise(task: Task, server: PlatformServer, configuration: Configuration, call: Call) -> None:
    task.tokens = Tokens()
    server.answers([Answer(503, text="busy")])
    with pytest.raises(ModuleException, match=r"\[503\] busy"):
        call(task.report_metrics, configuration)
