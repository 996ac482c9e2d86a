"""
Drives what a call of the user's starts, a function, coroutine, generator or asynchronous generator, to its end.

Each driver stands between the user's function and its caller, so nothing of ours may fail in it: every step of a scope
is caught right here. The user's exceptions pass through unchanged, and so does every value.
"""

# The steps are caught one by one, in place: a function that did it would be one more that can fail.
# ruff: noqa: BLE001

from __future__ import annotations

import asyncio
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

from .boundary import caught

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    Args = tuple[Any, ...]
    Kwargs = dict[str, Any]
    # Called with the receiver (None where there is none) and the arguments, at the moment when the body begins.
    Begin = Callable[[object, Args, Kwargs], "Scope"]


class Scope:
    """What is put around a call; this one is nothing."""

    __slots__ = ()

    def enter(self) -> None:
        """The body begins, or goes on."""

    def leave(self) -> None:
        """The body pauses: a generator has given an item."""

    def keep(self, item: object) -> None:
        """The body has given this item."""

    def end(self, error: BaseException | None, returned: object = None) -> None:
        """The body has ended, by *error* or with *returned*. ``leave`` is not called then."""

    async def aend(self, error: BaseException | None, returned: object = None) -> None:
        """``end``, where it can be awaited."""
        self.end(error, returned)


_NOTHING = Scope()
_BEGIN, _ITEM, _END = "begin a run", "record an item of a run", "end a run"


def driver(kind: types.FunctionType | Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """
    What wrapt is to call around a function of the user's.

    Args:
        kind: The function that tells by its flags which kind of callable it is.
        begin: Opens the scope of one call.
    """
    if inspect.iscoroutinefunction(kind):
        return _drives_coroutine(kind, begin)
    if inspect.isasyncgenfunction(kind):
        return _drives_later(kind, begin, _drive_async_generator)
    if inspect.isgeneratorfunction(kind):
        is_coroutine = getattr(getattr(kind, "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE
        return _drives_later(kind, begin, _drive_old_coroutine if is_coroutine else _drive_generator)
    return _drives_function(begin)


# --- functions ---


def _drives_function(begin: Begin) -> Callable[..., Any]:
    def around(call: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        scope = _NOTHING
        try:
            scope = begin(instance, args, kwargs)
            scope.enter()
        except Exception as error:
            caught(_BEGIN, error)
        try:
            returned = call(*args, **kwargs)
        except BaseException as error:
            try:
                scope.end(error)
            except Exception as own:
                caught(_END, own)
            raise
        try:
            scope.end(None, returned)
        except Exception as error:
            caught(_END, error)
        return returned

    return around


# --- coroutines ---


class _Unstarted:
    """Holds a coroutine. If it is never awaited, nor the one around it, only the latter says so."""

    __slots__ = ("coroutine",)
    coroutine: Any

    def __del__(self) -> None:
        if hasattr(self.coroutine, "close"):  # Any awaitable may come from what is marked as a coroutine function.
            self.coroutine.close()


class _Started:
    """The same, begun: from here on it is awaited."""

    __slots__ = ("coroutine",)


def _drives_coroutine(kind: Any, begin: Begin) -> Callable[..., Any]:
    name, qualname = _names(kind)

    def around(call: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        # The user's function is called first: a wrong call raises here and now, as it does without us.
        coroutine = call(*args, **kwargs)
        holder = _Unstarted()
        holder.coroutine = coroutine
        driven: Any = _drive_coroutine(holder, begin, instance, args, kwargs)
        driven.__name__, driven.__qualname__ = name, qualname
        return driven

    return around


async def _drive_coroutine(holder: Any, begin: Begin, instance: object, args: Args, kwargs: Kwargs) -> Any:
    coroutine = holder.coroutine
    holder.__class__ = _Started
    scope = _NOTHING
    try:
        scope = begin(instance, args, kwargs)
        scope.enter()
    except Exception as error:
        caught(_BEGIN, error)
    try:
        returned = await coroutine
    except BaseException as error:
        try:
            await scope.aend(error)
        except Exception as own:
            caught(_END, own)
        raise
    try:
        await scope.aend(None, returned)
    except Exception as error:
        caught(_END, error)
    return returned


# --- generators ---


def _drives_later(kind: Any, begin: Begin, drive: Callable[..., Any]) -> Callable[..., Any]:
    name, qualname = _names(kind)

    def around(call: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        driven = drive(call(*args, **kwargs), begin, instance, args, kwargs)
        driven.__name__, driven.__qualname__ = name, qualname
        return driven

    return around


def _drive_generator(  # the protocol, in one piece
    generator: Generator[Any, Any, Any], begin: Begin, instance: object, args: Args, kwargs: Kwargs
) -> Generator[Any, Any, Any]:
    scope = _NOTHING
    try:
        scope = begin(instance, args, kwargs)
    except Exception as error:
        caught(_BEGIN, error)
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        try:
            scope.enter()
        except Exception as error:
            caught(_BEGIN, error)
        try:
            item = generator.send(sent) if thrown is None else generator.throw(thrown)
        except StopIteration as stop:
            returned = stop.value
            break
        except BaseException as error:
            thrown = None  # Else the error had this frame in its traceback, and this frame the error.
            try:
                scope.end(error)
            except Exception as own:
                caught(_END, own)
            raise
        sent = thrown = None
        try:
            scope.leave()
            scope.keep(item)
        except Exception as error:
            caught(_ITEM, error)
        try:
            # The item is not ours to keep while the consumer has it.
            sent = yield (item, item := None)[0]
        except BaseException as error:  # GeneratorExit included: close() and throw() are told apart by the body alone.
            thrown = error
    # A body that swallows GeneratorExit has been left early as well.
    left, thrown = isinstance(thrown, GeneratorExit), None
    try:
        scope.end(GeneratorExit() if left else None, returned)
    except Exception as error:
        caught(_END, error)
    return returned


async def _drive_async_generator(  # the protocol, in one piece
    generator: AsyncGenerator[Any, Any], begin: Begin, instance: object, args: Args, kwargs: Kwargs
) -> AsyncGenerator[Any, Any]:
    scope = _NOTHING
    try:
        scope = begin(instance, args, kwargs)
    except Exception as error:
        caught(_BEGIN, error)
    # When a loop ends, it closes all asynchronous generators that it knows at once. It must know the outer one only,
    # which closes the inner one inside of the run.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        step: Any = generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)
    thrown: BaseException | None = None
    while True:
        try:
            scope.enter()
        except Exception as error:
            caught(_BEGIN, error)
        try:
            item = await step
        except StopAsyncIteration:
            break
        except BaseException as error:
            was_thrown, thrown, step = error is thrown, None, None  # As in a generator.
            try:
                await scope.aend(GeneratorExit() if was_thrown and _is_left_behind() else error)
            except Exception as own:
                caught(_END, own)
            raise
        thrown = None
        try:
            scope.leave()
            scope.keep(item)
        except Exception as error:
            caught(_ITEM, error)
        try:
            step = generator.asend((yield (item, item := None)[0]))
        except BaseException as error:  # As in a generator.
            thrown = error
            step = generator.athrow(error)
    left, thrown, step = isinstance(thrown, GeneratorExit), None, None
    try:
        await scope.aend(GeneratorExit() if left else None)
    except Exception as error:
        caught(_END, error)


def _is_left_behind() -> bool:
    """Whether the loop closes a generator that was left: what cancels that, as the end of a loop does, is no news."""
    loop = asyncio._get_running_loop()  # noqa: SLF001  # the documented way that does not raise where there is none
    task = None if loop is None else asyncio.current_task(loop)
    return task is not None and type(task.get_coro()).__name__ == "async_generator_athrow"


# A generator function that is marked as a coroutine function of the old kind makes what can be awaited.
_drive_old_coroutine = types.coroutine(types.FunctionType(_drive_generator.__code__, globals()))


def _names(kind: Any) -> tuple[str, str]:
    """The names of what *kind* makes."""
    name = str(getattr(kind, "__name__", type(kind).__name__))
    return name, str(getattr(kind, "__qualname__", name))
