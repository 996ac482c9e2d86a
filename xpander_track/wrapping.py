"""A function with something around it, that stays for its callers what it was."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


def wrapped(
    target: Any, function: Any, around: Callable[..., Any], drive: Callable[..., Coroutine[Any, Any, Any]]
) -> Any:
    """
    *function*, so that each call of it goes through *around*, or, if it is a coroutine function, through *drive*.

    Args:
        target: The function itself, from ``function_of``.
        function: It, or the static- or classmethod that holds it.
        around: Called with the function, its receiver if it has one, and the arguments.
        drive: A coroutine function, called with the function's coroutine, its receiver, and the arguments.
    """
    if not inspect.iscoroutinefunction(target):
        return _Wrapped(function, around)

    def around_async(call: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The user's function is called first: a wrong call raises here and now, as it does without us.
        driven: Any = drive(_Coroutine(call(*args, **kwargs)), instance, args, kwargs)
        driven.__name__ = getattr(target, "__name__", driven.__name__)
        driven.__qualname__ = getattr(target, "__qualname__", driven.__qualname__)
        return driven

    return _Wrapped(function, around_async)


def function_of(decorator: str, function: object) -> Any:
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


def is_class_method(name: str, args: tuple[Any, ...]) -> bool:
    """Whether the first of *args* is the class of a classmethod *name* that holds the called function."""
    # From Python 3.13 on a classmethod calls what it holds like any function: nothing says that it is bound.
    if not args or not issubclass(type(args[0]), type):
        return False
    return any(isinstance(kind.__dict__.get(name), classmethod) for kind in args[0].__mro__ if name in kind.__dict__)


class _Coroutine:
    """The user's coroutine, to be awaited once. If that never happens, only the one around it says so."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def __del__(self) -> None:
        if hasattr(self._coroutine, "close"):  # Any awaitable may come from what is marked as a coroutine function.
            self._coroutine.close()


if TYPE_CHECKING:
    _BoundFunctionWrapper = wrapt.BoundFunctionWrapper[..., Any]
    _FunctionWrapper = wrapt.FunctionWrapper[..., Any]
else:
    _BoundFunctionWrapper, _FunctionWrapper = wrapt.BoundFunctionWrapper, wrapt.FunctionWrapper


class _BoundWrapped(_BoundFunctionWrapper):
    """A wrapped method, bound: it is pickled and copied as the method itself is."""

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        receiver = getattr(self.__wrapped__, "__self__", None)
        return self if receiver is None else getattr(copy.deepcopy(receiver, memo), self.__name__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        receiver = getattr(self.__wrapped__, "__self__", None)
        if receiver is not None:
            return getattr, (receiver, self.__name__)
        return _named, (self.__module__, self.__qualname__)


class _Wrapped(_FunctionWrapper):
    """A wrapped function. Like any function, it is pickled and copied by reference."""

    __bound_function_wrapper__ = _BoundWrapped

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__qualname__


def _named(module: str, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), importlib.import_module(module))
