"""A callable with something around each call, that stays for everybody what it was."""

# Callables of any type are what this file is about:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import copy
import functools
import importlib
import operator
import types
from typing import TYPE_CHECKING, Any

import wrapt

from .driving import driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from .driving import Begin


def wrapped(
    function: Any, begin: Begin, again: Callable[[Any], Any], through: Callable[[Any, type], object] | None = None
) -> Any:
    """
    *function*, with a scope of *begin* around each call of it.

    Args:
        function: A callable of any kind, or a static- or classmethod.
        begin: Opens the scope of one call.
        again: Makes of *function* what is made here: for copies, and for pickles of what has no name to be found by.
        through: Told what is made here, and a class that it was got through as it is: then the first argument of a
            call may be an instance of that class.
    """
    if isinstance(function, (staticmethod, classmethod)):
        # The order of the two is of no account: the descriptor stays the outer one.
        return type(function)(wrapped(function.__func__, begin, again, through))
    around = driver(what_runs(function), begin)
    if hasattr(type(function), "__get__"):  # pyright: ignore[reportUnknownArgumentType]
        outer: Any = (_Plain if type(function) is types.FunctionType else _Function)(function, around)
        outer._self_through = through  # noqa: SLF001  # wrapt's name for what is the proxy's own
    else:
        # An object that can be called, not a function: as an attribute of a class it is not bound.
        call = function.__call__ if isinstance(_call_of(function), types.MethodType) else function
        outer = _Object(function)
        outer._self_call = _Function(call, around)  # noqa: SLF001  # wrapt's name for what is the proxy's own
    outer._self_again = again  # noqa: SLF001  # the same
    return outer


def function_of(decorator: str, function: object) -> Any:
    """The callable that *function* is, or that the static- or classmethod holds; or TypeError."""
    is_method = type(function) in {staticmethod, classmethod}
    target: Any = getattr(function, "__func__", None) if is_method else function
    if isinstance(target, type) or not callable(target):
        what = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise TypeError(
            f"@{decorator} decorates a function, not {what}. Options go by keyword: @{decorator}(name=value)."
        )
    return target


def what_runs(function: Any) -> Any:
    """The function that runs in the end when *function* is called: out of its method, ``partial`` and ``__call__``."""
    while True:
        kind: Any = type(function)
        if issubclass(kind, (staticmethod, classmethod)):
            function = function.__func__
        elif issubclass(kind, functools.partial):
            function = function.func
        elif kind is not types.MethodType and isinstance(_call_of(function), types.MethodType):
            function = function.__call__
        else:
            return function


def is_class_method(name: str, args: tuple[Any, ...]) -> bool:
    """Whether the first of *args* is the class of a classmethod *name* that holds the called function."""
    # From Python 3.13 on a classmethod calls what it holds like any function: nothing says that it is bound.
    if not args or not issubclass(type(args[0]), type):
        return False
    return any(isinstance(kind.__dict__.get(name), classmethod) for kind in args[0].__mro__ if name in kind.__dict__)


def _call_of(function: Any) -> Any:
    return getattr(function, "__call__", None)  # noqa: B004  # what it is matters, not whether


if TYPE_CHECKING:
    _BoundFunctionWrapper = wrapt.BoundFunctionWrapper[..., Any]
    _FunctionWrapper = wrapt.FunctionWrapper[..., Any]
    _CallableObjectProxy = wrapt.CallableObjectProxy[Any]
else:
    _BoundFunctionWrapper, _FunctionWrapper = wrapt.BoundFunctionWrapper, wrapt.FunctionWrapper
    _CallableObjectProxy = wrapt.CallableObjectProxy


_NOTHING: Any = None


class _Bound(_BoundFunctionWrapper):
    """A wrapped method, bound: it is pickled and copied as the method itself is."""

    def __init__(self, wrapped: Any, instance: Any, *rest: Any) -> None:
        if not rest:
            # As types.MethodType is called, by WeakMethod for one: with the __func__ of another one, and a receiver.
            bound = wrapped.__get__(instance, type(instance))
            wrapped = bound.__wrapped__
            rest = tuple(getattr(bound, f"_self_{name}") for name in ("wrapper", "enabled", "binding", "parent"))
        super().__init__(wrapped, instance, *rest)  # type: ignore[call-arg]  # of wrapt's bound ones

    @property
    def __func__(self) -> Any:
        _ = self.__wrapped__.__self__  # type: ignore[attr-defined]  # AttributeError, where it is bound to nothing
        return self._self_parent

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

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


class _Copied:
    """What is its own copy, like any function, is so when it is wrapped; of anything else there are wrapped copies."""

    __slots__ = ()

    def __repr__(self: Any) -> str:
        return repr(self.__wrapped__)

    def __copy__(self: Any) -> Any:
        return self._of(copy.copy(self.__wrapped__))

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        return self._of(copy.deepcopy(self.__wrapped__, memo))

    def _of(self: Any, copied: Any) -> Any:
        return self if copied is self.__wrapped__ else self._self_again(copied)


class _Function(_Copied, _FunctionWrapper):
    """A wrapped function, or anything else that is bound as an attribute of a class. It is pickled by reference."""

    __bound_function_wrapper__ = _Bound
    _self_through = _NOTHING  # No annotation, as below.

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is not None:
            return super().__get__(instance, owner)
        get = getattr(self.__wrapped__, "__get__", None)
        if get is not None and get(None, owner) is not self.__wrapped__:
            return super().__get__(None, owner)
        # As a function that is got through its class is itself, through any class that inherits it.
        if self._self_through is not None:
            self._self_through(self, owner)
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        try:
            if _named(self.__module__, self.__qualname__) is self:
                return self.__qualname__
        except (ImportError, AttributeError):
            pass
        # Under its name is another one, the undecorated one for instance, which may be found.
        return self._self_again, (self.__wrapped__,)


class _NoContainer:
    """Takes back what proxies have in case their object has it, and functions have not: ``isinstance`` looks for it."""

    __slots__ = ()
    __enter__ = __exit__ = __aenter__ = __aexit__ = __len__ = __contains__ = _NOTHING


class _PlainBound(_NoContainer, _Bound):
    """A method that is a function."""


class _Plain(_NoContainer, _Function):
    """A wrapped function that is nothing else."""

    __bound_function_wrapper__ = _PlainBound


class _Object(_Copied, _CallableObjectProxy):
    """A wrapped object that can be called."""

    # Read by the interpreter at each call, and by whoever asks what kind of function it is. It has no annotation, which
    # would be taken for one of the object's own.
    __call__ = property(operator.attrgetter("_self_call"))  # pyright: ignore[reportAssignmentType]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._self_again, (self.__wrapped__,)


def _named(module: str, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), importlib.import_module(module))
