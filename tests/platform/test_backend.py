from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.platform import Backend, Configuration, MissingAgentId, Tokens

if TYPE_CHECKING:
    from ..platform_server import PlatformServer
    from .conftest import Call


@pytest.fixture
def environment(server: PlatformServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPANDER_BASE_URL", server.url)
    monkeypatch.setenv("XPANDER_API_KEY", "of-environment")


def test_report_is_that_of_a_task(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    task = call(
        Backend(configuration).report_external_task, agent_id="agent-1", id="run-1", input="in", llm_response=[1],
        tokens=Tokens(), is_success=False, result="out", duration=1, used_tools=("a", "a"),
    )  # fmt: skip
    assert (task.id, server.requests[0].target, server.requests[0].body.decode()) == (
        "run-1",
        "/agent-execution/agent-1/report_task",
        (
            '{"id":"run-1","input":"in","llm_response":[1],"tokens":{"completion_tokens":0,"prompt_tokens":0,'
            '"cache_read_tokens":0,"cache_write_tokens":0,"total_tokens":0},"is_success":false,"result":"out",'
            '"duration":1.0,"used_tools":["a","a"]}'
        ),
    )


def test_arguments_are_positional_in_the_contracts_order(
    server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    arguments = ["agent-1", None, "run-1", "in", "raw", None, False, "out", 2, ["t"], configuration]
    task = call(Backend(Configuration(api_key="other")).report_external_task, *arguments)
    assert (task.configuration is configuration, server.requests[0].json) == (
        True,
        {
            "id": "run-1",
            "input": "in",
            "llm_response": "raw",
            "tokens": None,
            "is_success": False,
            "result": "out",
            "duration": 2.0,
            "used_tools": ["t"],
        },
    )


@pytest.mark.parametrize("used_tools", [None, []])
def test_no_tools_are_an_empty_list(
    used_tools: list[str] | None, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    call(Backend(configuration).report_external_task, "agent-1", used_tools=used_tools)
    assert server.requests[0].json["used_tools"] == []


class Falsy:
    id = "of-object"

    def __bool__(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("arguments", "agent_id"),
    [
        ({}, "of-environment"),
        ({"agent_id": ""}, "of-environment"),
        ({"agent_id": "given"}, "given"),
        ({"agent": SimpleNamespace(id="of-object")}, "of-object"),
        ({"agent": SimpleNamespace(id="of-object"), "agent_id": "given"}, "of-object"),
        ({"agent": SimpleNamespace(id=None), "agent_id": "given"}, "of-environment"),
        ({"agent": Falsy(), "agent_id": "given"}, "given"),
    ],
)
def test_agent_is_the_objects_else_the_given_else_the_environments(
    arguments: dict[str, Any], agent_id: str, configuration: Configuration, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Backend(configuration)
    monkeypatch.setenv("XPANDER_AGENT_ID", "of-environment")
    assert call(backend.report_external_task, **arguments).agent_id == agent_id


@pytest.mark.parametrize("arguments", [{}, {"agent_id": ""}, {"agent": SimpleNamespace(id=None), "agent_id": "given"}])
def test_report_without_agent_is_a_value_error(
    arguments: dict[str, Any], server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    with pytest.raises(ValueError, match="no agent id") as error:
        call(Backend(configuration).report_external_task, **arguments)
    assert (type(error.value), server.requests) == (MissingAgentId, [])


def test_agent_without_an_id_is_an_attribute_error(configuration: Configuration, call: Call) -> None:
    with pytest.raises(AttributeError, match="id"):
        call(Backend(configuration).report_external_task, agent=object())


@pytest.mark.usefixtures("environment")
def test_backend_without_configuration_is_one_for_the_process_and_keeps_its_first_environment(
    server: PlatformServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Backend()
    monkeypatch.setenv("XPANDER_API_KEY", "later")
    call(Backend().report_external_task, "agent-1")
    assert (Backend() is first, server.requests[0].headers["x-api-key"]) == (True, "of-environment")


def test_backend_with_a_configuration_is_a_new_one(configuration: Configuration) -> None:
    backend = Backend(configuration=configuration)
    assert (backend.configuration is configuration, Backend(configuration) is backend, Backend() is backend) == (
        True,
        False,
        False,
    )


@pytest.mark.usefixtures("environment")
def test_configuration_of_the_call_wins_over_the_backends(server: PlatformServer, call: Call) -> None:
    calls = Configuration(api_key="of-call", base_url=server.url)
    call(Backend().report_external_task, "agent-1", configuration=calls)
    assert server.requests[0].headers["x-api-key"] == "of-call"


def test_unknown_keyword_is_a_type_error(configuration: Configuration, call: Call) -> None:
    with pytest.raises(TypeError, match="color"):
        call(Backend(configuration).report_external_task, agent_id="agent-1", color="red")
