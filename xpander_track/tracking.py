"""The front door: ``track_task``, ``tracked_task``, ``track_tool`` and ``record_tool``."""

# Callables of any type are what this file is about:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast, overload

from . import settings
from .boundary import call_site, caught_unless_misuse, guarded, quietly, say_once
from .capture import Parameters
from .current import innermost_run
from .driving import Scope
from .opening import Call, OpenRun, OpenTool, Options
from .run import NO_RUN
from .wrapping import function_of, is_class_method, what_runs, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .platform import Configuration
    from .run import Run

F = TypeVar("F", bound="Callable[..., Any]")
T_co = TypeVar("T_co", covariant=True)


if TYPE_CHECKING:

    class _Other(Protocol[T_co]):
        """
        Any function that gives a T, as ``Callable[..., T]`` is.

        From one with two signatures pyright takes nothing for a lambda's parameters. From ``...`` it takes that they
        are unknown, and does not look at the types beside it.
        """

        @overload
        def __call__(self, *args: Any, **kwargs: Any) -> T_co: ...
        @overload
        def __call__(self, *more: Any, **options: Any) -> T_co: ...  # type: ignore[overload-cannot-match]  # pyright: ignore[reportOverlappingOverload]

    # A function of the arguments of a call. The first ones let pyright in strict mode know a lambda's parameters.
    OfArguments: TypeAlias = (
        Callable[[], T_co]
        | Callable[[Any], T_co]
        | Callable[[Any, Any], T_co]
        | Callable[[Any, Any, Any], T_co]
        | _Other[T_co]
    )


@overload
def track_task(function: F, /) -> F: ...
@overload
def track_task(
    *,
    agent_id: str | None = None,
    id: str | OfArguments[str] | None = None,
    input: str | OfArguments[object] | None = None,
    wait: float | None = None,
    capture_input: bool | None = None,
    capture_result: bool | None = None,
    configuration: Configuration | None = None,
) -> Callable[[F], F]: ...
def track_task(  # every option is a keyword of its own
    function: Any = None,
    /,
    *,
    agent_id: str | None = None,
    id: str | OfArguments[str] | None = None,  # noqa: A002  # the platform's word
    input: str | OfArguments[object] | None = None,  # noqa: A002  # the same
    wait: float | None = None,
    capture_input: bool | None = None,
    capture_result: bool | None = None,
    configuration: Configuration | None = None,
) -> Any:
    """
    Record every call of an agent's entry function as a run, and report it when it ends.

    For callables of any kind: functions, coroutine functions, generators and asynchronous generators, methods (above or
    below ``@staticmethod`` and ``@classmethod``), ``functools.partial`` and objects that can be called. It stays what
    it is for its callers: result, exceptions, signature and type. Its arguments are the run's input (the text itself,
    if there is one parameter and it got a text; else JSON by name), what it returns is the result.

    The run of a generator begins with its first step and ends with its last, or when its consumer leaves it. It is
    current only while the generator's body runs. Its result is what it has given: texts joined, else a list.

    Args:
        function: The function, where the decorator is used bare.
        agent_id: The agent. Default: ``configure(agent_id=...)``, else ``XPANDER_AGENT_ID``.
        id: The run's id: a text, or a function of the same arguments. The same id updates the same record.
        input: Instead of the arguments: a text, or a function of the same arguments.
        wait: Seconds that the end of a run waits for the platform's Task, unless the platform is known to be down.
            An asynchronous function waits without blocking its loop. Default: ``configure(wait=...)``, else no waiting.
        capture_input: False keeps the arguments out. Default: ``configure(capture_input=...)``, else True.
        capture_result: False keeps what is returned out. Default: ``configure(capture_result=...)``, else True.
        configuration: The platform of these runs. Default: what ``configure`` and the environment say.

    Raises:
        TypeError, ValueError: At once, for a wrong option, or for what cannot be called. A class is refused as well.
    """
    options = Options(agent_id, id, input, wait, capture_input, capture_result, configuration)
    options.check()
    if function is None:
        return functools.partial(_track, options)
    return _track(options, function)


@guarded("track a block", instead=lambda *_, **__: _NOT_TRACKED)
def tracked_task(  # every option is a keyword of its own
    *,
    agent_id: str | None = None,
    id: str | OfArguments[str] | None = None,  # noqa: A002
    input: object | OfArguments[object] = None,  # noqa: A002
    wait: float | None = None,
    capture_input: bool | None = None,
    capture_result: bool | None = None,
    configuration: Configuration | None = None,
) -> TrackedTask:
    """
    Record a block of code as a run.

    Enter it: ``with tracked_task(...) as run`` or ``async with tracked_task(...) as run``. The object may be entered
    again, even while it is entered: each time is a new run. It is a decorator too. Inside a running loop a plain
    ``with`` never waits.

    Args:
        agent_id, id, wait, capture_input, capture_result, configuration: As of ``track_task``.
        input: What the run is given: a text, or anything else as JSON. As a decorator: as of ``track_task``.

    Raises:
        TypeError, ValueError: At once, for a wrong option.
    """
    options = Options(agent_id, id, input, wait, capture_input, capture_result, configuration)
    options.check()
    return TrackedTask(options)


@overload
def track_tool(function: F, /) -> F: ...
@overload
def track_tool(*, name: str | None = None) -> Callable[[F], F]: ...
def track_tool(function: Any = None, /, *, name: str | None = None) -> Any:
    """
    Record every call of a tool in the run that is current then: its arguments, result, error and duration.

    Outside of any run it is as if it were not decorated.

    Args:
        function: The function, of any kind that ``track_task`` takes, where the decorator is used bare.
        name: The tool's name. Default: the function's.

    Raises:
        TypeError, ValueError: At once, for a wrong name, or for what is no function.
    """
    settings.check_text("name", name)
    if function is None:
        return functools.partial(_track_tool, name)
    return _track_tool(name, function)


def record_tool(
    name: str,
    *,
    arguments: object = None,
    result: object = None,
    error: BaseException | str | None = None,
    duration: float | None = None,
) -> None:
    """
    Record a tool call that has happened in the current run; see ``Run.record_tool``.

    Where no run is current, one warning for each place that calls it is logged, and nothing is recorded.
    """
    try:
        run = innermost_run()
        if run is None:
            run = NO_RUN
            if settings.current().is_enabled():
                where = call_site()
                say_once(f"no run at {where}", "record_tool() at %s: no run is current, nothing was recorded.", where)
        run.add_call(name, arguments, result, error, duration)
    except Exception as own:  # noqa: BLE001  # whatever it is
        caught_unless_misuse("record a tool call", own)


class TrackedTask:
    """What ``tracked_task`` gives: enter it, or decorate with it."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._open: list[OpenRun] = []
        # Re-entrant: a finalizer may leave a block of its own in the middle of ours.
        self._lock = threading.RLock()

    @guarded("begin a run", instead=lambda *_: NO_RUN)
    def __enter__(self) -> Run:
        self._options.check_for_block()
        opened = self._options.begin()
        with quietly("make a run current"):
            opened.enter()
        with self._lock:
            self._open.append(opened)
        return opened.run.make_known()

    @guarded("end a run")
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._innermost().end(error)

    async def __aenter__(self) -> Run:
        return self.__enter__()

    @guarded("end a run")
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._innermost().aend(error)

    def __call__(self, function: F) -> F:
        """Decorate *function*: each call of it is a run."""
        self._options.check_for_function()
        return cast("F", _track(self._options, function))

    def _innermost(self) -> OpenRun:
        """The run to leave: entered last by this task or thread, else (left elsewhere than entered) the last of all."""
        with self._lock:
            here: list[OpenRun] = []
            with quietly("tell which run to leave"):
                here = [opened for opened in self._open if opened.is_here()]
            entered = here or self._open
            if not entered:
                raise RuntimeError("a tracked_task() was left more often than it was entered: use it in a with block")
            opened = entered[-1]
            self._open.remove(opened)
            return opened


class _NotTracked(TrackedTask):
    """A block that is nothing but its code."""

    def __enter__(self) -> Run:
        return NO_RUN

    def _innermost(self) -> OpenRun:
        return OpenRun(NO_RUN, None)

    def __call__(self, function: F) -> F:
        return function


_NOT_TRACKED: TrackedTask = _NotTracked(Options(None, None, None, None, None, None, None))


def _track(options: Options, function: Any) -> Any:
    options.check_for_function()
    target = function_of("track_task", function)
    calls = _Calls(target)
    named = what_runs(function)
    name = ".".join(part for part in (getattr(named, n, None) for n in ("__module__", "__qualname__")) if part) or None

    def begin(instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> OpenRun:
        return options.begin(name, calls.call(instance, args, kwargs))

    return wrapped(function, begin, functools.partial(_track, options), calls.note_class)


def _track_tool(name: str | None, function: Any) -> Any:
    target = function_of("track_tool", function)
    calls = _Calls(target)
    called = name or str(getattr(what_runs(function), "__name__", type(target).__name__))

    def begin(instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope:
        run = innermost_run()
        if run is None:
            return Scope()
        return OpenTool(run.tool(called, calls.call(instance, args, kwargs).arguments()))

    return wrapped(function, begin, functools.partial(_track_tool, name), calls.note_class)


class _Calls:
    """Tells the receiver from the arguments in the calls of one function."""

    def __init__(self, target: Any) -> None:
        self._name = str(getattr(target, "__name__", ""))
        self._parameters = Parameters(target)
        # Else there is no receiver among the parameters: it is bound already, or never will be.
        kind: Any = type(target)
        self._may_be_bound = hasattr(kind, "__get__") and getattr(target, "__self__", None) is None
        self._classes: tuple[type, ...] = ()
        # Of what has no parameters, all calls are alike; if its signature says the truth.
        self._only = None if self._parameters.names else Call(self._parameters, (), {}, is_bound=False)

    @guarded("note the class of a method")
    def note_class(self, tracked: object, owner: type) -> None:
        """*tracked* was got through *owner*: the first argument of its calls may be a receiver."""
        if not any(kind in self._classes for kind in owner.__mro__):
            # The class that has it, not one of those that inherit it: of these there may come ever more.
            having = (kind for kind in owner.__mro__ if any(part is tracked for part in list(vars(kind).values())))
            self._classes = (*self._classes, next(having, owner))

    def call(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """One call, as wrapt hands it over."""
        if self._only is not None and not args and not kwargs:
            return self._only
        if not self._may_be_bound:
            return Call(self._parameters, args, kwargs, is_bound=False)
        if instance is None and (self._is_given_receiver(args) or is_class_method(self._name, args)):
            return Call(self._parameters, args[1:], kwargs, is_bound=True)
        return Call(self._parameters, args, kwargs, is_bound=instance is not None)

    def _is_given_receiver(self, args: tuple[Any, ...]) -> bool:
        """Whether it is called as ``Class.method(instance, ...)``."""
        return bool(self._classes and args) and isinstance(args[0], self._classes)
