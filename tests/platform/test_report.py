"""What a report puts on the wire."""

from __future__ import annotations

import decimal
import inspect
import re
import uuid
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track.platform import Backend, Configuration, InvalidArgument, MissingAgentId, MissingApiKey, Task, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..platform_server import PlatformServer
    from .conftest import Call

KEYS = ["id", "input", "llm_response", "tokens", "is_success", "result", "duration", "used_tools"]


def test_report_has_always_all_keys_in_order(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    call(Task.report_external_task, configuration, "agent-1")
    assert server.requests[0].body == (
        b'{"id":null,"input":null,"llm_response":null,"tokens":null,"is_success":true,"result":null,"duration":0.0,'
        b'"used_tools":[]}'
    )


def test_report_carries_its_arguments(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    call(
        Task.report_external_task, configuration=configuration, agent_id="agent-1", id="run-1", input="Grüße?",
        llm_response={"b": [1, None], "a": "ß"}, tokens=Tokens(completion_tokens=7, prompt_tokens=5),
        is_success=False, result="nein\n", duration=1.25, used_tools=["b", "a", "b"],
    )  # fmt: skip
    assert server.requests[0].body.decode() == (
        '{"id":"run-1","input":"Grüße?","llm_response":{"b":[1,null],"a":"ß"},"tokens":{"completion_tokens":7,'
        '"prompt_tokens":5,"cache_read_tokens":0,"cache_write_tokens":0,"total_tokens":12},"is_success":false,'
        '"result":"nein\\n","duration":1.25,"used_tools":["b","a","b"]}'
    )


def test_arguments_are_positional_in_the_contracts_order(
    server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    arguments = ["run-1", "in", "raw", None, False, "out", 2.0, ["t"]]
    call(Task.report_external_task, configuration, "agent-1", *arguments)
    assert server.requests[0].json == dict(zip(KEYS, arguments, strict=True))


def test_request_is_the_contracts(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    call(Task.report_external_task, configuration, "agent-1")
    request = server.requests[0]
    assert (
        request.method,
        request.target,
        {name for name, _ in request.pairs},
        {name: request.headers[name] for name in ("host", "x-api-key", "content-type", "accept")},
    ) == (
        "POST",
        "/agent-execution/agent-1/report_task",
        {
            "Host",
            "Accept",
            "Accept-Encoding",
            "Connection",
            "User-Agent",
            "x-api-key",
            "Content-Type",
            "Content-Length",
        },
        {"host": server.url[7:], "x-api-key": "key-1", "content-type": "application/json", "accept": "*/*"},
    )


@pytest.mark.parametrize(
    ("argument", "given", "sent"),
    [
        ("id", "", '""'),
        ("id", "a/b?c#d", '"a/b?c#d"'),
        ("input", b"bytes \xc3\xa9", '"bytes é"'),
        ("input", "emoji 😀, control \x00\x1b", '"emoji 😀, control \\u0000\\u001b"'),
        ("input", "", '""'),
        ("result", '{"json": "like"}', r'"{\"json\": \"like\"}"'),
        ("is_success", None, "null"),
        ("is_success", 1, "true"),
        ("is_success", 0, "false"),
        ("is_success", "yes", "true"),
        ("is_success", "false", "false"),
        ("duration", 3, "3.0"),
        ("duration", None, "null"),
        ("duration", "1.5", "1.5"),
        ("duration", True, "1.0"),
        ("duration", decimal.Decimal("0.25"), "0.25"),
        ("duration", -1, "-1.0"),
        ("duration", float("nan"), "null"),
        ("duration", float("inf"), "null"),
        ("used_tools", None, "null"),
        ("used_tools", ("a", "b"), '["a","b"]'),
        ("used_tools", {"a"}, '["a"]'),
        ("used_tools", (name for name in "ab"), '["a","b"]'),
        (
            "tokens",
            {"prompt_tokens": "5", "completion_tokens": None, "total_tokens": 99, "color": "red"},
            '{"completion_tokens":null,"prompt_tokens":5,"cache_read_tokens":0,"cache_write_tokens":0,"total_tokens":5}',
        ),
    ],
)
def test_argument_is_sent_as(
    argument: str, given: Any, sent: str, server: PlatformServer, configuration: Configuration
) -> None:
    Task.report_external_task(configuration, "agent-1", **{argument: given})
    assert f'"{argument}":{sent}' in server.requests[0].body.decode()


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("id", 1),
        ("id", uuid.UUID(int=1)),
        ("input", 1),
        ("input", ["text"]),
        ("input", b"\xff"),
        ("input", "lone \ud800"),
        ("result", {"a": 1}),
        ("result", "lone \udfff"),
        ("is_success", 2),
        ("is_success", "maybe"),
        ("duration", "long"),
        ("duration", [1]),
        ("used_tools", "search"),
        ("used_tools", {"search": 1}),
        ("used_tools", [1]),
        ("used_tools", ["lone \ud800"]),
        ("tokens", 12),
        ("tokens", object()),
        ("tokens", {"prompt_tokens": 1.5}),
    ],
)
def test_argument_of_the_wrong_type_is_refused_by_name_and_nothing_is_sent(
    argument: str, given: Any, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    with pytest.raises(InvalidArgument, match=rf"nothing was sent: .*\b{argument}\b"):
        call(Task.report_external_task, configuration, "agent-1", **{argument: given})
    assert server.requests == []


def test_unknown_keyword_is_a_type_error(configuration: Configuration, call: Call) -> None:
    with pytest.raises(TypeError, match="color"):
        call(Task.report_external_task, configuration, "agent-1", color="red")


@pytest.mark.parametrize("agent_id", [None, ""])
def test_report_without_agent_is_refused(
    agent_id: str | None, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    with pytest.raises(MissingAgentId, match="agent_id"):
        call(Task.report_external_task, configuration, agent_id)
    assert server.requests == []


@pytest.mark.parametrize("key", [None, "", "key\n", "key\r\nX-Evil: 1", " key", "kéy", "\ud800", "key\x00"])
def test_report_without_a_usable_key_is_refused(key: str | None, server: PlatformServer, call: Call) -> None:
    with pytest.raises(MissingApiKey, match="key"):
        call(Task.report_external_task, Configuration(api_key=key, base_url=server.url), "agent-1")
    assert server.requests == []


def test_configuration_is_read_off_the_environment_at_each_call(
    server: PlatformServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XPANDER_BASE_URL", server.url)
    for key in ("first", "second"):
        monkeypatch.setenv("XPANDER_API_KEY", key)
        call(Task.report_external_task, agent_id="agent-1")
    assert [request.headers["x-api-key"] for request in server.requests] == ["first", "second"]


class Agent(str, Enum):
    ANSWERER = "agent-1"


class Number(IntEnum):
    TWELVE = 12


@pytest.mark.parametrize("agent_id", [Agent.ANSWERER, Number.TWELVE])
def test_id_that_is_an_enumeration_is_its_value(
    agent_id: Any, server: PlatformServer, configuration: Configuration
) -> None:
    Task.report_external_task(configuration, agent_id)
    assert server.requests[0].target == f"/agent-execution/{agent_id.value}/report_task"


@pytest.mark.parametrize(
    ("agent_id", "segment"),
    [
        ("agent-123", "agent-123"),
        ("A.b_c~d:e@f!$&'()*+,;=g", "A.b_c~d:e@f!$&'()*+,;=g"),
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("/a", "%2Fa"),
        ("../x", "..%2Fx"),
        ("a?b=c", "a%3Fb=c"),
        ("a#b", "a%23b"),
        ("a%2Fb", "a%252Fb"),
        ("a\\b", "a%5Cb"),
        ("a\r\nb", "a%0D%0Ab"),
        ("é😀", "%C3%A9%F0%9F%98%80"),
        ("...", "..."),
        (12, "12"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_id_is_one_segment_of_the_path(
    agent_id: Any, segment: str, server: PlatformServer, configuration: Configuration
) -> None:
    task = Task.report_external_task(configuration, agent_id)
    assert (server.requests[0].target, task.agent_id) == (f"/agent-execution/{segment}/report_task", str(agent_id))


@pytest.mark.parametrize("agent_id", [".", "..", "lone \ud800", ["a"], 1.5, b"a", object()])
def test_id_that_can_be_no_segment_is_refused(
    agent_id: Any, server: PlatformServer, configuration: Configuration, call: Call
) -> None:
    with pytest.raises(InvalidArgument, match="id"):
        call(Task.report_external_task, configuration, agent_id)
    assert server.requests == []


@pytest.mark.parametrize(
    ("suffix", "prefix"),
    [
        ("", ""),
        ("/", ""),
        ("///", ""),
        ("/prefix", "/prefix"),
        ("/prefix/v1/", "/prefix/v1"),
        ("/agent-controller", "/agent-controller/org-1"),
        ("/agent-controller/", "/agent-controller//org-1"),
    ],
)
def test_path_of_the_address_stands_before_the_route(suffix: str, prefix: str, server: PlatformServer) -> None:
    configuration = Configuration(api_key="k", base_url=f"{server.url}{suffix}", organization_id="org-1")
    Task.report_external_task(configuration, "agent-1")
    assert server.requests[0].target == f"{prefix}/agent-execution/agent-1/report_task"


def test_user_and_password_of_the_address_become_basic_authorization(server: PlatformServer) -> None:
    base_url = server.url.replace("http://", "http://user:pass@")
    Task.report_external_task(Configuration(api_key="k", base_url=base_url), "agent-1")
    headers = server.requests[0].headers
    assert (headers["authorization"], headers["x-api-key"]) == ("Basic dXNlcjpwYXNz", "k")


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("http://", "host"),
        ("http:///path", "host"),
        ("http://h:99999", "port"),
        ("http://h:0", "port"),
        ("http://h:x", "port"),
        ("http://h/?query", "query"),
        ("http://h/#fragment", "fragment"),
        ("http://h\n.test", "address|URL"),
        ("http://\ud800.test", "host"),
        ("http://h:9016", "organization"),
        ("http://agent-controller.test", "organization"),
        ("http://[::1", "base_url"),
    ],
)
def test_address_that_cannot_be_used_is_refused(base_url: str, reason: str, call: Call) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        call(Task.report_external_task, Configuration(api_key="k", base_url=base_url), "agent-1")


def test_large_report_goes_out_whole(server: PlatformServer, configuration: Configuration) -> None:
    text = "é" * 2_500_000
    task = Task.report_external_task(configuration, "agent-1", input=text, result=text)
    assert (server.requests[0].json["result"] == text, task.input.text == text) == (True, True)


def test_same_id_updates_the_same_task(server: PlatformServer, configuration: Configuration, call: Call) -> None:
    first = call(Task.report_external_task, configuration, "agent-1", "run-1", result="half")
    second = call(Task.report_external_task, configuration, "agent-1", "run-1", result="whole")
    assert (second.result, second.created_at, len(server.tasks)) == ("whole", first.created_at, 1)


@pytest.mark.parametrize("method", [Task.areport_external_task, Task.report_external_task])
def test_signature_of_the_class_method_is_the_contracts(method: Callable[..., Any]) -> None:
    defaults = [None, None, None, None, None, None, True, None, 0, []]
    names = ["configuration", "agent_id", *KEYS]
    assert _signature(method) == list(zip(names, defaults, strict=True))


@pytest.mark.parametrize("method", [Backend.areport_external_task, Backend.report_external_task])
def test_signature_of_the_backend_is_the_contracts(method: Callable[..., Any]) -> None:
    defaults = [None, None, None, None, None, None, True, None, 0, None, None]
    names = ["agent_id", "agent", *KEYS, "configuration"]
    assert _signature(method)[1:] == list(zip(names, defaults, strict=True))


def _signature(method: Callable[..., Any]) -> list[tuple[str, Any]]:
    parameters = inspect.signature(method).parameters.values()
    assert all(re.fullmatch("POSITIONAL_OR_KEYWORD", parameter.kind.name) for parameter in parameters)
    return [(parameter.name, parameter.default) for parameter in parameters]
