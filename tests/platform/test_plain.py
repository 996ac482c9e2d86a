"""``plain``: any value as JSON data, whatever it does, and never more than asked for."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum
import json
import math
import sys
import threading
import time
import types
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field, SecretStr, computed_field, model_serializer

from xpander_track.plain import MAX_DEPTH, dumps, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = None


class Model(BaseModel):
    name: Any = None
    secret: SecretStr = SecretStr("hush")
    hidden: str = Field(default="no", exclude=True)


class Color(enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not the text"


class Number(int):
    def __repr__(self) -> str:
        return "not the number"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2.5, 2.5),
        ("text", "text"),
        (math.nan, None),
        (-math.inf, None),
        ([math.nan, {"a": math.inf}], [None, {"a": None}]),
        (Text("a"), "a"),
        (Number(3), 3),
        (Color.RED, "red"),
        (b"ascii", "ascii"),
        (b"\xff", "<1 bytes>"),
        ("lone \ud800", "lone ?"),
        ({"lone \ud800": "\udfff"}, {"lone ?": "?"}),
        ((1, {2}, frozenset([3]), collections.deque([4])), [1, [2], [3], [4]]),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (Point(1, Point(2)), {"x": 1, "y": {"x": 2, "y": None}}),
        (Model(name=[Point(1)]), {"name": [{"x": 1, "y": None}], "secret": "**********"}),
        (SecretStr("hush"), "**********"),
        ({1: "i", 1.5: "f", None: "n"}, {"1": "i", "1.5": "f", "None": "n"}),
        ({(3, "x"): "t", Color.RED: "e"}, {"3,x": "t", "red": "e"}),
        ({True: 1, False: 0}, {"true": 1, "false": 0}),
        (ValueError("boom"), "<ValueError: boom>"),
        (KeyError(), "<KeyError>"),
        (types.SimpleNamespace(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (int, "<class 'int'>"),
        (memoryview(b"x"), "<memory at "),
    ],
)  # fmt: skip
def test_value_becomes(value: Any, expected: Any) -> None:
    form = plain(value)
    assert (form[: len(expected)] if isinstance(value, memoryview) else form) == expected


def test_integer_too_long_for_json_becomes_a_stand_in() -> None:
    assert json.dumps(plain([2**13_999, 2**20_000])).endswith(', "<int of 20001 bits>"]')


def form_of(make: Callable[[], object]) -> Any:
    """The form of what *make* makes. pytest could not show a failure with a hostile object in its frames."""
    try:
        return plain(make())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # any is a failure
        raised = type(error).__name__
    raise AssertionError(f"plain() raised {raised}")


def hostile(name: str, error: BaseException) -> object:
    """An object whose *name* raises *error*."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    member = fail if name not in {"__class__", "__dict__", "model_fields"} else property(fail)
    return type("Hostile", (), {name: member})()


@pytest.mark.parametrize(
    "name",
    [
        "__repr__", "__str__", "__getattr__", "__getattribute__", "__class__", "__dict__", "__eq__", "__bool__",
        "__len__", "__iter__", "items", "keys", "model_dump", "model_fields", "__reduce_ex__", "__copy__",
        "__deepcopy__", "__format__", "__sizeof__",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(1), GeneratorExit(), asyncio.CancelledError(), MemoryError(), RecursionError()],
    ids=lambda error: type(error).__name__,
)
def test_object_that_raises_becomes_a_stand_in_beside_its_neighbours(name: str, error: BaseException) -> None:
    form = form_of(lambda: {"odd": [hostile(name, error)], "good": 1})
    assert (form["good"], "Hostile" in json.dumps(form["odd"])) == (1, True)


class EndlessRepr:
    def __repr__(self) -> str:
        return f"<{self!r}>"


class BrokenProperty(BaseModel):
    x: int = 1

    @computed_field  # type: ignore[prop-decorator]  # mypy has no support for decorated properties
    @property
    def broken(self) -> int:
        raise SystemExit


class BrokenSerializer(BaseModel):
    x: int = 1

    @model_serializer
    def serialize(self) -> str:
        raise SystemExit


@dataclasses.dataclass
class BrokenData:
    x: int = 1

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit


class BrokenList(list):  # type: ignore[type-arg]
    def __iter__(self) -> Iterator[Any]:
        raise SystemExit

    def __repr__(self) -> str:
        raise SystemExit


class BrokenDict(dict):  # type: ignore[type-arg]
    def fail(self, *_: object) -> Any:
        raise SystemExit

    __repr__ = __getitem__ = __len__ = __contains__ = items = keys = values = copy = fail


class BrokenError(Exception):
    def __str__(self) -> str:
        raise SystemExit


class BrokenEnum(enum.Enum):
    ONE = 1

    @property
    def value(self) -> Any:
        raise SystemExit


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (EndlessRepr, f"<{__name__}.EndlessRepr, whose repr raises RecursionError>"),
        (BrokenProperty, f"<{__name__}.BrokenProperty, whose repr raises SystemExit>"),
        (BrokenSerializer, {"x": 1}),
        (BrokenData, f"<{__name__}.BrokenData, whose repr raises SystemExit>"),
        (lambda: BrokenList([1]), [1]),
        (lambda: BrokenDict(a=[1]), {"a": [1]}),
        (BrokenError, "<BrokenError: (its message cannot be read: SystemExit)>"),
        (lambda: BrokenEnum.ONE, "<BrokenEnum.ONE: 1>"),
    ],
)
def test_what_fails_in_its_own_way_becomes(make: Callable[[], Any], expected: Any) -> None:
    assert form_of(lambda: [make(), 1]) == [expected, 1]


class WithExceptions(Exception):
    def __init__(self, exceptions: Callable[[WithExceptions], Any]) -> None:
        self._exceptions = exceptions

    @property
    def exceptions(self) -> Any:
        return self._exceptions(self)


class NamelessKind(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise SystemExit


class Nameless(metaclass=NamelessKind):
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    "make",
    [lambda: WithExceptions(lambda _: 1 / 0), lambda: WithExceptions(lambda error: (error,)), Nameless],
    ids=["exceptions raises", "exceptions is circular", "metaclass raises"],
)
def test_stranger_things_become_stand_ins_too(make: Callable[[], Any]) -> None:
    assert json.dumps(form_of(lambda: [make(), 1])).endswith(", 1]")


def test_ctrl_c_is_passed_on() -> None:
    with pytest.raises(KeyboardInterrupt):
        form_of(lambda: [hostile("__repr__", KeyboardInterrupt())])


def test_circle_is_cut_where_it_closes() -> None:
    circular: dict[str, Any] = {"a": 1}
    circular["list"] = [circular]
    point = Point(1)
    point.y = point
    assert plain([circular, point]) == [{"a": 1, "list": ["<circular dict>"]}, {"x": 1, "y": "<circular Point>"}]


def test_circular_model_is_cut_where_it_closes() -> None:
    model = Model()
    model.name = [model]
    assert plain(model) == {"name": ["<circular Model>"], "secret": "**********"}


def test_same_object_twice_is_no_circle() -> None:
    shared = [1]
    assert plain([shared, shared, {"a": shared}]) == [[1], [1], {"a": [1]}]


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"d": inner}, Point, lambda inner: (inner, 1)])
def test_bottomless_value_is_cut_at_the_limit(wrap: Callable[[Any], Any]) -> None:
    value: Any = "bottom"
    for _ in range(5000):
        value = wrap(value)
    text = json.dumps(plain(value))
    assert (f"nested deeper than {MAX_DEPTH} levels" in text, "bottom" in text, text.count("[") <= MAX_DEPTH) == (
        True,
        False,
        True,
    )


def test_value_at_the_limit_is_whole() -> None:
    value: Any = "bottom"
    for _ in range(MAX_DEPTH):
        value = [value]
    assert plain(value) == value


def test_little_stack_left_is_no_error() -> None:
    value: Any = "bottom"
    for _ in range(90):
        value = {"d": [value]}

    def at_depth(depth: int) -> Any:
        return at_depth(depth - 1) if depth else plain(value)

    frame, used = sys._getframe(), 0
    while frame := frame.f_back:  # type: ignore[assignment]
        used += 1
    assert json.dumps(at_depth(sys.getrecursionlimit() - used - 60)).startswith(('{"d"', '"<', '"{'))


async def _coroutine() -> None: ...


def test_generators_and_iterators_are_not_consumed() -> None:
    generator, iterator, file_like = (item for item in [1, 2]), iter([1, 2]), map(str, [1, 2])
    coroutine = _coroutine()
    forms = plain({"generator": generator, "iterator": iterator, "map": file_like, "coroutine": coroutine})
    coroutine.close()
    assert isinstance(forms, dict)
    assert (forms["generator"], forms["coroutine"], list(generator), list(iterator), list(file_like)) == (
        "<generator test_generators_and_iterators_are_not_consumed.<locals>.<genexpr>>",
        "<coroutine _coroutine>",
        [1, 2],
        [1, 2],
        ["1", "2"],
    )


def test_generator_inside_a_model_is_not_consumed() -> None:
    generator = (item for item in [1, 2])
    plain(Model(name=generator))
    assert list(generator) == [1, 2]


def test_value_is_not_changed() -> None:
    value = {"a": [1, {"b": {2}}], "m": Model(name=[1])}
    before = repr(value)
    plain(value, max_chars=10, scrub=Hides("a"))
    assert repr(value) == before


def test_dict_that_threads_change_during_the_walk() -> None:
    shared: dict[str, Any] = {f"old {number}": {"n": number} for number in range(1000)}
    stop = threading.Event()

    def change(worker: int) -> None:
        number = 0
        while not stop.is_set():
            shared[f"new {worker} {number % 500}"] = [number]
            shared.pop(f"new {worker} {(number + 250) % 500}", None)
            number += 1

    threads = [threading.Thread(target=change, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    try:
        forms = [plain(shared) for _ in range(5)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    olds = [sum(key.startswith("old") for key in form) for form in forms if isinstance(form, dict)]
    assert olds == [1000] * 5


# -- The budget


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 20_000_000,
        lambda: "é" * 20_000_000,
        lambda: b"x" * 20_000_000,
        lambda: ["x" * 20_000_000] * 3,
        lambda: [None] * 1_000_000,
        lambda: list(range(1_000_000)),
        lambda: ["x" * 50] * 1_000_000,
        lambda: [[[1] * 100] * 100] * 100,
        lambda: {number: number for number in range(300_000)},
        lambda: {"k" * 20_000_000: 1},
        lambda: set(range(1_000_000)),
        lambda: Point("x" * 20_000_000, "y" * 20_000_000),
        lambda: Model(name=["x" * 20_000_000]),
        lambda: Model(name=list(range(300_000))),
        lambda: collections.UserList(range(300_000)),
    ],
)
def test_budget_bounds_output_and_time(make: Callable[[], Any]) -> None:
    value = make()
    started = time.thread_time()
    text = dumps(plain(value, max_chars=1000))
    assert (len(text) < 3000, time.thread_time() - started < 1) == (True, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x" * 10_000, f"{'x' * 42}… [9958 of 10000 characters left out]"),
        (["x" * 10_000, 1, 2], [f"{'x' * 34}… [9966 of 10000 characters left out]", "… 2 more items left out"]),
        (
            {f"name {number}": 1 for number in range(5)},
            {"name 0": 1, "name 1": 1, "name 2": 1, "…": "2 more members left out"},
        ),
        (b"x" * 100, "<100 bytes>"),
        ("x" * 42, "x" * 42),
        ([1, 2], [1, 2]),
    ],
)
def test_what_is_left_out_is_marked(value: Any, expected: Any) -> None:
    assert plain(value, max_chars=50) == expected


@pytest.mark.parametrize("length", [51, 100, 1000, 4000])
def test_text_a_little_longer_than_the_budget_keeps_its_beginning(length: int) -> None:
    form = plain("x" * length, max_chars=50)
    assert form == f"{'x' * 42}… [{length - 42} of {length} characters left out]"


def test_key_of_the_value_that_uses_up_the_budget_is_kept() -> None:
    form = plain({"prompt": "x" * 100}, max_chars=50)
    assert isinstance(form, dict)
    assert list(form) == ["prompt"]


def test_no_budget_is_no_limit() -> None:
    assert plain(["x" * 1_000_000] * 5) == ["x" * 1_000_000] * 5


# -- Scrubbing


class Hides:
    """Hides what stands under *names*, and takes the word "secret" out of texts."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def text(self, text: str) -> str:
        return text.replace("secret", "[gone]")

    def hides(self, name: str, value: object) -> bool:
        return name in self.names

    def representation(self, text: str) -> str:
        return text.replace("password=1", "[represented]")


class Shown:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<{self.text}>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a secret", "a [gone]"),
        ({"password": "x", "other": ["secret"]}, {"password": "[redacted]", "other": ["[gone]"]}),
        ({"secret": 1}, {"[gone]": 1}),
        ([{"password": {"deep": 1}}], [{"password": "[redacted]"}]),
        (Point({"password": 1}), {"x": {"password": "[redacted]"}, "y": None}),
        (Model(name={"password": 1}), {"name": {"password": "[redacted]"}, "secret": "[redacted]"}),
        (ValueError("secret"), "<ValueError: [gone]>"),
        (types.SimpleNamespace(a="secret", password=1), {"a": "[gone]", "password": "[redacted]"}),
        (Shown("secret"), "<[gone]>"),
        (Shown("password=1"), "<[represented]>"),
        (b"secret", "[gone]"),
        ({b"password": 1}, {"password": "[redacted]"}),
    ],
)
def test_secrets_are_taken_out(value: Any, expected: Any) -> None:
    form = plain(value, scrub=Hides("password"))
    if isinstance(value, Model):
        expected = {"name": expected["name"], "[gone]": "**********"}
    assert form == expected


def test_secret_at_the_seam_of_a_cut_is_taken_out() -> None:
    form = plain("x" * 40 + "secret" + "x" * 100, max_chars=52, scrub=Hides())
    assert isinstance(form, str)
    assert "sec" not in form


@pytest.mark.parametrize("error", [ValueError(), SystemExit()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "decorate", [model_serializer, lambda f: computed_field(property(f))], ids=["dump", "property"]
)
def test_model_that_fails_does_not_show_what_its_names_hide(decorate: Any, error: BaseException) -> None:
    def fail(self: Any) -> str:
        raise error

    members = {"__annotations__": {"password": str}, "password": "canary", "fail": decorate(fail)}
    kind = type("Failing", (BaseModel,), {"__module__": __name__, **members})
    assert "canary" not in dumps(form_of(lambda: plain(kind(), scrub=Hides("password"))))


def test_dumps_is_compact_and_leaves_characters_as_they_are() -> None:
    assert dumps({"a": [1, None, "é"]}) == '{"a":[1,null,"é"]}'
