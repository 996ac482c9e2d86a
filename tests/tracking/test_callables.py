"""
The table: every kind of callable, and what can be told of it, against its undecorated twin.

A line is a kind (``every_callable.py`` has them, each decorated), a column is a property, a function here. A cell holds
if the property is the same of the twin and of what each decorator of ours has made. ``IMPOSSIBLE`` has those that can
not hold, each with its reason.
"""

from __future__ import annotations

import asyncio
import collections.abc
import concurrent.futures
import contextlib
import contextvars
import copy
import functools
import gc
import importlib
import inspect
import multiprocessing
import operator
import pickle
import re
import sys
import threading
import traceback
import types
import typing
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import wrapt

from xpander_track import Run, boundary, current_run, track_task, track_tool, tracked_task
from xpander_track.delivery import outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Path(__file__).with_name("every_callable.py")
DECORATE = "from xpander_track import track_task as decorate"
PLAIN = "decorate = lambda function: function"
DECORATORS = {
    "bare": DECORATE,
    "called": "from xpander_track import track_task; decorate = track_task(agent_id='agent-1')",
    "block": "from xpander_track import tracked_task; decorate = tracked_task(agent_id='agent-1')",
    "tool": "from xpander_track import track_tool as decorate",
    "named_tool": "from xpander_track import track_tool; decorate = track_tool(name='tool')",
    "bound": "from xpander_track import Run; run = Run(agent_id='agent-1'); decorate = run.bind",
}


# --- the lines ---

NATURES = ["function", "coroutine", "generator", "async_generator"]
SUFFIXES = dict(zip(("", "_coroutine", "_generator", "_async_generator"), NATURES, strict=True))


@dataclass(frozen=True)
class Kind:
    """
    One kind of callable.

    ``path`` leads to it in its module, ``nature`` is what its body is. ``first`` leads to what is given before the
    arguments. ``takes`` makes what is given of what the body is to act upon; None if its arguments are its own, which
    then are ``own``.
    """

    path: str
    nature: str = "function"
    first: str = ""
    takes: str = "value"
    own: tuple[object, ...] = ()

    @property
    def is_generator(self) -> bool:
        return self.nature in {"generator", "async_generator"}

    @property
    def is_method(self) -> bool:
        return "." in self.path and "static" not in self.path and "partial" not in self.path and not self.first

    @property
    def is_tracked_itself(self) -> bool:
        """What the path leads to is what a decorator has given."""
        return not any(word in self.path for word in ("under", "partial_of", "inside"))

    @property
    def makes_something(self) -> bool:
        """A call of it makes a coroutine, or a generator."""
        return self.nature in NATURES[1:]

    @property
    def is_detour(self) -> bool:
        """Reached by another way than through its class, or an instance of it: what is inherited by that, is shown."""
        return self.path.startswith(("child", "Concrete"))


KINDS = [
    *(Kind(nature, nature) for nature in NATURES),
    Kind("old_coroutine", "coroutine"),
    Kind("unnamed"),
    *(Kind(f"nested{suffix}", nature) for suffix, nature in SUFFIXES.items()),
    Kind("over_lru_cache"),
    Kind("under_lru_cache"),
    Kind("under_singledispatch"),
    Kind("over_contextmanager", "context manager"),
    Kind("under_contextmanager", "context manager"),
    Kind("under_asynccontextmanager", "async context manager"),
    Kind("builtin", takes="module.Source(value)"),
    Kind("bound_builtin", takes="", own=("text",)),
    Kind("unbound_builtin", takes="", own=("text",)),
    *(Kind(f"partial{suffix}", nature) for suffix, nature in SUFFIXES.items()),
    *(Kind(f"partial_of_{nature}", nature) for nature in NATURES),
    Kind("method_partial"),
    Kind("class_method_partial", "coroutine"),
    Kind("static_method_partial", "generator"),
    Kind("called_partial", "async_generator"),
    Kind("builtin_partial", takes="module.Source(value)"),
    *(Kind(f"called{suffix}", nature) for suffix, nature in SUFFIXES.items()),
    *(Kind(f"called{suffix}_inside", nature) for suffix, nature in SUFFIXES.items()),
    *(
        Kind(f"{owner}.method{suffix}", nature, first="module.agent" if owner == "Agent" else "")
        for owner in ("agent", "child", "child.parent()", "Agent")
        for suffix, nature in SUFFIXES.items()
    ),
    *(
        Kind(f"{owner}.{method}_{place}{suffix}", nature)
        for method in ("class", "static")
        for place in ("above", "below")
        for owner in ("Agent", "agent", "Concrete", "child", "Concrete.class_parent()")
        for suffix, nature in SUFFIXES.items()
    ),
    *(Kind(f"agent.abstract{suffix}", nature) for suffix, nature in SUFFIXES.items()),
    Kind("agent.under_partialmethod"),
]


@dataclass(frozen=True)
class Subject:
    """A callable of one kind in one module."""

    module: types.ModuleType
    kind: Kind

    @property
    def callable(self) -> Any:
        return operator.attrgetter(self.kind.path)(self.module) if "(" not in self.kind.path else self._super()

    def _super(self) -> Any:
        return eval(f"module.{self.kind.path}", {"module": self.module})

    def arguments(self, value: object) -> tuple[Any, ...]:
        """What a call is given so that its body acts upon *value*."""
        scope = {"module": self.module, "value": value}
        first = (eval(self.kind.first, scope),) if self.kind.first else ()
        return (*first, eval(self.kind.takes, scope)) if self.kind.takes else self.kind.own

    def make(self, value: object = "text") -> Any:
        """What a call gives at once."""
        return self.callable(*self.arguments(value))

    def act(self, value: object = "text") -> Any:
        """A call, brought to its end."""
        return self.finish(self.make(value))

    def finish(self, made: Any) -> Any:
        if self.kind.nature == "context manager":
            with made as entered:
                return entered
        if self.kind.nature == "async context manager":

            async def enter() -> Any:
                async with made as entered:
                    return entered

            return asyncio.run(enter())
        return self.module.drive(made)

    def plain_text(self, text: str) -> str:
        """*text* without what differs between any two twins."""
        return re.sub(r"0x[0-9a-f]+", "0x", text).replace(self.module.__name__, "module")

    def outcome(self, function: Callable[..., Any], *args: Any) -> object:
        """What *function* gives, or raises."""
        try:
            given = function(*args)
        except Exception as error:  # noqa: BLE001  # whatever it is
            return type(error), self.plain_text(str(error))
        return self.plain_text(given) if isinstance(given, str) else given


# --- the columns ---

PROPERTIES: list[tuple[Callable[[Subject], object], Callable[[Kind], bool]]] = []

# Those that depend on the way that leads to a method.
BY_ANY_WAY = {
    "name", "signature", "is_coroutine_function", "is_generator_function", "is_async_generator_function", "is_method",
    "is_bound_to", "equality", "result", "innermost_frames", "too_few_arguments", "what_a_call_makes", "sending",
}  # fmt: skip


def column(
    function: Callable[[Subject], object] | None = None, *, of: Callable[[Kind], bool] = lambda kind: True
) -> Any:
    """A property, of those kinds that it is one of."""
    if function is None:
        return functools.partial(column, of=of)
    PROPERTIES.append((function, of))
    return function


def acts(kind: Kind) -> bool:
    """Its body does what it is told."""
    return bool(kind.takes)


def is_ours(kind: Kind) -> bool:
    """Its body is in this folder, and is not cached."""
    return kind.takes == "value" and "lru" not in kind.path


# What it looks like.


@column
def name(s: Subject) -> object:
    names = ("__name__", "__qualname__", "__module__", "__doc__")
    return [s.plain_text(str(getattr(s.callable, name, "none"))) for name in names]


@column
def representation(s: Subject) -> object:
    return s.plain_text(repr(s.callable)), s.plain_text(str(s.callable))


@column
def directory(s: Subject) -> object:
    # pickle notes __slotnames__ on the classes that it has seen.
    return sorted(set(dir(s.callable)) - {"__wrapped__", "__slotnames__"})


@column
def signature(s: Subject) -> object:
    return s.outcome(lambda: str(inspect.signature(s.callable)))


@column
def annotations(s: Subject) -> object:
    return getattr(s.callable, "__annotations__", None)


@column
def type_hints(s: Subject) -> object:
    return s.outcome(typing.get_type_hints, s.callable)


@column
def defaults(s: Subject) -> object:
    return [getattr(s.callable, name, None) for name in ("__defaults__", "__kwdefaults__", "__text_signature__")]


@column
def source(s: Subject) -> object:
    return s.outcome(inspect.getsource, s.callable)


@column
def is_coroutine_function(s: Subject) -> object:
    return inspect.iscoroutinefunction(s.callable)


@column
def is_generator_function(s: Subject) -> object:
    return inspect.isgeneratorfunction(s.callable)


@column
def is_async_generator_function(s: Subject) -> object:
    return inspect.isasyncgenfunction(s.callable)


@column
def is_function(s: Subject) -> object:
    looks = (inspect.isfunction, inspect.isbuiltin, inspect.isroutine, inspect.isclass, callable)
    return [look(s.callable) for look in looks]


@column
def is_method(s: Subject) -> object:
    return inspect.ismethod(s.callable), inspect.ismethoddescriptor(s.callable), inspect.isdatadescriptor(s.callable)


@column
def is_instance(s: Subject) -> object:
    kinds = (
        types.FunctionType,
        types.MethodType,
        types.BuiltinFunctionType,
        functools.partial,
        collections.abc.Hashable,
    )
    return [isinstance(s.callable, kind) for kind in kinds], s.plain_text(s.callable.__class__.__name__)


@column(of=lambda kind: kind.is_tracked_itself)
def kind_of_function(s: Subject) -> object:
    return type(s.callable) is s.callable.__class__


@column(of=lambda kind: kind.makes_something)
def frame(s: Subject) -> object:
    made = s.make()
    codes = [getattr(made, name, None) for name in ("gi_code", "cr_code", "ag_code")]
    s.finish(made)
    return [code and s.plain_text(code.co_filename) for code in codes]


@column
def is_bound_to(s: Subject) -> object:
    return s.plain_text(str(type(getattr(s.callable, "__self__", None)).__name__)), hasattr(s.callable, "__func__")


@column
def is_abstract(s: Subject) -> object:
    return getattr(s.callable, "__isabstractmethod__", False)


@column
def truth(s: Subject) -> object:
    return bool(s.callable)


@column
def equality(s: Subject) -> object:
    one, other = s.callable, s.callable
    return (
        one == other,
        one != other,
        hash(one) == hash(other),
        {one: 1}.get(other),
        operator.contains([one], other),
        one == 1,
    )


@column
def identity(s: Subject) -> object:
    return s.callable is s.callable


@column
def attributes(s: Subject) -> object:
    def set_one() -> object:
        function = s.callable
        function.rating = 7
        try:
            return function.rating, vars(function).get("rating"), s.callable.rating
        finally:
            del function.rating

    kind = s.outcome(set_one)
    return kind[0] if isinstance(kind, tuple) and isinstance(kind[0], type) else kind


@column
def further_decoration(s: Subject) -> object:
    @functools.wraps(s.callable)
    def outside() -> None: ...

    names = s.plain_text(str([getattr(outside, name, None) for name in functools.WRAPPER_ASSIGNMENTS]))
    return names, s.outcome(lambda: str(inspect.signature(outside)))


# References, copies and pickles.


@column
def weak_reference(s: Subject) -> object:
    function = s.callable
    return s.outcome(lambda: weakref.ref(function)() is function)


@column(of=lambda kind: kind.is_method)
def weak_method(s: Subject) -> object:
    function = s.callable
    reference = weakref.WeakMethod(function)
    again = reference()
    return (
        again == function,
        again is not None and again.__self__ is function.__self__,
        s.outcome(
            lambda: s.finish(again(*s.arguments("text")))  # type: ignore[misc]
        ),
    )


def _again(s: Subject, make: Callable[[Any], Any]) -> object:
    """What can be told of a copy."""
    function = s.callable
    try:
        copied = make(function)
    except Exception as error:  # noqa: BLE001  # whatever it is
        return type(error)
    receivers = [getattr(each, "__self__", None) for each in (copied, function)]
    return (
        copied is s.callable,
        copied == function,
        receivers[0] is receivers[1],
        type(copied) is type(function),
        s.outcome(lambda: s.finish(copied(*s.arguments("text")))),
    )


@column(of=lambda kind: "context manager" not in kind.nature)
def copies(s: Subject) -> object:
    return _again(s, copy.copy)


@column(of=lambda kind: "context manager" not in kind.nature)
def deep_copies(s: Subject) -> object:
    return _again(s, copy.deepcopy)


@column(of=lambda kind: "context manager" not in kind.nature)
def pickles(s: Subject) -> object:
    return [
        _again(s, lambda function: pickle.loads(pickle.dumps(function, protocol)))  # noqa: B023  # called at once
        for protocol in (0, 2, pickle.HIGHEST_PROTOCOL)
    ]


# What it does.


@column
def result(s: Subject) -> object:
    if not s.kind.takes:
        return s.act()
    value = object()
    given = s.act(value)
    return [item is value for item in given] if isinstance(given, list) else given is value


@column(of=acts)
def exception(s: Subject) -> object:
    outcomes = []
    for error in (ValueError("no"), KeyboardInterrupt(), SystemExit(1), GeneratorExit(), TimeoutError()):
        error.__cause__, error.__context__ = cause, context = KeyError("cause"), IndexError("context")
        try:
            s.act(error)
        except BaseException as raised:  # noqa: BLE001  # whatever it is
            outcomes.append((raised is error, raised.__cause__ is cause, raised.__context__ is context))
    return outcomes


@column(of=acts)
def stop_iteration(s: Subject) -> object:
    try:
        s.act(StopIteration("no"))
    except Exception as error:  # noqa: BLE001  # whatever it is
        return type(error), str(error), type(error.__cause__)


@column(of=acts)
def innermost_frames(s: Subject) -> object:
    """The user's, and no other between them: from the function to the line that raises."""
    try:
        s.act(ValueError("no"))
    except ValueError as error:
        frames = traceback.extract_tb(error.__traceback__)
        users = [frame.name for frame in frames if frame.filename == s.module.__file__ and frame.name not in _DRIVERS]
        is_last = frames[-1].filename == s.module.__file__
        return users, is_last


_DRIVERS = {"drive", "result", "items", "delegate"}


@column(of=is_ours)
def handled_exception(s: Subject) -> object:
    """What ``sys.exc_info()`` tells in the body."""
    outer = ValueError("outer")
    try:
        raise outer
    except ValueError:
        given = s.act(lambda: sys.exc_info()[1])
    return [item is outer for item in given] if isinstance(given, list) else given is outer


@column(of=is_ours)
def passing_by_keyword(s: Subject) -> object:
    first = s.arguments("text")[:-1]
    return s.outcome(lambda: s.finish(s.callable(*first, value="text", depth=3)))


def _wrong(s: Subject, *args: Any, **kwargs: Any) -> object:
    try:
        made = s.callable(*args, **kwargs)
    except TypeError as error:
        return "at the call", s.plain_text(str(error))
    try:
        s.finish(made)
    except TypeError as error:
        return "later", s.plain_text(str(error))
    return "never"


@column
def too_few_arguments(s: Subject) -> object:
    return _wrong(s)


@column
def too_many_arguments(s: Subject) -> object:
    return _wrong(s, *s.arguments("text"), 1, 2, 3)


@column
def unknown_argument(s: Subject) -> object:
    return _wrong(s, *s.arguments("text"), unknown=1)


@column
def what_a_call_makes(s: Subject) -> object:
    made = s.make()
    looks = (inspect.isgenerator, inspect.isasyncgen, inspect.iscoroutine, inspect.isawaitable, asyncio.iscoroutine)
    names = [str(getattr(made, name, None)) for name in ("__name__", "__qualname__")]
    state = _state(made)
    s.finish(made)
    return [look(made) for look in looks], names, type(made), state, _state(made)


def _state(made: Any) -> object:
    if inspect.iscoroutine(made):
        return inspect.getcoroutinestate(made)
    return inspect.getgeneratorstate(made) if inspect.isgenerator(made) else None


@column(of=lambda kind: acts(kind) and "context manager" not in kind.nature)
def never_driven(s: Subject) -> object:
    """Nothing has begun, and what warns of it warns once."""
    begun: list[int] = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        made = s.make(lambda: begun.append(1))
        del made
    return begun, [s.plain_text(str(warning.message)) for warning in warned]


@column(of=lambda kind: is_ours(kind) and "coroutine" in kind.nature)
def other_awaitables(s: Subject) -> object:
    """It is a task, is gathered, shielded and waited for."""

    async def main() -> object:
        called = [asyncio.ensure_future(_awaited(s, index)) for index in range(3)]
        return [
            await asyncio.gather(*called),
            await asyncio.wait_for(asyncio.shield(_awaited(s, 4)), 10),
            (await asyncio.wait([asyncio.ensure_future(_awaited(s, 5))]))[0].pop().result(),
        ]

    return asyncio.run(main())


async def _awaited(s: Subject, value: object) -> object:
    return await s.make(value)


@column(of=lambda kind: is_ours(kind) and kind.nature in {"coroutine", "async_generator"})
def task_of_the_body(s: Subject) -> object:
    async def main() -> object:
        made = s.make(asyncio.current_task)
        return (await made if inspect.isawaitable(made) else await made.__anext__()) is asyncio.current_task()

    return asyncio.run(main())


@column(of=lambda kind: is_ours(kind) and "context manager" not in kind.nature)
def thread_of_the_body(s: Subject) -> object:
    given = s.act(threading.get_ident)
    return threading.get_ident() in (given if isinstance(given, list) else [given])


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


@column(of=lambda kind: is_ours(kind) and "context manager" not in kind.nature)
def context_variable(s: Subject) -> object:
    """What the body sets is seen by who called it."""

    async def step(made: Any) -> str:
        if inspect.isawaitable(made):
            await made
        else:
            await made.__anext__()
        return VARIABLE.get()

    def work() -> str:
        made = s.make(lambda: VARIABLE.set("set"))
        if inspect.isasyncgen(made) or inspect.isawaitable(made):
            return asyncio.run(step(made))
        if inspect.isgenerator(made):
            next(made)
        return VARIABLE.get()

    return contextvars.copy_context().run(work)


class Thing:
    """Can be referred to weakly."""


@column(of=lambda kind: is_ours(kind) and "context manager" not in kind.nature)
def nothing_is_kept(s: Subject) -> object:
    """What was given, and what came of it, is gone when nobody has it, without the garbage collector's help."""
    thing = Thing()
    gone = weakref.ref(thing)
    with _no_garbage_collection():
        s.act(thing)
        del thing
        return gone() is None


@column(of=lambda kind: is_ours(kind) and "context manager" not in kind.nature)
def no_exception_is_kept(s: Subject) -> object:
    class Failure(Exception):
        pass

    with _no_garbage_collection():
        error = Failure()
        gone = weakref.ref(error)
        with contextlib.suppress(Failure):
            s.act(error)
        del error
        return gone() is None


@column(of=lambda kind: kind.is_generator)
def no_thrown_exception_is_kept(s: Subject) -> object:
    """Be it handled by the body, or not."""

    class Handled(LookupError):
        pass

    class Passed(Exception):
        pass

    async def throw(error: type[Exception]) -> None:
        made = s.make()
        with contextlib.suppress(Passed):
            if inspect.isgenerator(made):
                next(made)
                made.send("a")
                made.throw(error())
                made.close()
            else:
                await made.__anext__()
                await made.asend("a")
                await made.athrow(error())
                await made.aclose()

    left = []
    for kind in (Handled, Passed, GeneratorExit):
        with contextlib.suppress(GeneratorExit), _no_garbage_collection():
            asyncio.run(throw(kind))
            left += [each for each in gc.get_objects() if type(each) is kind]
    return len(left)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# The protocol of generators.

# Each step: what is done with the generator, and with what.
TRANSCRIPTS: dict[str, list[tuple[str, Any]]] = {
    "iteration": [("send", None), ("send", None), ("send", None)],
    "sending": [("send", None), ("send", "a"), ("send", "b"), ("send", None)],
    "sending before it has begun": [("send", "a"), ("send", None), ("send", "b")],
    "throwing what is handled": [
        ("send", None),
        ("send", "a"),
        ("throw", KeyError("k")),
        ("send", "a"),
        ("throw", IndexError()),
    ],
    "throwing a type": [("send", None), ("send", "a"), ("throw", KeyError), ("throw", ValueError), ("send", None)],
    "throwing what is not handled": [("send", None), ("throw", ValueError("v")), ("send", None)],
    "throwing before it has begun": [("throw", ValueError("v")), ("send", None)],
    "throwing when it has ended": [("send", None), ("send", None), ("throw", ValueError("v"))],
    "throwing StopIteration": [("send", None), ("throw", StopIteration(7))],
    "throwing StopAsyncIteration": [("send", None), ("throw", StopAsyncIteration(7))],
    "throwing GeneratorExit": [("send", None), ("throw", GeneratorExit()), ("send", None)],
    "throwing an interrupt": [("send", None), ("throw", KeyboardInterrupt()), ("send", None)],
    "throwing no exception": [("send", None), ("send", "a"), ("throw", 7), ("send", "a")],
    "closing": [("send", None), ("close", None), ("send", None), ("close", None)],
    "closing before it has begun": [("close", None), ("send", None)],
    "closing when it has ended": [("send", None), ("send", None), ("close", None), ("send", None)],
    "going on after an error": [("send", None), ("throw", ValueError("v")), ("throw", KeyError("k")), ("close", None)],
}


def transcript(steps: list[tuple[str, Any]]) -> Callable[[Subject], object]:
    def play(s: Subject) -> object:
        return _play(s, s.make("first"), steps)

    return play


def _play(s: Subject, made: Any, steps: list[tuple[str, Any]]) -> object:
    """What comes of each step."""

    def note(given: Any, raised: BaseException | None, thrown: Any) -> object:
        if raised is None:
            return "gave", given is thrown or (type(given) if isinstance(given, BaseException) else given)
        return (
            type(raised), s.plain_text(str(raised)), raised is thrown, type(raised.__cause__),
            type(raised.__context__),
        )  # fmt: skip

    async def play() -> list[object]:
        notes = []
        for method, value in steps:
            thrown = copy.copy(value)
            given, error = None, None
            try:
                if inspect.isasyncgen(made):
                    given = await getattr(made, f"a{method}")(*([] if method == "close" else [thrown]))
                else:
                    given = getattr(made, method)(*([] if method == "close" else [thrown]))
            except BaseException as raised:  # noqa: BLE001  # whatever it is
                error = raised
            notes.append(note(given, error, thrown))
        return notes

    return asyncio.run(play())


for _name, _steps in TRANSCRIPTS.items():
    _property = transcript(_steps)
    _property.__name__ = _name.replace(" ", "_")
    column(_property, of=lambda kind: kind.is_generator)


@column(of=lambda kind: kind.is_generator)
def running_already(s: Subject) -> object:
    """A body that asks its own generator for more."""
    made: Any = None

    def again() -> object:
        if inspect.isgenerator(made):
            return s.outcome(next, made)
        return s.outcome(made.__anext__().send, None)

    made = s.make(again)
    if inspect.isgenerator(made):
        return next(made)

    async def main() -> object:
        return await made.__anext__()

    return asyncio.run(main())


@column(of=lambda kind: kind.is_generator)
def unwrapped_iteration(s: Subject) -> object:
    made = s.make()
    methods = ("__iter__", "__next__", "__aiter__", "__anext__", "send", "asend")
    return iter(made) is made if inspect.isgenerator(made) else aiter(made) is made, [hasattr(made, m) for m in methods]


@column(of=lambda kind: kind.is_generator)
def an_item_is_not_kept(s: Subject) -> object:
    """While the consumer has an item, and when it has dropped it."""
    items: list[weakref.ref[Thing]] = []

    def give() -> Thing:
        thing = Thing()
        items.append(weakref.ref(thing))
        return thing

    async def main() -> object:
        made = s.make(give)
        item = next(made) if inspect.isgenerator(made) else await made.__anext__()
        kept = items[0]() is item
        del item
        gone = items[0]() is None
        (made.close() if inspect.isgenerator(made) else await made.aclose())
        return kept, gone

    with _no_garbage_collection():
        return asyncio.run(main())


# --- the cells ---

# Those that cannot hold: the property, its kinds, and why.
IMPOSSIBLE: list[tuple[str, Callable[[Kind], bool], str]] = [
    (
        "pickles",
        lambda kind: kind.path in {"builtin", "unbound_builtin"},
        "a builtin is pickled by its name, which leads to the untracked one: ours is pickled as a tracked one of that",
    ),
    (
        "weak_reference",
        lambda kind: kind.path == "unbound_builtin",
        "a method descriptor cannot be referred to weakly, what tracks it can",
    ),
    (
        "throwing_no_exception",
        lambda kind: kind.nature == "generator",
        "what is no exception is refused by the outermost generator, before a body that delegates can be ended by it",
    ),
    (
        "kind_of_function",
        # From Python 3.13 on a classmethod binds what it holds itself.
        lambda kind: kind.is_tracked_itself and (".class_" not in kind.path or sys.version_info < (3, 13)),
        "type() asks nobody: isinstance() is answered as before",
    ),
    ("frame", lambda kind: kind.makes_something, "the frame of what is made is ours, which drives the user's"),
]
if wrapt.__version__.startswith("1.16."):
    IMPOSSIBLE += [
        ("too_few_arguments", lambda kind: bool(kind.first), "wrapt 1.16 has its own words for a lack of the receiver"),
        ("name", lambda kind: kind.path == "unbound_builtin", "wrapt 1.16 gives our module, where there is none"),
        ("further_decoration", lambda kind: kind.path == "unbound_builtin", "the same"),
    ]


def _cells() -> Iterator[Any]:
    for kind in KINDS:
        for of, applies in PROPERTIES:
            if not applies(kind) or (kind.is_detour and of.__name__ not in BY_ANY_WAY):
                continue
            if not any(what == of.__name__ and which(kind) for what, which, _ in IMPOSSIBLE):
                yield pytest.param(kind, of, id=f"{kind.path}-{of.__name__}")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all cells: they are thousands."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XPANDER_TRACK_HOME", str(folder))
        patch.setattr(boundary, "reraise", True)
        yield folder
        outbox.shutdown(5)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, types.ModuleType]]:
    """``every_callable.py``, imported once without and once with each decorator."""
    folder = tmp_path_factory.mktemp("twins")
    text = SOURCE.read_text()
    assert DECORATE in text
    for name, line in {"plain": PLAIN, **DECORATORS}.items():
        (folder / f"{name}_callables.py").write_text(text.replace(DECORATE, line))
    sys.path.insert(0, str(folder))
    try:
        yield {name: importlib.import_module(f"{name}_callables") for name in ("plain", *DECORATORS)}
    finally:
        sys.path.remove(str(folder))
        for name in ("plain", *DECORATORS):
            sys.modules.pop(f"{name}_callables", None)


@pytest.mark.parametrize(("kind", "of"), list(_cells()))
def test_a_tracked_callable_is_what_the_untracked_one_is(
    kind: Kind, of: Callable[[Subject], object], twins: dict[str, types.ModuleType]
) -> None:
    with tracked_task(agent_id="agent-1"):  # Where tools are recorded.
        expected = of(Subject(twins["plain"], kind))
        found = {name: of(Subject(twins[name], kind)) for name in DECORATORS}
    assert found == dict.fromkeys(DECORATORS, expected)


@pytest.mark.parametrize(("what", "which", "why"), IMPOSSIBLE, ids=[f"{what}: {why}" for what, _, why in IMPOSSIBLE])
def test_what_cannot_be_the_same_is_not(
    what: str, which: Callable[[Kind], bool], why: str, twins: dict[str, types.ModuleType]
) -> None:
    """Else the cells belong into the table."""
    ((of, applies),) = [each for each in PROPERTIES if each[0].__name__ == what]
    kinds = [kind for kind in KINDS if applies(kind) and which(kind)]
    assert kinds
    for kind in kinds:
        assert of(Subject(twins["bare"], kind)) != of(Subject(twins["plain"], kind)), kind.path


# --- beyond the cells ---


def _can_be_pickled(function: Any) -> bool:
    try:
        pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def test_what_can_be_pickled_runs_in_another_process(twins: dict[str, types.ModuleType]) -> None:
    kinds = [
        kind
        for kind in KINDS
        if "context manager" not in kind.nature and _can_be_pickled(Subject(twins["plain"], kind).callable)
    ]
    subjects = [Subject(twins[name], kind) for name in ("bare", "called", "block", "tool") for kind in kinds]
    functions, arguments = [s.callable for s in subjects], [s.arguments("text") for s in subjects]
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        given = list(pool.map(twins["plain"].drive_call, functions, arguments, chunksize=100))
    assert given == [s.act() for s in subjects]


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "pickle": lambda function: pickle.loads(pickle.dumps(function)),
    "weak method": lambda function: weakref.WeakMethod(function)(),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_is_tracked_too(way: str, twins: dict[str, types.ModuleType]) -> None:
    def is_tracked() -> bool:
        return bool(current_run())

    untracked = []
    for kind in filter(is_ours, KINDS):
        s = Subject(twins["bare"], kind)
        cannot = (way == "pickle" and not _can_be_pickled(s.callable)) or (way == "weak method" and not kind.is_method)
        if cannot or "context manager" in kind.nature:
            continue
        copied = COPIES[way](s.callable)
        given = s.finish(copied(*s.arguments(is_tracked)))
        # The value of a generator is the function itself, which it has been given.
        if is_tracked() or True not in (given if isinstance(given, list) else [given]):
            untracked.append(kind.path)
    assert untracked == []


@pytest.mark.parametrize("nature", NATURES)
@pytest.mark.parametrize(
    "name",
    [
        "self", "cls", "mcs", "wrapped", "instance", "args", "kwargs", "function", "begin", "call", "scope", "config",
        "configuration", "run", "agent_id", "id", "input", "wait", "name", "result", "generator", "_",
    ],
)  # fmt: skip
def test_a_parameter_may_have_any_name(nature: str, name: str, twins: dict[str, types.ModuleType]) -> None:
    body = {"generator": "yield", "async_generator": "yield"}.get(nature, "return")
    scope: dict[str, Any] = {}
    exec(f"{'async ' * (nature in {'coroutine', 'async_generator'})}def echo({name}): {body} {name}", scope)
    for decorate in (track_task, track_task(agent_id="agent-1"), tracked_task(), track_tool, Run().bind):
        given = twins["plain"].drive(decorate(scope["echo"])(**{name: "hello"}))
        assert given == (["hello", None] if nature == "generator" else given)
        assert "hello" in given


def test_the_table_is_as_large_as_it_says() -> None:
    ids = [cell.id for cell in _cells()]
    assert len(ids) == len(set(ids)) > 4_000
