"""
Looking into a response whose library we do not import: nothing is called, nothing is computed, nothing changes.

Only stored data is read: what is in a dict, in an object's ``__dict__``, in its slots, or where pydantic keeps extra
fields. Properties and ``__getattr__`` are not asked: they may do anything, and on a mock they have an answer for every
name.
"""

from __future__ import annotations

from types import MemberDescriptorType
from typing import Any, cast

from pydantic import BaseModel

# No real count comes near; above 4300 digits Python itself refuses to read a number.
MAX_COUNT = 10**1000

_NOTHING: dict[str, Any] = {}
_SCALARS: frozenset[type] = frozenset({str, int, float, bool, bytes, type(None), complex, bytearray, type})
_LISTS: tuple[Any, ...] = (list, tuple)
_dict_items = cast("Any", dict).items  # dict.copy asks a subclass for its keys.
_DICTS = {"dict", "bare dict"}
_ways: dict[type, str] = {}
_MAX_WAYS = 1000
# The interpreter's own way to each, which no class can put another in front of.
_type_attribute = type.__dict__
_ancestors = _type_attribute["__mro__"].__get__
_namespace = _type_attribute["__dict__"].__get__
_dict_offset = _type_attribute["__dictoffset__"].__get__
_stored = object.__getattribute__
_extra = BaseModel.__dict__["__pydantic_extra__"].__get__
_private = BaseModel.__dict__["__pydantic_private__"].__get__


def parts(value: object) -> dict[str, Any]:  # noqa: PLR0911  # one for each way
    """The data of a dict or an object by name, not to be changed; empty where there is none."""
    kind: type[Any] = type(value)
    if kind is dict:
        return cast("dict[str, Any]", value)
    try:
        how = _ways.get(kind) or _way(kind)
        if how == "nothing":
            return _NOTHING
        if how == "slots":
            return _slots(value, _ancestors(kind))
        data: Any = _NOTHING if how == "bare dict" else _stored(value, "__dict__")
        if type(data) is not dict:
            return _NOTHING
        if how == "model":
            extra = _extra_fields(value, cast("dict[str, Any]", data))
            return {**extra, **data} if extra else cast("dict[str, Any]", data)
        if how in _DICTS:  # Where it keeps its fields twice, the attributes are whole (huggingface_hub).
            return {**dict(_dict_items(value)), **data}
        return cast("dict[str, Any]", data)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # A hostile class: it may raise even SystemExit.
        return _NOTHING


def attributes(value: object) -> dict[str, Any]:
    """A dict, or the ``__dict__`` of an object alone."""
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    try:
        data = _stored(value, "__dict__")
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # As above.
        return _NOTHING
    return data if type(data) is dict else _NOTHING  # pyright: ignore[reportUnknownVariableType]


def own_parts(value: object) -> dict[str, Any]:
    """As ``parts``, in haste: empty also where there is more to be known than is in one place."""
    kind: type[Any] = type(value)
    if kind is dict:
        return cast("dict[str, Any]", value)
    try:
        way = _ways.get(kind) or _way(kind)
        if way == "object" or (way == "model" and not _extra(value)):
            data = _stored(value, "__dict__")
            return data if type(data) is dict else _NOTHING  # pyright: ignore[reportUnknownVariableType]
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # As above.
        return _NOTHING
    return _NOTHING


def private(value: object, name: str) -> Any:
    """The private attribute *name* of a pydantic model or of any object; None where there is none."""
    found = parts(value).get(name)
    if found is None:
        try:
            found = (_private(value) or _NOTHING).get(name)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # It is no model, or not a whole one.
            return None
    return found


def field(value: object, *names: str) -> Any:
    """The part at the end of a path of names; None where there is none."""
    for name in names:
        value = parts(value).get(name)
    return value


def items(value: object) -> list[Any]:
    """What is in a list or a tuple; else nothing. A copy, made in one step: another thread may be changing it."""
    kind = type(value)
    if kind is list or kind is tuple:
        return list(cast("list[Any]", value))
    for base in _LISTS:
        if issubclass(kind, base):
            return list(base.__getitem__(value, slice(None)))
    return []


def is_list(value: object) -> bool:
    """Whether *value* is a list or a tuple."""
    kind = type(value)
    return kind is list or kind is tuple or issubclass(kind, (list, tuple))


def text(value: object) -> str | None:
    """*value*, if it is a text."""
    kind = type(value)
    if kind is str:
        return cast("str", value)
    return str.__str__(cast("str", value)) if issubclass(kind, str) else None


def name(value: object) -> str | None:
    """*value*, if it is a text that is not empty."""
    return text(value) or None


def count(value: object) -> int | None:
    """*value*, if it is a number of tokens."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def joined(texts: list[str | None]) -> str | None:
    """The texts as one; None where there is none."""
    said = [part for part in texts if part is not None]
    return "".join(said) if said else None


def _way(kind: type) -> str:
    """How the data of a type's objects is come by; remembered, since there are few types and many objects."""
    ancestors = _ancestors(kind)
    if kind in _SCALARS:
        way = "nothing"
    elif dict in ancestors:
        way = "dict" if _dict_offset(kind) else "bare dict"
    elif BaseModel in ancestors:
        way = "model"
    else:
        way = "object" if _dict_offset(kind) else "slots"
    if len(_ways) < _MAX_WAYS:
        _ways[kind] = way
    return way


def _extra_fields(model: object, data: dict[str, Any]) -> dict[str, Any] | None:
    try:
        extra: dict[str, Any] | None = data.get("__pydantic_extra__") or _extra(model)  # Mistral's have it in the data.
    except AttributeError:  # It was made without its own constructor.
        return None
    else:
        return extra


def _slots(value: object, ancestors: tuple[type, ...]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for ancestor in reversed(ancestors):
        for slot, descriptor in _namespace(ancestor).items():
            if type(descriptor) is MemberDescriptorType:
                try:
                    data[slot] = descriptor.__get__(value)
                except AttributeError:  # It was never set.
                    continue
    return data
