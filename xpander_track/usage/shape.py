"""Looking into a response whose library we do not import: nothing is called, nothing is computed, nothing changes."""

from __future__ import annotations

from typing import Any, cast

# No real count comes near; above 4300 digits Python itself refuses to read a number.
MAX_COUNT = 10**1000


def field(value: object, name: str) -> Any:
    """
    The part *name* of a dict or of an object's own data; None where there is none.

    Only stored data is read. Properties and ``__getattr__`` are not: they may do anything, and on a mock they have an
    answer for every name.
    """
    if issubclass(type(value), dict):
        return cast("Any", dict).get(value, name)  # Never a subclass's own get().
    for attribute in ("__dict__", "__pydantic_extra__"):
        try:
            data = object.__getattribute__(value, attribute)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001, S112  # It has none, or a property of that name that raises.
            continue
        if type(data) is dict and name in data:
            return cast("dict[str, Any]", data)[name]
    return None


def fields(value: object, *names: str) -> Any:
    """The part at the end of a path of names."""
    for name in names:
        value = field(value, name)
    return value


def items(value: object, name: str) -> list[Any]:
    """The part *name*, if it is a list; else no items."""
    found = field(value, name)
    return found if issubclass(type(found), list) else []  # pyright: ignore[reportUnknownVariableType]


def text(value: object) -> str | None:
    """*value*, if it is a text."""
    return value if type(value) is str else None


def count(value: object) -> int | None:
    """*value*, if it is a number of tokens."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def joined(parts: list[str | None]) -> str | None:
    """The texts among *parts* as one; None where there is none."""
    texts = [part for part in parts if part is not None]
    return "".join(texts) if texts else None
