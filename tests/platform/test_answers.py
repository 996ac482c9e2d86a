"""How the platform's answer becomes a Task."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.platform import AgentExecutionStatus, AnswerUnreadable, Configuration, Task, Tokens

from ..platform_server import Answer

if TYPE_CHECKING:
    from ..platform_server import PlatformServer
    from .conftest import Call

MINIMAL: dict[str, Any] = {
    "id": "run-1",
    "agent_id": "agent-1",
    "organization_id": "org-1",
    "input": {},
    "created_at": "2026-01-02T03:04:05Z",
}
CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
READABLE = {"content-type": "application/json"}


def answered(server: PlatformServer, configuration: Configuration, answer: Answer) -> Task:
    server.answers([answer])
    return Task.report_external_task(configuration, "agent-1")


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
def test_every_2xx_is_a_yes(status: int, server: PlatformServer, configuration: Configuration, call: Call) -> None:
    server.answers([Answer(status, json=MINIMAL)])
    assert call(Task.report_external_task, configuration, "agent-1").id == "run-1"


def test_minimal_answer_takes_the_contracts_defaults(server: PlatformServer, configuration: Configuration) -> None:
    task = answered(server, configuration, Answer(json=MINIMAL))
    assert task.model_dump() == {
        "id": "run-1",
        "agent_id": "agent-1",
        "organization_id": "org-1",
        "input": {"text": "", "files": [], "attachments": [], "user": None, "principal": None},
        "created_at": CREATED,
        "status": AgentExecutionStatus.Pending,
        "duration": 0,
        "execution_attempts": 1,
        "think_mode": "default",
        "deep_planning": {},
        "used_tools": [],
        "sub_executions": [],
        "mcp_servers": [],
        **dict.fromkeys(
            [
                "should_update_parent", "is_manually_stopped", "events_streaming", "is_orchestration", "is_gateway",
                "is_app", "background_auth_eligible", "disable_attachment_injection", "must_deep_plan",
                "return_metrics",
            ],
            False,
        ),
        **dict.fromkeys(
            [
                "started_at", "paused_at", "finished_at", "result", "tokens", "internal_status",
                "last_executed_node_id", "agent_version", "parent_execution", "conversation_id", "conversation_kind",
                "payload_extension", "execution_kind", "hitl_request", "pending_eca_request", "source", "voice_id",
                "output_format", "output_schema", "additional_context", "tool_call_limit", "instructions_override",
                "test_run_node_id", "user_oidc_token", "expected_output", "triggering_agent_id", "title",
                "user_tokens", "llm_model_provider", "llm_model_name", "llm_reasoning_effort", "harness_cli",
                "permission_mode",
            ]
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "answered_with", "read"),
    [
        *[("status", status.value, status) for status in AgentExecutionStatus],
        ("status", None, None),
        ("created_at", "2026-01-02T03:04:05.678901Z", CREATED.replace(microsecond=678901)),
        ("created_at", "2026-01-02T05:04:05+02:00", CREATED.astimezone(timezone(timedelta(hours=2)))),
        ("created_at", "2026-01-02T03:04:05", CREATED.replace(tzinfo=None)),
        ("created_at", "2026-01-02 03:04:05", CREATED.replace(tzinfo=None)),
        ("created_at", "2026-01-02", datetime(2026, 1, 2)),  # noqa: DTZ001  # as the platform says it
        ("created_at", int(CREATED.timestamp()), CREATED),
        ("created_at", int(CREATED.timestamp()) * 1000, CREATED),
        ("finished_at", None, None),
        ("result", "done", "done"),
        ("tokens", {"prompt_tokens": 5.0, "total_tokens": 99}, Tokens(prompt_tokens=5)),
        ("used_tools", ["a", "a"], ["a", "a"]),
        ("used_tools", None, None),
        ("duration", "1.5", 1.5),
        ("duration", None, None),
        ("conversation_kind", "gateway", "gateway"),
        ("output_format", "voice", "voice"),
        ("think_mode", "harder", "harder"),
        ("llm_reasoning_effort", "xhigh", "xhigh"),
        ("deep_planning", {"enabled": False}, {"enabled": False}),
    ],
)
def test_field_is_read_as(
    field: str, answered_with: Any, read: Any, server: PlatformServer, configuration: Configuration
) -> None:
    task = answered(server, configuration, Answer(json={**MINIMAL, field: answered_with}))
    assert getattr(task, field) == read


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"text": "hi", "files": ["f"]}, ("hi", ["f"], None)),
        ({"text": None, "files": None}, (None, None, None)),
        ({"text": "hi", "user": {"email": "a@b.test", "color": "red"}}, ("hi", [], "a@b.test")),
    ],
)
def test_input_is_read_as(given: Any, read: Any, server: PlatformServer, configuration: Configuration) -> None:
    task_input = answered(server, configuration, Answer(json={**MINIMAL, "input": given})).input
    assert (task_input.text, task_input.files, task_input.user and task_input.user.email) == read


def test_unknown_fields_are_ignored(server: PlatformServer, configuration: Configuration) -> None:
    assert not hasattr(answered(server, configuration, Answer(json={**MINIMAL, "color": "red"})), "color")


@pytest.mark.parametrize("missing", list(MINIMAL))
def test_answer_without_a_required_field_is_unreadable(
    missing: str, server: PlatformServer, configuration: Configuration
) -> None:
    answer = {name: value for name, value in MINIMAL.items() if name != missing}
    with pytest.raises(AnswerUnreadable, match=f"the platform accepted it.* {missing}: Field required"):
        answered(server, configuration, Answer(json=answer))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 1),
        ("input", "canary"),
        ("input", None),
        ("input", {"user": {"first_name": "canary"}}),
        ("status", "canary"),
        ("status", "Completed"),
        ("created_at", "canary"),
        ("created_at", None),
        ("result", 1),
        ("result", {"canary": 1}),
        ("tokens", "canary"),
        ("tokens", {"prompt_tokens": 1.5}),
        ("used_tools", "canary"),
        ("duration", "canary"),
    ],
)
def test_ill_typed_field_is_named_and_its_value_is_not_quoted(
    field: str, value: Any, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.answers([Answer(json={**MINIMAL, field: value})])
    with pytest.raises(AnswerUnreadable, match=rf"the platform accepted it.* {field}\b") as error:
        call(Task.report_external_task, configuration, "agent-1")
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(204), "empty"),
        (Answer(200), "empty"),
        (Answer(text="ok"), "text/plain content, not JSON"),
        (Answer(body=b"<html>", headers={"content-type": "text/html"}), "text/html content, not JSON"),
        (Answer(body=json.dumps(MINIMAL).encode()), "untyped content, not JSON"),
        (Answer(body=b"{", headers=READABLE), "not valid JSON"),
        (Answer(body=b"\xff", headers=READABLE), "not valid JSON"),
        (Answer(body=b"", headers=READABLE), "not valid JSON"),
        (Answer(body=b"[" * 60_000, headers=READABLE), "not valid JSON"),
        (Answer(body=b"9" * 5_000, headers=READABLE), "not valid JSON"),
        (Answer(body=b"not gzip", headers={**READABLE, "content-encoding": "gzip"}), "not JSON|not valid JSON"),
        (Answer(json=[]), "no JSON object"),
        (Answer(json=None), "no JSON object"),
        (Answer(json="text"), "no JSON object"),
        (Answer(json=1), "no JSON object"),
        (Answer(json={}), "id: Field required"),
    ],
)
def test_2xx_that_is_no_task_says_that_the_platform_accepted(
    answer: Answer, reason: str, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.answers([answer])
    with pytest.raises(AnswerUnreadable, match=f"the platform accepted it.*({reason})") as error:
        call(Task.report_external_task, configuration, "agent-1")
    assert error.value.status_code == 500


@pytest.mark.parametrize(
    "answer",
    [
        Answer(json=MINIMAL, gzip=True),
        Answer(json=MINIMAL, chunked=True),
        Answer(json=MINIMAL, gzip=True, chunked=True),
        Answer(json=MINIMAL, drip=0.0005),
        Answer(json=MINIMAL, close=True),
        Answer(json=MINIMAL, headers={"connection": "close"}),
        Answer(json=MINIMAL, headers={"content-length": None}, close=True),
        Answer(json=MINIMAL, headers={"content-type": "application/json; charset=utf-8"}),
        Answer(json=MINIMAL, headers={"content-type": "Application/JSON"}),
        Answer(json=MINIMAL, headers={"content-type": "application/vnd.task+json"}),
        Answer(body=b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode(), headers=READABLE),
    ],
)
def test_task_is_read_however_it_is_sent(
    answer: Answer, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    server.answers([answer])
    assert call(Task.report_external_task, configuration, "agent-1") == Task(**MINIMAL, configuration=configuration)


def test_configuration_in_the_answer_is_overridden_by_the_callers(
    server: PlatformServer, configuration: Configuration
) -> None:
    elsewhere = {"api_key": "other", "base_url": "http://elsewhere.test"}
    task = answered(server, configuration, Answer(json={**MINIMAL, "configuration": elsewhere}))
    assert (task.configuration is configuration, configuration.state.task is task) == (True, True)


def test_configuration_of_the_environment_stays_with_the_task(
    server: PlatformServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    monkeypatch.setenv("XPANDER_BASE_URL", server.url)
    task = Task.report_external_task(agent_id="agent-1")
    assert task.configuration is not None
    assert (task.configuration.base_url, task.configuration.state.task is task) == (server.url, True)


@pytest.mark.parametrize("dump", [Task.model_dump, Task.model_dump_json, repr, str])
def test_key_is_not_in_what_a_task_shows(dump: Any, server: PlatformServer) -> None:
    configuration = Configuration(api_key="canary", base_url=server.url)
    assert "canary" not in str(dump(Task.report_external_task(configuration, "agent-1")))


@pytest.mark.parametrize("transport", [lambda task: pickle.loads(pickle.dumps(task)), copy.deepcopy, copy.copy])
def test_task_survives_pickling_and_copying(
    transport: Any, server: PlatformServer, configuration: Configuration
) -> None:
    task = Task.report_external_task(configuration, "agent-1", result="done")
    assert transport(task).model_dump() == task.model_dump()


@pytest.mark.parametrize(
    ("name", "value"),
    [("Pending", "pending"), ("Executing", "executing"), ("Paused", "paused"), ("Error", "error"),
     ("Failed", "failed"), ("Completed", "completed"), ("Stopped", "stopped")],
)  # fmt: skip
def test_status_is_its_text(name: str, value: str) -> None:
    status = AgentExecutionStatus[name]
    assert (status == value, str(status), f"{status}", json.dumps(status)) == (True, value, value, f'"{value}"')
