"""Whatever a run is given or gives: the user's code never notices us, and the run is kept."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, ConfigDict, field_serializer, model_serializer

from xpander_track import boundary, configure, current_run, record_tool, track_task, track_tool, tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import RunsRecorded

# As users have it: what a hostile object does inside of our steps is our trouble, not theirs.
pytestmark = pytest.mark.usefixtures("net")

ERRORS: list[type[BaseException]] = [ValueError, SystemExit, RecursionError]


def raising(name: str, error: type[BaseException]) -> object:
    """An object whose *name* raises *error*, as a method or, read, as a property."""

    def fail(self: object, *args: object, **kwargs: object) -> Any:
        raise error(name)

    is_read = name in {"__class__", "__dict__", "exceptions"}
    body: dict[str, Any] = {name: property(fail) if is_read else fail}
    if name == "__eq__":
        body["__hash__"] = lambda self: 1
    return type("Hostile", (), body)()


class EndlessRepr:
    def __repr__(self) -> str:
        return repr([self])


class LongRepr:
    def __repr__(self) -> str:
        return "x" * 10_000_000


class NoText:
    def __repr__(self) -> str:
        return 7  # type: ignore[return-value]


class HostileDict(dict[str, Any]):
    def items(self) -> Any:
        raise ValueError("items")

    keys = values = __iter__ = items
    get = __getitem__ = __contains__ = __len__ = items  # type: ignore[assignment]


class HostileList(list[Any]):
    def __iter__(self) -> Any:
        raise ValueError("iter")

    __getitem__ = __len__ = __iter__  # type: ignore[assignment]


class HostileText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("str")

    __repr__ = encode = isascii = __len__ = __eq__ = __str__  # type: ignore[assignment]

    def __hash__(self) -> int:
        return 1


class HostileInt(int):
    def __index__(self) -> int:
        raise ValueError("index")

    __int__ = __str__ = __repr__ = bit_length = __index__  # type: ignore[assignment]


class BadDump(BaseModel):
    name: str = "n"

    @model_serializer
    def dump(self) -> dict[str, Any]:
        raise SystemExit("dump")


class BadField(BaseModel):
    name: str = "n"

    @field_serializer("name")
    def dump(self, name: str) -> str:
        raise ValueError(name)


@dataclass
class BadData:
    name: str = "n"

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)


class Meta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError("name")


class OddClass(metaclass=Meta):
    def __repr__(self) -> str:
        raise ValueError("repr")


def circular_list() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def circular_model() -> object:
    class Node(BaseModel):
        other: Any = None

    node = Node()
    node.other = node
    return node


def deep() -> object:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


NAMES = [
    "__repr__", "__str__", "__eq__", "__hash__", "__bool__", "__len__", "__iter__", "__getattr__", "__getattribute__",
    "__class__", "__dict__", "__reduce__", "model_dump",
]  # fmt: skip
HOSTILE: dict[str, Callable[[], object]] = {
    **{f"{name} raises {e.__name__}": lambda n=name, e=e: raising(n, e) for name in NAMES for e in ERRORS},  # type: ignore[misc]
    "endless repr": EndlessRepr,
    "long repr": LongRepr,
    "repr is no text": NoText,
    "dict": lambda: HostileDict(a=1),
    "list": lambda: HostileList([1]),
    "text": lambda: HostileText("text"),
    "int": lambda: HostileInt(1),
    "model": BadDump,
    "model's field": BadField,
    "dataclass": BadData,
    "class without a name": OddClass,
    "circular list": circular_list,
    "circular model": circular_model,
    "deep": deep,
    "nan": lambda: [float("nan"), float("inf")],
    "large int": lambda: 1 << 1_000_000,
    "lone surrogates": lambda: {"\ud800": "\udfff"},
    "nul": lambda: "a\x00b",
    "module": lambda: sys,
    "class": lambda: BadDump,
    "lock": threading.Lock,
    "frame": sys._getframe,
    "exception": lambda: raising("exceptions", ValueError),
}
each_hostile = pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)


@each_hostile
def test_hostile_arguments_and_results_are_not_noticed(make: Callable[[], object], recorded: RunsRecorded) -> None:
    value = make()
    assert track_task(lambda question, given: given)("why?", value) is value
    assert track_task(lambda given: given)(value) is value
    reports = recorded()
    assert [report.ending for report in reports] == ["completed", "completed"]
    assert None not in [text for report in reports for text in (report.input, report.result)]


@each_hostile
def test_hostile_objects_can_be_recorded(make: Callable[[], object], recorded: RunsRecorded) -> None:
    value = make()

    @track_tool
    def tool(given: object) -> object:
        return given

    with tracked_task() as run:
        run.set_input(value)
        record_tool("t", arguments=value, result=value)
        with run.tool("t", value) as call:
            call.set_result(value)
        assert tool(value) is value
        run.record_llm(value)
        run.report_progress(result=value)
        run.set_result(value)
    (report,) = recorded()
    assert (report.used_tools, report.ending) == (["t", "t", "tool"], "completed")
    assert report.input is not None
    assert report.result is not None


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("name", ["__str__", "__repr__", "exceptions", "__eq__", "__bool__", "args", "__traceback__"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_hostile_exception_passes_on(
    kind: str, name: str, error: type[BaseException], recorded: RunsRecorded
) -> None:
    def fail(self: object, *args: object) -> Any:
        raise error(name)

    is_read = name in {"exceptions", "args", "__traceback__"}
    hostile = type("Hostile", (Exception,), {name: property(fail) if is_read else fail})("x")

    def answer() -> None:
        raise hostile

    async def answer_later() -> None:
        raise hostile

    with pytest.raises(type(hostile)) as caught:  # noqa: PT012  # no loop: it does not bear such exceptions
        if kind == "sync":
            track_task(answer)()
        else:
            track_task(answer_later)().send(None)
    assert caught.value is hostile
    (report,) = recorded()
    assert (report.ending, (report.result or "")[:7]) == ("failed", "Hostile")


class OddCode:
    def __eq__(self, other: object) -> bool:
        raise ValueError("eq")

    __hash__ = None  # type: ignore[assignment]


def test_an_odd_exit_code_is_a_failure(recorded: RunsRecorded) -> None:
    error = SystemExit(OddCode())
    block = tracked_task()
    block.__enter__()
    block.__exit__(SystemExit, error, None)
    assert [report.ending for report in recorded()] == ["failed"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups are of Python 3.11")
def test_a_very_deep_exception_group_is_described(recorded: RunsRecorded) -> None:
    group_type: Any = ExceptionGroup  # type: ignore[name-defined, unused-ignore]  # noqa: F821  # see the mark above
    error: Exception = ValueError("leaf")
    for _ in range(2_000):
        error = group_type("group", [error])
    block = tracked_task()
    block.__enter__()
    block.__exit__(type(error), error, None)  # It is not raised: pytest itself cannot show it.
    (report,) = recorded()
    assert (report.ending, (report.result or "")[:14]) == ("failed", "ExceptionGroup")


def test_the_users_recursion_fails_as_it_would(recorded: RunsRecorded) -> None:
    @track_task
    def dive(depth: int) -> int:
        return dive(depth + 1)

    with pytest.raises(RecursionError):
        dive(0)
    assert not current_run()


def test_a_result_with_a_broken_repr_has_a_stand_in(recorded: RunsRecorded) -> None:
    track_task(lambda: raising("__repr__", SystemExit))()
    assert "whose repr raises SystemExit" in (recorded()[0].result or "")


def test_circles_are_marked(recorded: RunsRecorded) -> None:
    value: dict[str, Any] = {"a": [1]}
    value["a"].append(value)
    track_task(lambda: value)()
    assert json.loads(recorded()[0].result or "") == {"a": [1, "<circular dict>"]}


def test_what_is_deep_is_cut_and_stays_json(recorded: RunsRecorded) -> None:
    track_task(deep)()
    assert "nested deeper than 100 levels" in (recorded()[0].result or "")
    assert json.loads(recorded()[0].result or "")


# --- nothing of the user's is used up ---


def numbers() -> Iterator[int]:
    yield from range(3)


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    given: Any


@dataclass
class Data:
    given: Any


ITERATORS: dict[str, Callable[[], Iterator[int]]] = {
    "generator": numbers,
    "generator expression": lambda: (number for number in range(3)),
    "iterator": lambda: iter([0, 1, 2]),
    "map": lambda: map(int, range(3)),
    "zip": lambda: (pair[0] for pair in zip(range(3), range(3))),  # noqa: B905  # strict= is not the point
    "dict view": lambda: iter({0: 1, 1: 1, 2: 1}.keys()),
}
HOLDERS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda given: given,
    "list": lambda given: [given],
    "dict": lambda given: {"a": (given,)},
    "dataclass": Data,
    "model": lambda given: Holder(given=given),
    "model in a list": lambda given: [Holder(given=[given])],
    "dataclass in a model": lambda given: Holder(given=Data(given)),
    "set in a model": lambda given: Holder(given={"a": {given}}),
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("make", ITERATORS.values(), ids=ITERATORS)
def test_iterators_are_not_consumed(
    make: Callable[[], Iterator[int]], holder: Callable[[Any], Any], recorded: RunsRecorded
) -> None:
    @track_task
    def answer(given: object) -> object:
        current_run().record_tool("t", arguments=given, result=given)
        current_run().record_llm(given)
        return given

    iterator = make()
    answer(holder(iterator))
    assert list(iterator) == [0, 1, 2]


class FieldOfItems(BaseModel):
    given: Iterable[int]


def test_a_models_own_iterator_is_not_consumed(recorded: RunsRecorded) -> None:
    value = FieldOfItems(given=numbers())
    track_task(lambda given: given)(value)
    recorded()
    assert list(value.given) == [0, 1, 2]


class EndlessList(list[int]):
    """An iteration of it never ends; were it read whole, nothing would help."""

    reads = 0

    def __iter__(self) -> Iterator[int]:
        while True:
            type(self).reads += 1
            if self.reads > 3_000_000:
                raise MemoryError
            yield 1


def test_a_list_that_never_ends_is_not_read_for_ever(recorded: RunsRecorded) -> None:
    track_task(lambda given: None)(EndlessList([1, 2, 3]))
    assert EndlessList.reads < 3_000_000
    assert len(recorded()) == 1


class EndlessMapping(Mapping[int, int]):
    """The same for a mapping."""

    reads = 0

    def __getitem__(self, key: int) -> int:
        return key

    def __iter__(self) -> Iterator[int]:
        while True:
            type(self).reads += 1
            if self.reads > 3_000_000:
                raise MemoryError
            yield self.reads

    def __len__(self) -> int:
        return 1


def test_a_mapping_that_never_ends_is_not_read_for_ever(recorded: RunsRecorded) -> None:
    track_task(lambda given: None)(EndlessMapping())
    assert EndlessMapping.reads < 3_000_000
    assert len(recorded()) == 1


def diamonds(make: Callable[[Any], Any], depth: int) -> object:
    """Each level holds the one below it twice: small in memory, and without an end where it is written out."""
    value: Any = "x"
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize(
    ("make", "depth"),
    [
        (lambda below: [below, below], 60),
        (lambda below: {"a": below, "b": below}, 60),
        (lambda below: Holder(given=(below, below)), 17),  # Deeper ones would take hours.
    ],
    ids=["list", "dict", "model"],
)
def test_what_is_small_in_memory_is_not_written_out_without_end(
    make: Callable[[Any], Any], depth: int, recorded: RunsRecorded
) -> None:
    configure(max_chars=1_000)
    value = diamonds(make, depth)
    started = time.thread_time()
    track_task(lambda given: None)(value)
    assert time.thread_time() - started < 0.5
    assert len(recorded()[0].input or "") < 20_000


def test_files_are_not_read(tmp_path: Any, recorded: RunsRecorded) -> None:
    (tmp_path / "file").write_text("text")
    with (tmp_path / "file").open() as file:
        track_task(lambda given: given)(file)
        assert file.read() == "text"


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_dict_that_changes_meanwhile_is_read(kind: Any, busy_threads: None, recorded: RunsRecorded) -> None:
    shared: Any = kind({str(number): number for number in range(200)})
    items: Any = deque(range(200))
    done = threading.Event()

    def change() -> None:
        number = 200
        while not done.is_set():
            shared[str(number)] = items.append(number)
            shared.pop(str(number - 200))
            items.popleft()
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            track_task(lambda given, more: None)(shared, [set(shared), items])
    finally:
        done.set()
        thread.join()
    assert {report.ending for report in recorded()} == {"completed"}
    assert all(json.loads(report.input or "")["given"] for report in recorded())
    assert boundary.troubles == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 50_000_000,
        lambda: list(range(2_000_000)),
        lambda: {str(number): number for number in range(500_000)},
        lambda: b"x" * 50_000_000,
        lambda: [["x" * 1000] * 1000] * 1000,
    ],
    ids=["text", "list", "dict", "bytes", "nested"],
)
def test_huge_values_are_bounded(make: Callable[[], object], recorded: RunsRecorded) -> None:
    value = make()
    started = time.thread_time()
    track_task(lambda given: given)(value)
    took = time.thread_time() - started
    (report,) = recorded()
    assert len(report.input or "") + len(report.result or "") < 4_000_000
    assert took < 5
