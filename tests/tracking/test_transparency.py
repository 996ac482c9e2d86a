"""A tracked function is, for its callers, the function."""

from __future__ import annotations

import abc
import asyncio
import collections.abc
import concurrent.futures
import contextlib
import copy
import functools
import gc
import inspect
import multiprocessing
import pickle
import sys
import traceback
import typing
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from xpander_track import current_run, track_task, track_tool, tracked_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Call, RunsRecorded

DECORATORS = {
    "track_task": track_task,
    "track_task()": track_task(agent_id="agent-1"),
    "tracked_task()": tracked_task(agent_id="agent-1"),
    "track_tool": track_tool,
    "track_tool()": track_tool(name="tool"),
}
each_decorator = pytest.mark.parametrize("decorator", DECORATORS.values(), ids=DECORATORS)


def answer(question: str, /, depth: int = 1, *more: str, loud: bool = False, **options: int) -> list[object]:
    """The docstring."""
    return [question, depth, more, loud, options]


async def answer_later(question: str, *, depth: int = 1) -> str:
    """The docstring."""
    await asyncio.sleep(0)
    return question * depth


answer.rating = 5  # type: ignore[attr-defined]
answer_later.rating = 6  # type: ignore[attr-defined]


@track_task
def by_name() -> None: ...


@track_task
async def by_name_later() -> None: ...


@track_tool
def tool_by_name() -> None: ...


tracked = track_task(answer)
tracked_later = track_task(answer_later)
both = pytest.mark.parametrize(
    ("plain", "decorated"), [(answer, tracked), (answer_later, tracked_later)], ids=["sync", "async"]
)


class Agent:
    """Methods of every kind, each decorated below and above its descriptor."""

    def __init__(self, name: str = "Ada") -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Agent) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @track_task
    def method(self, question: str) -> str:
        return f"{self.name}: {question}"

    @track_task
    async def async_method(self, question: str) -> str:
        return f"{self.name}: {question}"

    @classmethod
    @track_task
    def class_above(cls, question: str) -> str:
        return f"{cls.__name__}: {question}"

    @track_task
    @classmethod
    def class_below(cls, question: str) -> str:
        return f"{cls.__name__}: {question}"

    @classmethod
    @track_task
    async def async_class_above(cls, question: str) -> str:
        return f"{cls.__name__}: {question}"

    @track_task
    @classmethod
    async def async_class_below(cls, question: str) -> str:
        return f"{cls.__name__}: {question}"

    @staticmethod
    @track_task
    def static_above(question: str) -> str:
        return f"static: {question}"

    @track_task
    @staticmethod
    def static_below(question: str) -> str:
        return f"static: {question}"

    @staticmethod
    @track_task
    async def async_static_above(question: str) -> str:
        return f"static: {question}"

    @track_task
    @staticmethod
    async def async_static_below(question: str) -> str:
        return f"static: {question}"


class Kind(Agent):
    @track_task
    def method(self, question: str) -> str:
        return f"kind {super().method(question)}"


ON_CLASSES = [
    f"{is_async}{kind}_{place}"
    for is_async in ("", "async_")
    for kind in ("class", "static")
    for place in ("above", "below")
]


# --- what it gives ---


@each_decorator
def test_the_result_is_the_same_object(call: Call, decorator: Callable[..., Any]) -> None:
    result = object()
    assert call(lambda: result, decorator=decorator) is result


@each_decorator
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_exception_is_the_same_object(call: Call, decorator: Callable[..., Any], kind: type[BaseException]) -> None:
    error = kind("no")

    def fail() -> None:
        raise error

    # Neither pytest.raises() nor a loop lets all of these through in one way.
    try:
        call(fail, decorator=decorator)
    except BaseException as raised:  # noqa: BLE001
        assert raised is error  # noqa: PT017
    else:
        pytest.fail("nothing was raised")


@each_decorator
def test_the_users_frames_are_the_innermost_of_the_traceback(call: Call, decorator: Callable[..., Any]) -> None:
    def inner() -> None:
        raise ValueError("no")

    def outer() -> None:
        inner()

    with pytest.raises(ValueError, match="no") as caught:
        call(outer, decorator=decorator)
    assert [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)][-2:] == ["outer", "inner"]


@each_decorator
def test_cause_and_context_of_an_exception_stay(call: Call, decorator: Callable[..., Any]) -> None:
    cause, context = KeyError("cause"), IndexError("context")

    def fail() -> None:
        try:
            raise context
        except IndexError:
            raise ValueError("no") from cause

    with pytest.raises(ValueError, match="no") as caught:
        call(fail, decorator=decorator)
    assert (caught.value.__cause__, caught.value.__context__) == (cause, context)


def test_arguments_arrive_as_they_were_given() -> None:
    assert tracked("a", 2, "b", "c", loud=True, x=1) == answer("a", 2, "b", "c", loud=True, x=1)


@pytest.mark.parametrize("name", ["self", "cls", "wrapped", "instance", "args", "kwargs", "function", "agent_id"])
def test_a_parameter_may_have_any_name(call: Call, name: str, recorded: RunsRecorded) -> None:
    scope: dict[str, Any] = {}
    exec(f"def echo({name}): return {name}", scope)
    arguments: dict[str, Any] = {name: "hello"}
    assert call(scope["echo"], **arguments) == "hello"
    assert recorded()[0].input == "hello"


# --- what it looks like ---


@both
@pytest.mark.parametrize(
    "look",
    [
        inspect.signature,
        typing.get_type_hints,
        inspect.getdoc,
        inspect.getsource,
        inspect.getmodule,
        inspect.isfunction,
        inspect.isroutine,
        inspect.ismethod,
        inspect.isclass,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.iscoroutinefunction,
        callable,
        lambda function: (function.__name__, function.__qualname__, function.__module__, function.__doc__),
        lambda function: (function.__defaults__, function.__kwdefaults__, function.__annotations__, function.rating),
        lambda function: function.__code__,
    ],
)
def test_it_looks_like_the_function(
    plain: Callable[..., Any], decorated: Callable[..., Any], look: Callable[[Any], object]
) -> None:
    assert look(decorated) == look(plain)


@both
def test_it_is_a_function_to_isinstance(plain: Callable[..., Any], decorated: Callable[..., Any]) -> None:
    assert isinstance(decorated, type(plain))


@both
def test_it_can_be_unwrapped(plain: Callable[..., Any], decorated: Callable[..., Any]) -> None:
    assert inspect.unwrap(decorated) is plain


@both
def test_wraps_finds_its_attributes(plain: Callable[..., Any], decorated: Callable[..., Any]) -> None:
    @functools.wraps(decorated)
    def outside() -> None: ...

    for name in functools.WRAPPER_ASSIGNMENTS:
        assert getattr(outside, name) == getattr(plain, name)
    assert outside.rating == plain.rating  # type: ignore[attr-defined]


def test_attributes_set_on_it_stay() -> None:
    decorated = track_task(lambda: None)
    decorated.rating = 7  # type: ignore[attr-defined]
    assert decorated.rating == 7  # type: ignore[attr-defined]


def test_it_can_be_decorated_further_and_be_decorated_already() -> None:
    assert track_task(track_task(answer))("a") == functools.lru_cache(track_task(answer))("a") == answer("a")


def test_it_is_hashed_and_referred_to_weakly_like_a_function() -> None:
    assert {tracked: 1}[tracked] == 1
    assert weakref.ref(tracked)() is tracked


@pytest.mark.parametrize("name", ON_CLASSES)
@pytest.mark.parametrize(
    "target", [Agent, Agent(), Kind, Kind()], ids=["class", "instance", "subclass", "its instance"]
)
def test_class_and_static_methods_work_in_both_orders(name: str, target: Any, recorded: RunsRecorded) -> None:
    result = getattr(target, name)("why?")
    if inspect.iscoroutine(result):
        result = _finished(result)
    owner = target if isinstance(target, type) else type(target)
    assert result == ("static: why?" if "static" in name else f"{owner.__name__}: why?")
    assert [report.result for report in recorded()] == [result]


@pytest.mark.parametrize("name", ["method", "async_method", *ON_CLASSES])
def test_predicates_and_signature_of_a_method(name: str) -> None:
    decorated = getattr(Agent(), name)
    assert inspect.iscoroutinefunction(decorated) == ("async" in name)
    assert str(inspect.signature(decorated)) == "(question: 'str') -> 'str'"
    assert decorated.__name__ == name
    assert inspect.ismethod(decorated) == ("static" not in name)


def test_a_method_is_bound_to_its_instance() -> None:
    agent = Agent("Grace")
    assert agent.method("why?") == Agent.method(agent, "why?") == "Grace: why?"
    assert agent.method.__self__ is agent  # type: ignore[attr-defined]


@pytest.mark.parametrize("decorator", [track_task, track_tool])
def test_a_method_is_the_same_through_any_class_that_inherits_it(decorator: Callable[..., Any]) -> None:
    class Base:
        @decorator
        def run(self) -> None: ...

        alias = run

    class Child(Base): ...

    assert Child.run is Base.run is Base.alias is Base.__dict__["run"]
    assert Child().run.__func__ is Base.run


@pytest.mark.parametrize("decorator", [track_task, track_tool])
def test_a_partial_method_of_it_works(decorator: Callable[..., Any]) -> None:
    class Agent:
        @decorator
        def run(self, question: str, depth: int = 0) -> object:
            return self, question, depth

        ask = functools.partialmethod(run, "why?")

    agent = Agent()
    assert agent.ask(1) == Agent.ask(agent, 1) == (agent, "why?", 1)
    assert str(inspect.signature(Agent.ask)) == "(self, depth: 'int' = 0) -> 'object'"


@pytest.mark.parametrize(
    "kind",
    [
        contextlib.AbstractContextManager, contextlib.AbstractAsyncContextManager, collections.abc.Sized,
        collections.abc.Container, collections.abc.Iterable, collections.abc.Awaitable,
    ],
)  # fmt: skip
def test_a_function_is_no_container_and_no_context_manager(kind: Any) -> None:
    class Agent:
        @track_task
        def run(self) -> None: ...

    assert not [one for one in (track_task(lambda: None), Agent.run, Agent().run) if isinstance(one, kind)]


def test_an_object_that_can_be_called_is_the_container_and_context_manager_that_it_was() -> None:
    class CalledList(list[int], contextlib.AbstractContextManager[None]):
        def __call__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    tracked = track_task(CalledList([1]))
    with tracked:
        assert (len(tracked), 1 in tracked, isinstance(tracked, contextlib.AbstractContextManager)) == (1, True, True)


def test_super_finds_a_decorated_method(recorded: RunsRecorded) -> None:
    assert Kind("Joan").method("why?") == "kind Joan: why?"
    assert [report.name for report in recorded()] == [f"{__name__}.Kind.method", f"{__name__}.Agent.method"]


def test_an_abstract_method_stays_abstract() -> None:
    class Abstract(abc.ABC):
        @track_task
        @abc.abstractmethod
        def method(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Abstract()  # type: ignore[abstract]


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (functools.partial(lambda first, second: first + second, "a"), "ab"),
        (functools.partial(answer_later, depth=2), "bb"),
        (functools.lru_cache(lambda text: text * 2), "bb"),
        (len, 1),
        (str.upper, "B"),
        ("a{}".format, "ab"),
        (type("Callable", (), {"__call__": lambda self, text: text * 3})(), "bbb"),
    ],
    ids=["partial", "async partial", "lru_cache", "builtin", "unbound method", "bound method", "callable object"],
)
@pytest.mark.parametrize("decorator", [track_task, track_tool])
def test_what_is_taken_at_decoration_works(decorator: Callable[..., Any], function: Any, result: object) -> None:
    given = decorator(function)("b")
    assert (_finished(given) if inspect.iscoroutine(given) else given) == result


# --- wrong calls ---


@pytest.mark.parametrize("function", [answer, answer_later], ids=["sync", "async"])
@pytest.mark.parametrize("decorator", [track_task, track_tool, tracked_task()], ids=["task", "tool", "block"])
def test_a_wrong_call_raises_the_functions_own_error_at_the_call(
    function: Callable[..., Any], decorator: Callable[..., Any]
) -> None:
    with pytest.raises(TypeError) as plain:
        function()
    with pytest.raises(TypeError) as decorated:
        decorator(function)()
    assert str(decorated.value) == str(plain.value)


# --- references and copies ---

NAMES = [
    "by_name", "by_name_later", "tool_by_name", "Agent.method", "Agent.async_method",
    *(f"Agent.{name}" for name in ON_CLASSES), *(f"Agent().{name}" for name in ON_CLASSES),
]  # fmt: skip


@pytest.fixture
def named(request: pytest.FixtureRequest) -> Any:
    """What is called like that in this module."""
    return eval(request.param)


@pytest.mark.parametrize("named", NAMES, indirect=True)
@pytest.mark.parametrize("protocol", [0, pickle.HIGHEST_PROTOCOL])
def test_it_is_pickled_by_reference(named: Any, protocol: int) -> None:
    assert pickle.loads(pickle.dumps(named, protocol)) == named


@pytest.mark.parametrize("named", NAMES, indirect=True)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_it_is_copied_by_reference(named: Any, copied: Callable[[Any], Any]) -> None:
    assert copied(named) == named
    assert copied([named]) == [named]


@pytest.mark.parametrize("remade", [copy.deepcopy, lambda method: pickle.loads(pickle.dumps(method))])
def test_a_bound_method_is_copied_and_pickled_with_its_instance(remade: Callable[[Any], Any]) -> None:
    agent = Agent("Grace")
    method = remade(agent.method)
    assert method("why?") == "Grace: why?"
    assert method.__self__ == agent
    assert method.__self__ is not agent


def test_a_copied_bound_method_has_the_same_instance() -> None:
    agent = Agent("Grace")
    assert copy.copy(agent.method).__self__ is agent  # type: ignore[attr-defined]


def test_another_process_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: RunsRecorded) -> None:
    (tmp_path / "agent_elsewhere.py").write_text(
        "import os\nfrom xpander_track import track_task\n\n\n"
        "@track_task(agent_id='agent-1')\ndef work(question):\n    return f'{question} {os.getpid()}'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    work = __import__("agent_elsewhere").work
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        result = pool.submit(work, "who?").result(60)
    assert result.startswith("who? ")
    work("who else?")
    assert [(report.input, report.ending) for report in recorded()][-1] == ("who else?", "completed")


# --- asynchronous ones ---


def test_the_body_runs_in_the_callers_task() -> None:
    @track_task
    async def body() -> object:
        return asyncio.current_task()

    async def main() -> None:
        assert await body() is asyncio.current_task()

    asyncio.run(main())


def test_what_a_call_gives_is_a_coroutine_with_the_functions_name() -> None:
    coroutine = tracked_later("a")
    assert inspect.iscoroutine(coroutine)
    assert (coroutine.__name__, coroutine.__qualname__) == ("answer_later", "answer_later")
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    assert _finished(coroutine) == "a"
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_a_coroutine_is_no_run_before_it_is_awaited(recorded: RunsRecorded) -> None:
    coroutine = tracked_later("a")
    assert recorded() == []
    assert _finished(coroutine) == "a"
    assert [report.ending for report in recorded()] == ["completed"]


def test_a_coroutine_that_is_never_awaited_is_no_run_and_warns_once(recorded: RunsRecorded) -> None:
    with pytest.warns(RuntimeWarning, match="'answer_later' was never awaited") as warned:
        tracked_later("a")  # type: ignore[unused-coroutine]
    assert recorded() == []
    assert len(warned) == 1


def test_a_coroutine_may_be_closed_before_it_has_begun(recorded: RunsRecorded) -> None:
    coroutine = tracked_later("a")
    coroutine.close()
    del coroutine
    gc.collect()
    assert recorded() == []


def test_a_task_may_be_cancelled_before_it_has_begun(recorded: RunsRecorded) -> None:
    async def main() -> None:
        task = asyncio.create_task(tracked_later("a"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    gc.collect()
    assert recorded() == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="marked coroutine functions are of Python 3.12")
def test_a_marked_coroutine_function_may_give_any_awaitable(recorded: RunsRecorded) -> None:
    def begin(question: str) -> asyncio.Future[str]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(question)
        return future

    decorated = track_task(inspect.markcoroutinefunction(begin))  # type: ignore[attr-defined, unused-ignore]

    async def main() -> str:
        return str(await decorated("why?"))

    assert asyncio.run(main()) == "why?"
    gc.collect()
    assert [report.result for report in recorded()] == ["why?"]


def test_a_sync_function_that_gives_an_awaitable_is_left_alone(recorded: RunsRecorded) -> None:
    decorated = track_task(lambda question: answer_later(question))  # noqa: PLW0108  # it is no coroutine function
    assert not inspect.iscoroutinefunction(decorated)
    assert _finished(decorated("a")) == "a"
    assert [report.ending for report in recorded()] == ["completed"]


def test_nothing_of_a_run_stays_referred_to(recorded: RunsRecorded) -> None:
    class Big: ...

    argument = Big()
    gone = weakref.ref(argument)
    track_task(lambda thing: [current_run(), thing])(argument)
    recorded()
    del argument
    gc.collect()
    assert gone() is None


def _finished(coroutine: Any) -> Any:
    async def main() -> Any:
        return await coroutine

    return asyncio.run(main())
