"""What a run was given: the arguments of the call, as text."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import json
import uuid
from collections import OrderedDict, deque
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from xpander_track import configure, current_run, track_task, tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Call, RunsRecorded


def one(question): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def two(question, depth=2): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def keyword_only(*, question): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def positional_only(question, /, depth=2): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
def any_positional(question, *more): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ANN002
def any_keyword(question, **options): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ANN003
def only_positional(*parts): ...  # type: ignore[no-untyped-def]  # noqa: ANN201, ANN002
def only_keyword(**parts): ...  # type: ignore[no-untyped-def]  # noqa: ANN201, ANN003
def same_name(question, /, **options): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ANN003
def every(a, /, b, *c, d=4, **e): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ANN002, ANN003
def nothing(): ...  # type: ignore[no-untyped-def]  # noqa: ANN201


def arguments(*args: object, **kwargs: object) -> tuple[tuple[object, ...], dict[str, object]]:
    return args, kwargs


@pytest.mark.parametrize(
    ("function", "given", "text"),
    [
        (one, arguments("why?"), "why?"),
        (one, arguments(question="why?"), "why?"),
        (one, arguments(""), ""),
        (one, arguments("größer\n➜"), "größer\n➜"),
        (one, arguments(7), '{"question":7}'),
        (one, arguments(None), '{"question":null}'),
        (one, arguments(["why?"]), '{"question":["why?"]}'),
        (one, arguments(b"why?"), '{"question":"why?"}'),
        (two, arguments("why?"), '{"question":"why?","depth":2}'),
        (two, arguments(depth=3, question="ä"), '{"question":"ä","depth":3}'),
        (keyword_only, arguments(question="why?"), "why?"),
        (positional_only, arguments("why?"), '{"question":"why?","depth":2}'),
        (any_positional, arguments("why?"), '{"question":"why?","more":[]}'),
        (any_positional, arguments("why?", 1, 2), '{"question":"why?","more":[1,2]}'),
        (any_keyword, arguments("why?"), '{"question":"why?","options":{}}'),
        (any_keyword, arguments(x=1, question="why?"), '{"question":"why?","options":{"x":1}}'),
        (only_positional, arguments("why?"), '{"parts":["why?"]}'),
        (only_keyword, arguments(why="?"), '{"parts":{"why":"?"}}'),
        (same_name, arguments("a", question="b"), '{"question":"a","options":{"question":"b"}}'),
        (every, arguments(1, 2, 3, d=5, a=6), '{"a":1,"b":2,"c":[3],"d":5,"e":{"a":6}}'),
        (nothing, arguments(), None),
    ],
)
def test_arguments_are_the_input(
    call: Call, function: Callable[..., Any], given: Any, text: str | None, recorded: RunsRecorded
) -> None:
    args, kwargs = given
    call(function, *args, **kwargs)
    assert [report.input for report in recorded()] == [text]


class Text(str):
    __slots__ = ()


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    name: str = "m"
    count: int = 1


@dataclasses.dataclass
class Data:
    name: str
    parts: list[int]


@pytest.mark.parametrize(
    ("value", "json_text"),
    [
        (True, "true"),
        (1.5, "1.5"),
        (float("nan"), "null"),
        (Text("sub"), '"sub"'),
        (Colour.RED, '"red"'),
        (Model(), '{"name":"m","count":1}'),
        (Data("d", [1, 2]), '{"name":"d","parts":[1,2]}'),
        ((1, (2, 3)), "[1,[2,3]]"),
        ({3}, "[3]"),
        (frozenset({3}), "[3]"),
        (deque([1, 2]), "[1,2]"),
        (OrderedDict(b=1, a=2), '{"b":1,"a":2}'),
        ({1: "a", None: "b"}, '{"1":"a","None":"b"}'),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc), '"2026-01-02T03:04:05Z"'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (ValueError("no"), '"<ValueError: no>"'),
        ("a\ud800b", '"a?b"'),
    ],
)
def test_values_are_json(value: object, json_text: str, recorded: RunsRecorded) -> None:
    track_task(lambda value, second: None)(value, 0)
    assert [report.input for report in recorded()] == [f'{{"value":{json_text},"second":0}}']


class Agent:
    @track_task
    def method(self, question: str) -> None: ...

    @track_task
    def other_name(this, question: str) -> None: ...  # noqa: N805

    @track_task
    def star(*args: object) -> None: ...

    @track_task
    def more(self, question: str, depth: int = 2) -> None: ...

    @classmethod
    @track_task
    def class_above(cls, question: str) -> None: ...

    @track_task
    @classmethod
    def class_below(cls, question: str) -> None: ...

    @staticmethod
    @track_task
    def static_above(self: str) -> None: ...  # noqa: PLW0211  # the name must not matter

    @track_task
    @staticmethod
    def static_below(self: str) -> None: ...  # noqa: PLW0211  # the same

    @track_task
    def __call__(self, question: str) -> None: ...


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("method", "why?"),
        ("other_name", "why?"),
        ("star", '{"args":["why?"]}'),
        ("more", '{"question":"why?","depth":2}'),
        ("class_above", "why?"),
        ("class_below", "why?"),
        ("static_above", "why?"),
        ("static_below", "why?"),
        ("__call__", "why?"),
    ],
)
def test_the_receiver_is_left_out(name: str, text: str, recorded: RunsRecorded) -> None:
    getattr(Agent(), name)("why?")
    assert [report.input for report in recorded()] == [text]


@pytest.mark.parametrize("name", ["method", "other_name"])
def test_the_receiver_is_left_out_of_a_call_through_the_class(name: str, recorded: RunsRecorded) -> None:
    getattr(Agent, name)(Agent(), "why?")
    assert [report.input for report in recorded()] == ["why?"]


def test_the_receiver_is_left_out_of_a_call_through_a_class_that_inherits(recorded: RunsRecorded) -> None:
    class Child(Agent): ...

    class Other(Agent): ...

    Child.method(Child(), "why?")
    Agent.method(Other(), "why?")
    Agent.later = track_task(lambda self, question: None)  # type: ignore[attr-defined]
    Other.later(Other(), "why?")  # type: ignore[attr-defined]
    assert [report.input for report in recorded()] == ["why?"] * 3


def test_the_receiver_of_a_partial_method_is_left_out(recorded: RunsRecorded) -> None:
    class Asker:
        ask = functools.partialmethod(track_task(lambda self, question, depth: None), "why?")

    Asker().ask(2)
    Asker.ask(Asker(), 2)
    assert [report.input for report in recorded()] == ['{"question":"why?","depth":2}'] * 2


def test_a_parameter_called_self_is_an_argument(call: Call, recorded: RunsRecorded) -> None:
    def function(self: str) -> None: ...

    call(function, "why?")
    assert [report.input for report in recorded()] == ["why?"]


def test_an_instance_is_an_argument_where_it_is_no_receiver(recorded: RunsRecorded) -> None:
    track_task(lambda who, question: None)(Model(), "why?")
    assert [report.input for report in recorded()] == ['{"who":{"name":"m","count":1},"question":"why?"}']


def test_input_is_a_snapshot_of_the_beginning(call: Call, recorded: RunsRecorded) -> None:
    def grow(items: list[int]) -> None:
        items.append(2)
        current_run().record_tool("t")

    call(grow, [1])
    assert [report.input for report in recorded()] == ['{"items":[1]}']


def test_a_mutable_default_is_shown_as_it_was(recorded: RunsRecorded) -> None:
    @track_task
    def grow(items: list[int] = []) -> None:  # noqa: B006  # the point of it
        items.append(1)

    grow()
    grow()
    assert [report.input for report in recorded()] == ['{"items":[]}', '{"items":[1]}']


# --- input= ---


def test_input_may_be_a_text(call: Call, recorded: RunsRecorded) -> None:
    call(one, "why?", decorator=track_task(input="what"))
    assert [report.input for report in recorded()] == ["what"]


@pytest.mark.parametrize(
    ("given", "text"), [("text", "text"), ({"a": 1}, '{"a":1}'), (None, None), (["x"], '["x"]'), ("", "")]
)
def test_input_may_be_a_function_of_the_arguments(
    call: Call, given: object, text: str | None, recorded: RunsRecorded
) -> None:
    seen: list[object] = []

    def choose(*args: object, **kwargs: object) -> object:
        seen.append((args, kwargs))
        return given

    call(two, "why?", depth=3, decorator=track_task(input=choose))
    assert seen == [(("why?",), {"depth": 3})]
    assert [report.input for report in recorded()] == [text]


def test_an_input_function_sees_no_receiver(recorded: RunsRecorded) -> None:
    class Agent:
        @track_task(input=lambda question: f"asked {question}")
        def method(self, question: str) -> None: ...

    Agent().method("why?")
    assert [report.input for report in recorded()] == ["asked why?"]


@pytest.mark.usefixtures("net")
def test_an_input_function_that_raises_costs_the_input_only(call: Call, recorded: RunsRecorded) -> None:
    def choose(question: str) -> str:
        raise ValueError(question)

    assert call(lambda question: question, "why?", decorator=track_task(input=choose)) == "why?"
    assert [(report.input, report.result) for report in recorded()] == [(None, "why?")]


# --- leaving it out ---


def test_capture_input_false_keeps_the_arguments_out(call: Call, recorded: RunsRecorded) -> None:
    call(one, "why?", decorator=track_task(capture_input=False))
    assert [report.input for report in recorded()] == [None]


def test_capture_input_false_calls_no_input_function(call: Call, recorded: RunsRecorded) -> None:
    seen: list[str] = []
    call(one, "why?", decorator=track_task(capture_input=False, input=seen.append))
    assert (seen, recorded()[0].input) == ([], None)


@pytest.mark.parametrize(("own", "text"), [(None, None), (True, "why?"), (False, None)])
def test_a_decorators_word_on_input_wins_over_configure(
    call: Call, *, own: bool | None, text: str | None, recorded: RunsRecorded
) -> None:
    configure(capture_input=False)
    call(one, "why?", decorator=track_task(capture_input=own))
    assert [report.input for report in recorded()] == [text]


def test_configure_can_keep_a_blocks_input_out(recorded: RunsRecorded) -> None:
    configure(capture_input=False)
    with tracked_task(input="why?"):
        pass
    assert [report.input for report in recorded()] == [None]


def test_set_input_wins(call: Call, recorded: RunsRecorded) -> None:
    call(lambda question: current_run().set_input({"asked": question}), "why?")
    assert [report.input for report in recorded()] == ['{"asked":"why?"}']


def test_what_is_too_long_is_cut_and_marked(call: Call, recorded: RunsRecorded) -> None:
    configure(max_chars=1_000)
    call(one, "x" * 5_000)
    (text,) = [report.input or "" for report in recorded()]
    assert text.startswith("x" * 900)
    assert text.endswith("of 5000 characters left out]")
    assert len(text) < 1_100


def test_what_has_too_many_parts_is_cut_and_stays_json(call: Call, recorded: RunsRecorded) -> None:
    configure(max_chars=1_000)
    call(one, list(range(100_000)))
    (text,) = [report.input or "" for report in recorded()]
    assert json.loads(text)["question"][-1].endswith("more items left out")
    assert len(text) < 1_100


def test_names_stay_where_their_values_are_cut(recorded: RunsRecorded) -> None:
    configure(max_chars=1_000)
    track_task(lambda first, second, third: None)("x" * 500, "y" * 5_000, 3)
    assert list(json.loads(recorded()[0].input or "")) == ["first", "second", "…"]
