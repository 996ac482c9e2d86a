"""
Short texts for what JSON has no form for: exceptions, and objects of any kind.

Nothing in here raises: user code (a ``__repr__``, a ``__str__``, a metaclass) may run, and may fail in any way.
"""

# Objects of any type are what this file is about:
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import types
from typing import Any

_MAX_REPR = 500
_MAX_GROUPS = 5
_MAX_LEAVES = 20
_FRAMES = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


def describe_error(error: BaseException, *, groups: int = _MAX_GROUPS) -> str:
    """
    ``ExceptionType: message``; the leaves of an exception group are listed.

    Args:
        error: The exception.
        groups: How many groups inside of each other are looked into.
    """
    name = kind_name(type(error))
    try:
        text = str.__str__(str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001  # A __str__ may raise anything.
        text = f"(its message cannot be read: {kind_name(type(failure))})"
    described = well_formed(f"{name}: {text}" if text else name)
    # By its attribute, not by its type: before Python 3.11 groups come from a package that we do not know.
    leaves: Any = attribute(error, "exceptions") if groups else None
    if type(leaves) is tuple and leaves and all(issubclass(type(leaf), BaseException) for leaf in leaves):
        listed = [describe_error(leaf, groups=groups - 1) for leaf in leaves[:_MAX_LEAVES]]
        described += f" [{'; '.join(listed)}]"
    return described


def stand_in(value: object) -> str:
    """What a reader gets to see instead of *value*."""
    kind = type(value)
    if issubclass(kind, _FRAMES):
        return f"<{kind.__name__} {getattr(value, '__qualname__', '?')}>"
    if isinstance_of(value, BaseException):
        return f"<{describe_error(value)}>"  # type: ignore[arg-type]  # told by its type
    try:
        text = str.__str__(repr(value))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # A __repr__ may raise anything, SystemExit included.
        module = kind.__dict__.get("__module__", "?")
        return f"<{module}.{kind_name(kind)}, whose repr raises {kind_name(type(error))}>"
    return well_formed(text if len(text) <= _MAX_REPR else f"{text[:_MAX_REPR]}…")


def attribute(value: object, name: str) -> object:
    """The attribute *name*, or, where reading it fails, a text that says so."""
    try:
        return getattr(value, name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # A property, or a field that was never set.
        return f"<no value: {kind_name(type(error))}>"


def kind_name(kind: type) -> str:
    """The name of a type; not ``kind.__name__``, of which a metaclass may have its own idea."""
    return str(type.__dict__["__name__"].__get__(kind))


def isinstance_of(value: object, kind: type | tuple[type, ...]) -> bool:
    """``isinstance`` without asking *value*, which may lie about its ``__class__``, or raise."""
    return issubclass(type(value), kind)


def well_formed(text: str) -> str:
    """*text* with lone surrogates, which UTF-8 has no form for, replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
