"""
Any Python value as plain JSON data: never an exception, never more than asked for.

What the platform's contract has a form for takes that form (models by their own dump, dates as ISO text, sets as
arrays, ...). Everything else becomes a stand-in that a reader understands, such as ``<generator answer>``. User code
(a ``__repr__``, a property, a ``keys()``) may run and may fail in any way: then a stand-in takes its place.
"""

# Values of any type are what this file is about:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import decimal
import math
import pathlib
import types
import uuid
from collections import ChainMap, UserDict, deque
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import BaseModel
from pydantic_core import to_json, to_jsonable_python

from .describe import attribute, kind_name, stand_in, well_formed

if TYPE_CHECKING:
    from collections.abc import Iterable

REDACTED = "[redacted]"

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

# Deeper than any real response, and far from the recursion limit.
MAX_DEPTH = 100
# json refuses to write integers above 4300 digits (sys.set_int_max_str_digits); this is a bit below.
_MAX_INT_BITS = 14_000
# Below, no number is long enough to be that of a card.
_MAX_PLAIN_INT = 10**12
# What a number, a key or a bracket takes from the budget of characters.
_NODE_COST = 8
# There may be one value for so many characters of the budget: they take about the same time.
_CHARS_PER_NODE = 150
_MIN_NODES = 100
# A model with more parts than this is walked field by field, within the budget, rather than dumped whole: its parts
# are counted first, which takes some 10 ms for as many.
_MAX_DUMP = 50_000
_PAIR = 2
# What is scrubbed, and then dropped, beyond the end of a text that is cut: a secret is not left there in part.
MARGIN = 4096

_ARRAYS: tuple[Any, ...] = (list, tuple, set, frozenset, deque)
# Not every Mapping: a web request is one too, and a walk through it would lay open what its repr keeps to itself.
_MAPPINGS = (types.MappingProxyType, UserDict, ChainMap)
_PARTED = (*_ARRAYS, *_MAPPINGS, dict, BaseModel, types.SimpleNamespace)
_TEXT_FORMS = (
    dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID, pathlib.Path, complex,
)  # fmt: skip


class Scrub(Protocol):
    """Takes secrets out of what is captured (see ``redaction.py``)."""

    def text(self, text: str) -> str:
        """*text* without the secrets in it."""
        ...

    def hides(self, name: str, value: object) -> bool:
        """Whether *value*, which stands under *name*, is a secret as a whole."""
        ...

    def representation(self, text: str) -> str:
        """The ``repr`` of an object without what stands in it under the name of a secret."""
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


def plain_text(text: str, length: int, *, max_chars: int, scrub: Scrub | None) -> str:
    """The beginning of a text of *length* characters: *text*, of which ``MARGIN`` more than *max_chars* is enough."""
    return _Walk(max_chars, scrub).text(text, length)


def dumps(data: Json) -> str:
    """*data* as compact JSON text, non-ASCII characters as they are."""
    return to_json(data).decode()


class _Walk:
    """One value's walk: what may still be written, and which containers we are inside of."""

    __slots__ = ("inside", "left", "nodes", "scrub")

    def __init__(self, max_chars: int | None, scrub: Scrub | None) -> None:
        self.left = math.inf if max_chars is None else max_chars
        self.nodes = math.inf if max_chars is None else max(_MIN_NODES, max_chars // _CHARS_PER_NODE)
        self.scrub = scrub
        self.inside: set[int] = set()

    def visit(self, value: Any) -> Json:
        """The plain form of *value*; user code that fails gives a stand-in."""
        self.left -= _NODE_COST
        self.nodes -= 1
        # Never isinstance(): a value may lie about its class, or raise when it is asked.
        kind: type[Any] = type(value)
        if kind is str:
            return self.text(value)
        if value is None or kind is bool or (kind is int and -_MAX_PLAIN_INT < value < _MAX_PLAIN_INT):
            return value  # type: ignore[no-any-return]  # `is` does not narrow
        try:
            # The two that there are most of, first.
            has_parts = kind is dict or kind is list or _has_parts(kind)
            return self.parted(value, kind) if has_parts else self.scalar(value, kind)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # User code (a property, an iterator) may raise anything.
            return self.odd(value)

    # --- values without parts ---

    def scalar(self, value: Any, kind: type[Any]) -> Json:  # noqa: PLR0911  # one for each form
        if issubclass(kind, Enum):
            return self.visit(value.value)
        if issubclass(kind, str):
            return self.text(str.__str__(value))
        if issubclass(kind, int):
            number = int.__index__(value)
            if number.bit_length() > _MAX_INT_BITS:
                return f"<int of {number.bit_length()} bits>"
            digits = str(number)
            return number if self.clean(digits) == digits else REDACTED
        if issubclass(kind, float):
            real = float.__float__(value)
            return real if math.isfinite(real) else None
        if issubclass(kind, (bytes, bytearray)):
            return self.octets(value)
        if issubclass(kind, _TEXT_FORMS) or _is_of_pydantic(kind):
            return self.text(str(to_jsonable_python(value)))
        return self.odd(value)

    def octets(self, value: bytes | bytearray) -> str:
        """Bytes as text where they are UTF-8, else their number."""
        if len(value) <= self.left:
            with contextlib.suppress(UnicodeDecodeError):
                return self.text(bytes(value).decode())
        return f"<{len(value)} bytes>"

    def odd(self, value: object) -> Json:
        """The stand-in of *value*."""
        text = stand_in(value)
        return self.text(text if self.scrub is None else self.scrub.representation(text))

    def text(self, text: str, length: int | None = None) -> str:
        """Well-formed text within the budget, without secrets. *text* may be the beginning of one of *length*."""
        length = length or len(text)
        if length > self.left:
            kept = max(0, int(self.left))
            head = self.clean(text[: kept + MARGIN])
            if length > kept + MARGIN:
                head = head[:-MARGIN]
            text = f"{head[:kept]}… [{length - kept} of {length} characters left out]"
        else:
            text = self.clean(text)
        self.left -= len(text)
        return text

    def clean(self, text: str) -> str:
        text = well_formed(text)
        return text if self.scrub is None else self.scrub.text(text)

    # --- values with parts ---

    def parted(self, value: Any, kind: type[Any]) -> Json:  # noqa: PLR0911  # as above
        """A value with parts, unless we are inside of it already, or too deep."""
        if id(value) in self.inside:
            return f"<circular {kind_name(kind)}>"
        if len(self.inside) >= MAX_DEPTH:
            return f"<{kind_name(kind)}, nested deeper than {MAX_DEPTH} levels>"
        self.inside.add(id(value))
        try:
            if kind is list:
                return self.array(value, kind)
            if issubclass(kind, BaseModel):
                return self.model(value)
            if issubclass(kind, tuple) and hasattr(kind, "_fields"):
                return self.named_tuple(value)
            if issubclass(kind, _ARRAYS):
                return self.array(value, kind)
            if issubclass(kind, dict):
                length = dict.__len__(value)
                most = self.most(length)
                # In one step: another thread may be changing it.
                return self.mapping(list(islice(dict.items(value), most)), length - most)
            return self.mapping(_members(value, kind))
        finally:
            self.inside.discard(id(value))

    def model(self, value: Any) -> Json:
        """The model's own dump: by field name, excluded fields left out, secrets masked."""
        if _has_few_parts(value, self.most(_MAX_DUMP)):
            with contextlib.suppress(ValueError):  # A field cannot be dumped (bytes that are not UTF-8, ...).
                dumped = to_jsonable_python(value, by_alias=False, inf_nan_mode="constants", fallback=stand_in)
                return self.visit(dumped)
        fields = type(value).model_fields
        return self.mapping([(n, part) for n, part in vars(value).items() if n not in fields or not fields[n].exclude])

    def named_tuple(self, value: Any) -> Json:
        """An array, as the platform's contract has it; its names tell what is a secret."""
        named: Iterable[tuple[str, Any]] = zip(type(value)._fields, tuple.__iter__(value))  # noqa: B905
        return [REDACTED if self.hides(name, part) else self.visit(part) for name, part in named]

    def array(self, value: Any, kind: type[Any]) -> Json:
        """An array; where the budget ends, its last item says how many were left out."""
        # The built-in type's own way to read it: a subclass may have another one, without an end.
        own = list if kind is list else next(base for base in _ARRAYS if issubclass(kind, base))
        length: int = own.__len__(value)
        most = self.most(length)
        # Lists and tuples in one step, since another thread may be changing them.
        items: list[Any] = list(
            own.__getitem__(value, slice(most)) if own in {list, tuple} else islice(own.__iter__(value), most)
        )
        out: list[Json] = []
        for item in items:
            if self.left <= 0 or self.nodes <= 0:
                break
            hidden = len(out) == 1 and length == _PAIR and self.hides(self.pair_name(items[0]), item)
            out.append(REDACTED if hidden else self.visit(item))
        if len(out) < length:
            out.append(f"… {length - len(out)} more items left out")
        return out

    def pair_name(self, value: object) -> str:
        """The name in a pair of name and value, as lists of headers have them."""
        if type(value) is bytes:
            return value.decode("latin-1")
        return value if type(value) is str else ""

    def most(self, length: int) -> int:
        """How many of *length* parts may be looked at."""
        if self.left == math.inf:
            return length
        return int(min(length, max(0, self.left) // _NODE_COST + 1, max(0, self.nodes) + 1))

    def mapping(self, members: Iterable[tuple[object, object]], left_out: int = 0) -> Json:
        """An object; where the budget ends, the number of left out members is one of its members."""
        out: dict[str, Json] = {}
        for key, value in members:
            if self.left <= 0 or self.nodes <= 0:
                left_out += 1
                continue
            name = key if type(key) is str else self.key(key)
            hidden = self.hides(name, value)
            name = self.text(name)  # Before its value, which may use up what is left.
            out[name] = REDACTED if hidden else self.visit(value)
        if left_out:
            out["…"] = f"{left_out} more members left out"
        return out

    def key(self, key: Any) -> str:
        """A text key: as the platform's contract has it for what is not text."""
        kind: type[Any] = type(key)
        if kind is bool:
            return "true" if key else "false"
        if issubclass(kind, tuple):
            parts: Iterable[Any] = tuple.__iter__(key)
            return ",".join(map(self.key, parts))
        form = self.visit(key)
        return form if isinstance(form, str) else str(form)

    def hides(self, name: str, value: object) -> bool:
        return self.scrub is not None and self.scrub.hides(name, value)


def _has_parts(kind: type[Any]) -> bool:
    return issubclass(kind, _PARTED) or dataclasses.is_dataclass(kind)


def _members(value: Any, kind: type[Any]) -> Iterable[tuple[object, object]]:
    if issubclass(kind, _MAPPINGS):
        return [(key, value[key]) for key in value]
    if issubclass(kind, types.SimpleNamespace):
        return list(vars(value).items())
    return [(field.name, attribute(value, field.name)) for field in dataclasses.fields(value)]


def _is_of_pydantic(kind: type[Any]) -> bool:
    """SecretStr, Url and the like, which have a form of their own; not its iterators, which would be consumed."""
    return str(kind.__dict__.get("__module__", "")).startswith("pydantic") and not hasattr(kind, "__next__")


def _has_few_parts(value: Any, most: int) -> bool:
    """
    Whether a model's dump would have *most* parts or fewer: what is in it twice counts twice.

    False, where the dump would not end, or would consume an iterator that its owner still wants to read.
    """
    waiting = [value]
    for _ in range(most):
        if not waiting:
            return True
        part = waiting.pop()
        if hasattr(type(part), "__next__"):
            return False
        parts = _parts_of(part)
        if len(waiting) + len(parts) > most:
            return False
        waiting.extend(parts)
    return not waiting


def _parts_of(value: Any) -> list[Any]:
    kind: type[Any] = type(value)
    if kind is str or kind is float or kind is int or value is None:
        return []
    if issubclass(kind, BaseModel):
        return list(vars(value).values())
    if issubclass(kind, dict):
        return list(dict.copy(value).values())
    if issubclass(kind, (list, tuple, set, frozenset, deque)):
        return list(value)
    if dataclasses.is_dataclass(kind):
        return [attribute(value, field.name) for field in dataclasses.fields(value)]
    return []
