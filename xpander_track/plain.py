"""
Any Python value as plain JSON data: never an exception, never more than asked for.

What the platform's contract has a form for takes that form (models by their own dump, dates as ISO text, sets as
arrays, ...). Everything else becomes a stand-in that a reader understands, such as ``<generator answer>``. User code
(a ``__repr__``, a property, a ``keys()``) may run and may fail in any way: then a stand-in takes its place.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import math
import pathlib
import types
import uuid
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from pydantic import BaseModel
from pydantic_core import to_json, to_jsonable_python

if TYPE_CHECKING:
    from collections.abc import Iterable

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# Deeper than any real response, and far from the recursion limit.
MAX_DEPTH = 100
# json refuses to write integers above 4300 digits (sys.set_int_max_str_digits); this is a bit below.
_MAX_INT_BITS = 14_000
_MAX_REPR = 500
# What a number, a key or a bracket takes from the budget of characters.
_NODE_COST = 8

_TEXT_FORMS = (
    dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID, pathlib.Path,
    complex,
)  # fmt: skip
_ARRAYS = (list, tuple, set, frozenset, deque)


class Scrub(Protocol):
    """Takes secrets out of what is captured (see ``redaction.py``)."""

    def text(self, text: str) -> str:
        """*text* without the secrets in it."""
        ...

    def hides(self, name: str, value: object) -> bool:
        """Whether *value*, which stands under *name*, is a secret as a whole."""
        ...


def plain(value: object, *, max_chars: int | None = None, scrub: Scrub | None = None) -> Json:
    """
    *value* as JSON data that ``json.dumps`` takes and UTF-8 can carry.

    Args:
        value: Anything. It is read, never changed: generators and streams are not consumed.
        max_chars: About how many characters the whole may have; what is left out is marked. None is no limit.
        scrub: Takes secrets out.
    """
    return _Walk(max_chars, scrub).visit(value)


def dumps(data: Json) -> str:
    """*data* as compact JSON text, non-ASCII characters as they are."""
    return to_json(data).decode()


def stand_in(value: object) -> str:
    """A short text for a value that JSON has no form for."""
    kind = type(value)
    if issubclass(kind, (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)):
        return f"<{kind.__name__} {getattr(value, '__qualname__', '?')}>"
    if issubclass(kind, BaseException):
        return f"<{describe_error(value)}>"  # type: ignore[arg-type]  # issubclass() narrows the class only
    try:
        text = repr(value)
        return well_formed(text if len(text) <= _MAX_REPR else f"{text[:_MAX_REPR]}…")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # A __repr__ may raise anything, SystemExit included.
        return f"<{kind.__module__}.{kind.__qualname__}, whose repr raises {type(error).__name__}>"


def describe_error(error: BaseException) -> str:
    """``ExceptionType: message``; the leaves of an exception group are listed."""
    leaves = cast("tuple[Any, ...]", getattr(error, "exceptions", ()))
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001  # A __str__ may raise anything.
        text = f"(its message cannot be read: {type(failure).__name__})"
    described = well_formed(f"{type(error).__name__}: {text}" if text else type(error).__name__)
    if type(leaves) is tuple and leaves and all(isinstance(leaf, BaseException) for leaf in leaves):
        described += f" [{'; '.join(map(describe_error, leaves))}]"
    return described


def well_formed(text: str) -> str:
    """*text* with lone surrogates, which UTF-8 has no form for, replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _has_parts(kind: type[Any]) -> bool:
    return issubclass(kind, (*_ARRAYS, dict, BaseModel)) or dataclasses.is_dataclass(kind)


class _Walk:
    """One value's walk: what may still be written, and which containers we are inside of."""

    __slots__ = ("inside", "left", "scrub")

    def __init__(self, max_chars: int | None, scrub: Scrub | None) -> None:
        self.left = math.inf if max_chars is None else max_chars
        self.scrub = scrub
        self.inside: set[int] = set()

    def visit(self, value: object) -> Json:
        """The plain form of *value*; user code that fails gives a stand-in."""
        self.left -= _NODE_COST
        kind: type[Any] = type(value)
        if kind is str:
            return self.text(value)  # type: ignore[arg-type]  # `is` does not narrow
        if value is None or kind is bool:
            return value  # type: ignore[return-value]  # the same
        try:
            return self.container(value, kind) if _has_parts(kind) else self.scalar(value, kind)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # User code (a property, an iterator) may raise anything.
            return self.text(stand_in(value))

    def scalar(self, value: Any, kind: type) -> Json:  # noqa: PLR0911  # one for each form
        """A value without parts."""
        if issubclass(kind, Enum):
            return self.visit(value.value)
        if issubclass(kind, str):
            return self.text(str.__str__(value))
        if issubclass(kind, int):
            number = int.__index__(value)
            return number if number.bit_length() <= _MAX_INT_BITS else f"<int of {number.bit_length()} bits>"
        if issubclass(kind, float):
            real = float.__float__(value)
            return real if math.isfinite(real) else None
        if issubclass(kind, (bytes, bytearray)):
            return self.octets(value)
        if issubclass(kind, _TEXT_FORMS) or kind.__module__.startswith("pydantic"):  # SecretStr, Url, ...
            return self.text(str(to_jsonable_python(value)))
        return self.text(stand_in(value))

    def container(self, value: object, kind: type) -> Json:
        """A value with parts, unless we are inside of it already or too deep."""
        if id(value) in self.inside:
            return f"<circular {kind.__name__}>"
        if len(self.inside) >= MAX_DEPTH:
            return f"<{kind.__name__}, nested deeper than {MAX_DEPTH} levels>"
        self.inside.add(id(value))
        try:
            if issubclass(kind, BaseModel):
                # The model's own dump: by field name, excluded fields left out, secrets masked.
                dumped = to_jsonable_python(value, by_alias=False, inf_nan_mode="constants", fallback=stand_in)
                return self.visit(dumped)
            if issubclass(kind, dict):
                # A copy in one step: another thread may be changing the dict.
                return self.mapping(dict.copy(value).items())  # type: ignore[arg-type]
            if issubclass(kind, _ARRAYS):
                return self.array(list(value), len(value))  # type: ignore[call-overload, arg-type]
            return self.mapping(
                (field.name, getattr(value, field.name))
                for field in dataclasses.fields(value)  # type: ignore[arg-type]
            )
        finally:
            self.inside.discard(id(value))

    def mapping(self, items: Iterable[tuple[object, object]]) -> Json:
        """An object; where the budget ends, the number of left out members is one of its members."""
        out: dict[str, Json] = {}
        left_out = 0
        for key, value in items:
            if self.left <= 0:
                left_out += 1
                continue
            name = key if type(key) is str else self.key(key)
            hidden = self.scrub is not None and self.scrub.hides(name, value)
            out[self.text(name)] = "[redacted]" if hidden else self.visit(value)
        if left_out:
            out["…"] = f"{left_out} more members left out"
        return out

    def array(self, items: list[object], length: int) -> Json:
        """An array; where the budget ends, its last item says how many were left out."""
        out: list[Json] = []
        for item in items:
            if self.left <= 0:
                out.append(f"… {length - len(out)} more items left out")
                break
            out.append(self.visit(item))
        return out

    def key(self, key: Any) -> str:
        """A text key: as the platform's contract has it for what is not text."""
        if isinstance(key, bool):
            return "true" if key else "false"
        if issubclass(type(key), tuple):
            return ",".join(map(self.key, key))
        form = key if isinstance(key, str) else self.visit(key)
        return form if isinstance(form, str) else str(form)

    def octets(self, value: bytes | bytearray) -> str:
        """Bytes as text where they are UTF-8, else their number."""
        if len(value) > self.left:
            return f"<{len(value)} bytes>"
        try:
            return self.text(bytes(value).decode())
        except UnicodeDecodeError:
            return f"<{len(value)} bytes>"

    def text(self, text: str) -> str:
        """Well-formed text within the budget, without secrets."""
        length = len(text)
        if length > self.left:
            kept = max(0, int(self.left))
            # Scrubbed with some margin, so that a secret cut in two is not missed at the seam.
            text = f"{self.clean(text[: kept + 200])[:kept]}… [{length - kept} of {length} characters left out]"
        else:
            text = self.clean(text)
        self.left -= len(text)
        return text

    def clean(self, text: str) -> str:
        text = well_formed(text)
        return text if self.scrub is None else self.scrub.text(text)
