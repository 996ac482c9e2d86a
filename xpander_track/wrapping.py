"""A function with something around it, that stays for its callers what it was."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


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
        driven: Any = drive(call(*args, **kwargs), instance, args, kwargs)
        driven.__name__, driven.__qualname__ = target.__name__, target.__qualname__
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


if TYPE_CHECKING:
    _BoundFunctionWrapper = wrapt.BoundFunctionWrapper[..., Any]
    _FunctionWrapper = wrapt.FunctionWrapper[..., Any]
else:
    _BoundFunctionWrapper, _FunctionWrapper = wrapt.BoundFunctionWrapper, wrapt.FunctionWrapper


class _BoundWrapped(_BoundFunctionWrapper):
    """A decorated method, bound: pickled as the method itself is."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)


class _Wrapped(_FunctionWrapper):
    """A decorated function. Like any function, it is pickled and copied by reference."""

    __bound_function_wrapper__ = _BoundWrapped

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__qualname__
