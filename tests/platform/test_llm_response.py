"""How a raw response becomes JSON: the contract's forms, and stand-ins for what it has no form for."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import re
import threading
import types
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_serializer

from xpander_track.platform import Configuration, Task

if TYPE_CHECKING:
    from ..platform_server import PlatformServer

UTC = dt.timezone.utc
NAN, INFINITY = float("nan"), float("inf")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    next: Point | None = None


Pair = collections.namedtuple("Pair", "left right")  # noqa: PYI024  # the untyped one is meant


class Inner(BaseModel):
    when: dt.datetime = dt.datetime(2026, 1, 2, tzinfo=UTC)
    maybe: str | None = None


class Outer(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)

    some_name: str = Field(default="v", alias="someName")
    inner: Inner = Inner()
    secret: SecretStr = SecretStr("hush")
    hidden: str = Field(default="no", exclude=True)


OUTER = '{"some_name":"v","inner":{"when":"2026-01-02T00:00:00Z","maybe":null},"secret":"**********","more":1}'


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, "null"),
        ("", '""'),
        ("ß😀\n", '"ß😀\\n"'),
        (0, "0"),
        (False, "false"),
        (2.0, "2.0"),
        (10**400, f"1{'0' * 400}"),
        ({"b": 1, "a": {}}, '{"b":1,"a":{}}'),
        ([NAN, {"a": [INFINITY, -INFINITY]}], '[null,{"a":[null,null]}]'),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), '"2026-01-02T03:04:05Z"'),
        (dt.datetime(2026, 1, 2, 3, 4, 5), '"2026-01-02T03:04:05"'),  # noqa: DTZ001  # naive is the case
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (dt.time(3, 4, 5), '"03:04:05"'),
        (dt.timedelta(days=1, hours=2, minutes=3, seconds=4.5), '"P1DT2H3M4.5S"'),
        (decimal.Decimal("1.2300"), '"1.2300"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (pathlib.Path("a/b"), '"a/b"'),
        (1 + 2j, '"1+2j"'),
        (Color.RED, '"red"'),
        (Level.HIGH, "3"),
        ("é".encode(), '"é"'),
        (bytearray(b"a"), '"a"'),
        ({1}, "[1]"),
        (frozenset([1]), "[1]"),
        ((1, (2,)), "[1,[2]]"),
        (Pair(1, "r"), '[1,"r"]'),
        (collections.deque([1, 2]), "[1,2]"),
        ((item for item in [1, 2]), "[1,2]"),
        (Point(1, Point(2)), '{"x":1,"next":{"x":2,"next":null}}'),
        (Outer(more=1), OUTER),  # type: ignore[call-arg]
        ([{"k": Outer(more=1)}], f'[{{"k":{OUTER}}}]'),  # type: ignore[call-arg]
        (
            {1: "i", 1.5: "f", dt.date(2026, 1, 2): "d", None: "n", (3, 4): "t", Color.RED: "e"},
            '{"1":"i","1.5":"f","2026-01-02":"d","None":"n","3,4":"t","red":"e"}',
        ),
        ({True: 1}, '{"true":1}'),
        (types.SimpleNamespace(a=[1]), '{"a":[1]}'),
    ],
)
def test_value_is_sent_as(value: Any, sent: str, server: PlatformServer, configuration: Configuration) -> None:
    Task.report_external_task(configuration, "agent-1", llm_response=value)
    assert f'"llm_response":{sent},"tokens"' in server.requests[0].body.decode()


def sent_response(server: PlatformServer, configuration: Configuration, value: Any) -> Any:
    Task.report_external_task(configuration, "agent-1", llm_response=value)
    return server.requests[-1].json["llm_response"]


def test_openai_response_is_sent_as_its_own_dump(server: PlatformServer, configuration: Configuration) -> None:
    from openai.types.chat import ChatCompletion  # noqa: PLC0415  # takes a second

    response = ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "gpt-4o-mini",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "héllo", "new": [1]}}
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        }
    )
    assert sent_response(server, configuration, response) == json.loads(response.model_dump_json())


def test_anthropic_response_is_sent_as_its_own_dump(server: PlatformServer, configuration: Configuration) -> None:
    from anthropic.types import Message  # noqa: PLC0415  # takes a second

    response = Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-x",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "tu_1", "name": "search", "input": {"q": "x"}},
            ],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 1},
        }
    )
    assert sent_response(server, configuration, response) == json.loads(response.model_dump_json())


class Plain:
    def __repr__(self) -> str:
        return "<Plain>"


@pytest.mark.parametrize(
    ("value", "stand_in"),
    [
        (Plain(), "<Plain>"),
        (ValueError("boom"), "<ValueError: boom>"),
        (Plain, "<class '.*Plain'>"),
        (print, "<built-in function print>"),
        (threading.Lock(), "<unlocked .*lock.*>"),
        (b"\xff\xfe", "<2 bytes>"),
        ("lone \ud800", r"lone \?"),
        (pathlib.PurePosixPath("a/b"), r"PurePosixPath\('a/b'\)"),
    ],
)
def test_what_json_has_no_form_for_becomes_a_stand_in_beside_its_neighbours(
    value: Any, stand_in: str, server: PlatformServer, configuration: Configuration
) -> None:
    sent = sent_response(server, configuration, {"odd": value, "good": [1]})
    assert (re.sub(stand_in, "matches", sent["odd"]), sent["good"]) == ("matches", [1])


def test_circular_and_bottomless_values_are_cut(server: PlatformServer, configuration: Configuration) -> None:
    circular: dict[str, Any] = {"a": 1}
    circular["self"] = [circular]
    deep: Any = "bottom"
    for _ in range(5000):
        deep = {"d": deep}
    sent = sent_response(server, configuration, {"circular": circular, "deep": deep})
    assert (sent["circular"], "nested deeper" in json.dumps(sent["deep"])) == (
        {"a": 1, "self": ["<circular dict>"]},
        True,
    )


def test_a_hundred_levels_are_sent_whole(server: PlatformServer, configuration: Configuration) -> None:
    deep: Any = "bottom"
    for _ in range(100):
        deep = {"d": deep}
    assert sent_response(server, configuration, deep) == deep


class Failing(BaseModel):
    x: int = 1

    @model_serializer
    def serialize(self) -> str:
        raise SystemExit


def test_model_that_cannot_be_dumped_is_sent_field_by_field(
    server: PlatformServer, configuration: Configuration
) -> None:
    assert sent_response(server, configuration, [Failing(), 1]) == [{"x": 1}, 1]


class Growing:
    """Its repr changes the dict that it is in, as another thread could."""

    def __init__(self, home: dict[Any, Any]) -> None:
        self.home = home

    def __repr__(self) -> str:
        self.home[len(self.home)] = "new"
        return "<Growing>"


def test_dict_changed_during_the_walk_does_not_fail_the_report(
    server: PlatformServer, configuration: Configuration
) -> None:
    home: dict[Any, Any] = {"first": 1}
    home |= {"growing": Growing(home), "last": 2}
    try:
        sent = sent_response(server, configuration, home)
    except BaseException as error:
        raise AssertionError from error  # pytest lets no PanicException count as a failure of the test
    assert (sent["first"], sent["last"]) == (1, 2)
