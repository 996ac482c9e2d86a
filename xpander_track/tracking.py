"""The front door: ``track_task``, ``tracked_task``, ``track_tool`` and ``record_tool``."""

from __future__ import annotations

import asyncio
import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import wrapt

from . import settings
from .boundary import quietly, say_once
from .capture import Parameters
from .current import Stack, current_run, enter, is_here, leave
from .platform import Configuration
from .run import NO_RUN, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType, TracebackType

F = TypeVar("F", bound="Callable[..., Any]")


@overload
def track_task(function: F, /) -> F: ...
@overload
def track_task(
    *,
    agent_id: str | None = None,
    id: str | Callable[..., str] | None = None,
    input: str | Callable[..., object] | None = None,
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
    id: str | Callable[..., str] | None = None,  # noqa: A002  # the platform's word
    input: str | Callable[..., object] | None = None,  # noqa: A002  # the same
    wait: float | None = None,
    capture_input: bool | None = None,
    capture_result: bool | None = None,
    configuration: Configuration | None = None,
) -> Any:
    """
    Record every call of an agent's entry function as a run, and report it when it ends.

    For functions, coroutine functions and methods; above or below ``@staticmethod`` and ``@classmethod``. The function
    stays what it is for its callers: result, exceptions, signature and type. Its arguments are the run's input (the
    text itself, if there is one parameter and it got a text; else JSON by name), what it returns is the result.

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
        TypeError, ValueError: At once, for a wrong option, or for what is no function.
    """
    options = _Options(agent_id, id, input, wait, capture_input, capture_result, configuration)
    options.check()
    if function is None:
        return functools.partial(_track, options)
    return _track(options, function)


def tracked_task(  # every option is a keyword of its own
    *,
    agent_id: str | None = None,
    id: str | Callable[..., str] | None = None,  # noqa: A002
    input: object = None,  # noqa: A002
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
    options = _Options(agent_id, id, input, wait, capture_input, capture_result, configuration)
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
        function: The function or coroutine function, where the decorator is used bare.
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
    run = current_run()
    if run is NO_RUN and settings.current().is_enabled():
        caller = cast("FrameType", inspect.currentframe()).f_back
        place = "?" if caller is None else f"{caller.f_code.co_filename}:{caller.f_lineno}"
        say_once(f"no run at {place}", "record_tool() at %s: no run is current there, nothing was recorded.", place)
    run.record_tool(name, arguments=arguments, result=result, error=error, duration=duration)


class TrackedTask:
    """What ``tracked_task`` gives: enter it, or decorate with it."""

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._open: list[_Open] = []

    def __enter__(self) -> Run:
        self._options.check_for_block()
        opened = self._options.begin()
        self._open.append(opened)
        return opened.run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened = self._innermost()
        opened.close(error)
        opened.wait()

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened = self._innermost()
        opened.close(error)
        await opened.await_()

    def __call__(self, function: F) -> F:
        """Decorate *function*: each call of it is a run."""
        self._options.check_for_function()
        return cast("F", _track(self._options, function))

    def _innermost(self) -> _Open:
        """The run to leave: entered last by this task or thread, else (left elsewhere than entered) the last of all."""
        here = [opened for opened in self._open if is_here(opened.stack)]
        opened = (here or self._open)[-1]
        self._open.remove(opened)
        return opened


class _Open:
    """An open run, and where it is current."""

    __slots__ = ("_seconds", "run", "stack")

    def __init__(self, run: Run, seconds: float | None) -> None:
        self.run = run
        self.stack: Stack = [] if run is NO_RUN else enter(run)
        self._seconds = seconds

    def close(self, error: BaseException | None, returned: object = None) -> None:
        """The body has ended."""
        leave(self.run, self.stack)
        self.run.end(error, returned)

    def wait(self) -> None:
        """Wait for the platform's Task, if that was asked for; never inside a running loop."""
        if self._waits() and asyncio._get_running_loop() is None:  # noqa: SLF001  # the way that does not raise
            with quietly("wait for a run's report"):
                self.run.reported(self._seconds)

    async def await_(self) -> None:
        """``wait`` for asynchronous code."""
        if self._waits():
            with quietly("wait for a run's report"):
                await self.run.areported(self._seconds)

    def _waits(self) -> bool:
        return bool(self._seconds) and self.run is not NO_RUN and not self.run.is_held_up()


@dataclass(frozen=True)
class _Options:
    """What one decoration, or one ``tracked_task``, has decided."""

    agent_id: str | None
    id: str | Callable[..., str] | None
    input: object
    wait: float | None
    capture_input: bool | None
    capture_result: bool | None
    configuration: Configuration | None

    def check(self) -> None:
        """Raise for what can be told to be wrong at once."""
        settings.check_text("agent_id", self.agent_id)
        if not callable(self.id):
            settings.check_text("id", self.id)
        settings.check_seconds("wait", self.wait)
        for name in ("capture_input", "capture_result"):
            if not isinstance(getattr(self, name), (bool, type(None))):
                raise TypeError(f"{name} must be True or False, not {type(getattr(self, name)).__name__}.")
        if self.configuration is not None and not isinstance(self.configuration, Configuration):
            raise TypeError(f"configuration must be a Configuration, not {type(self.configuration).__name__}.")

    def check_for_function(self) -> None:
        """Raise for what a decorator cannot do."""
        if self.input is not None and not isinstance(self.input, str) and not callable(self.input):
            raise TypeError(f"input must be a text or a function of the arguments, not {type(self.input).__name__}.")

    def check_for_block(self) -> None:
        """Raise for what only a decorator can do."""
        for name in ("id", "input"):
            if callable(getattr(self, name)):
                raise TypeError(
                    f"{name} is a function of a call's arguments; a block has none. Give the {name} itself."
                )

    def begin(self, name: str | None = None, call: _Call | None = None) -> _Open:
        """A run begins here: with the arguments of *call*, or those of a block."""
        decided = settings.current()
        run: Run = NO_RUN
        with quietly("begin a run"):
            if decided.is_enabled():
                run = Run(
                    agent_id=self.agent_id,
                    id=self._id(call),
                    name=name,
                    configuration=self.configuration,
                    capture_result=self.capture_result,
                )
                keeps_input = decided.capture_input if self.capture_input is None else self.capture_input
                run.begin(self._input(run, call) if keeps_input else None)
        return _Open(run, decided.wait if self.wait is None else self.wait)

    def _id(self, call: _Call | None) -> str | None:
        if call is None or not callable(self.id):
            return self.id  # type: ignore[return-value]  # check_for_block() has seen to that
        with quietly("compute a run's id"):
            computed: object = self.id(*call.args, **call.kwargs)
            if not isinstance(computed, str) or not computed:
                raise TypeError(f"id=... must give a text that is not empty, not {type(computed).__name__}")
            return computed
        return None

    def _input(self, run: Run, call: _Call | None) -> str | None:
        with quietly("record a run's input"):
            if call is not None and callable(self.input):
                return run.capture.text(self.input(*call.args, **call.kwargs))
            if call is not None and self.input is None:
                return run.capture.arguments(call.arguments(), lone=call.is_lone())
            return run.capture.text(self.input)
        return None


@dataclass(frozen=True)
class _Call:
    """One call of a decorated function."""

    parameters: Parameters
    is_bound: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def arguments(self) -> dict[str, object]:
        return self.parameters.bind(self.args, self.kwargs, bound=self.is_bound)

    def is_lone(self) -> bool:
        return self.parameters.lone(bound=self.is_bound)


if TYPE_CHECKING:
    _BoundFunctionWrapper = wrapt.BoundFunctionWrapper[..., Any]
    _FunctionWrapper = wrapt.FunctionWrapper[..., Any]
else:
    _BoundFunctionWrapper, _FunctionWrapper = wrapt.BoundFunctionWrapper, wrapt.FunctionWrapper


class _BoundTracked(_BoundFunctionWrapper):
    """A decorated method, bound: pickled as the method itself is."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)


class _Tracked(_FunctionWrapper):
    """A decorated function. Like any function, it is pickled and copied by reference."""

    __bound_function_wrapper__ = _BoundTracked

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__qualname__


def _track(options: _Options, function: Any) -> Any:
    options.check_for_function()
    target = _function_of("track_task", function)
    parameters = Parameters(target)
    name = f"{target.__module__}.{target.__qualname__}" if hasattr(target, "__qualname__") else None
    is_static = isinstance(function, staticmethod)

    def begin(instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Open:
        return options.begin(name, _Call(parameters, instance is not None and not is_static, args, kwargs))

    def around(wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = begin(instance, args, kwargs)
        try:
            returned = wrapped(*args, **kwargs)
        except BaseException as error:
            opened.close(error)
            raise
        opened.close(None, returned)
        opened.wait()
        return returned

    async def drive(
        coroutine: Coroutine[Any, Any, Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        opened = begin(instance, args, kwargs)
        try:
            returned = await coroutine
        except BaseException as error:
            opened.close(error)
            raise
        opened.close(None, returned)
        await opened.await_()
        return returned

    return _wrapped(target, function, around, drive)


def _track_tool(name: str | None, function: Any) -> Any:
    target = _function_of("track_tool", function)
    parameters = Parameters(target)
    called = name or str(getattr(target, "__name__", type(target).__name__))
    is_static = isinstance(function, staticmethod)

    def begin(instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = current_run()
        if run is NO_RUN:
            return NO_RUN.tool(called)
        arguments = None
        with quietly("record a tool's arguments"):
            arguments = parameters.bind(args, kwargs, bound=instance is not None and not is_static)
        return run.tool(called, arguments)

    def around(wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with begin(instance, args, kwargs) as call:
            returned = wrapped(*args, **kwargs)
            call.set_result(returned)
        return returned

    async def drive(
        coroutine: Coroutine[Any, Any, Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with begin(instance, args, kwargs) as call:
            returned = await coroutine
            call.set_result(returned)
        return returned

    return _wrapped(target, function, around, drive)


def _wrapped(
    target: Any, function: Any, around: Callable[..., Any], drive: Callable[..., Coroutine[Any, Any, Any]]
) -> Any:
    if not inspect.iscoroutinefunction(target):
        return _Tracked(function, around)

    def around_async(
        wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # The user's function is called first: a wrong call raises here and now, as it does without us.
        driven: Any = drive(wrapped(*args, **kwargs), instance, args, kwargs)
        driven.__name__, driven.__qualname__ = target.__name__, target.__qualname__
        return driven

    return _Tracked(function, around_async)


def _function_of(decorator: str, function: object) -> Any:
    """The function that *function* is, or that the static- or classmethod holds; or TypeError."""
    is_method = type(function) in {staticmethod, classmethod}
    target: Any = getattr(function, "__func__", None) if is_method else function
    if isinstance(target, type) or not callable(target):
        what = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise TypeError(
            f"@{decorator} decorates a function, not {what}. Options go by keyword: @{decorator}(name=value)."
        )
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise TypeError(f"@{decorator} does not take generator functions yet: put a tracked_task() block inside of it.")
    return target
