"""What a run was given and what came of it, as bounded text without secrets."""

# Callables of any type are what this file is about:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from .describe import describe_error, well_formed
from .plain import MARGIN, Json, dumps, plain, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .redaction import Redaction

_MAX_NAMES = 1_000
# How much more of a raw response is kept than of other values.
_RAW = 10
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Capture:
    """
    Turns what users hand us into what is kept of it.

    Args:
        max_chars: About how many characters are kept of one value; the rest is cut and marked.
        redaction: Takes secrets out.
    """

    __slots__ = ("_names", "max_chars", "redaction")

    def __init__(self, max_chars: int, redaction: Redaction) -> None:
        self.max_chars = max_chars
        self.redaction = redaction
        self._names: dict[str, str] = {}

    def name(self, name: str) -> str:
        """The name of a tool: well-formed, and without secrets."""
        if type(name) is not str:
            name = str.__str__(name)
        kept = self._names.get(name)  # They come again and again.
        if kept is None:
            kept = self.redaction.text(well_formed(name))
            if len(self._names) < _MAX_NAMES:
                self._names[name] = kept
        return kept

    def data(self, value: object) -> Json:
        """*value* as JSON data."""
        return plain(value, max_chars=self.max_chars, scrub=self.redaction)

    def raw(self, value: object) -> Json:
        """A raw response: as ``data``, but more of it is kept."""
        return plain(value, max_chars=_RAW * self.max_chars, scrub=self.redaction)

    def text(self, value: object) -> str | None:
        """None as it is, a text as a text, anything else as compact JSON."""
        data = self.data(value)
        return data if data is None or isinstance(data, str) else dumps(data)

    def error(self, error: BaseException) -> str:
        """An exception as a text. Its message, like the ``repr`` of an object, may have secrets under their names."""
        described = describe_error(error)
        head = self.redaction.representation(described[: self.max_chars + MARGIN])
        return plain_text(head, len(described), max_chars=self.max_chars, scrub=self.redaction)

    def arguments(self, arguments: Mapping[str, object], *, lone: bool) -> str | None:
        """
        Arguments by name as text.

        Args:
            arguments: As ``Parameters.bind`` gives them.
            lone: There is one parameter, whose text then is the text.
        """
        if not arguments:
            return None
        data = self.data(arguments)
        if lone and isinstance(data, dict) and len(data) == 1:
            (value,) = arguments.values()
            (kept,) = data.values()
            if issubclass(type(value), str) and isinstance(kept, str):
                return kept
        return dumps(data)


class Items:
    """
    What a stream gives, kept within the budget of one value: texts are joined at the end, else it is a list.

    Args:
        capture: How it is kept. Every item is read when it is given: later changes do not show.
    """

    __slots__ = ("_capture", "_chunks", "_items", "_left", "_left_out", "_length")

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._left = capture.max_chars
        # As long as there is nothing but text, it is kept as it is: a secret may be spread over several chunks.
        self._chunks: list[str] | None = []
        self._length = 0
        self._items: list[Json] = []
        self._left_out = 0

    def add(self, item: object) -> None:
        """The stream has given *item*."""
        if self._chunks is not None:
            if type(item) is str:
                if self._length < self._capture.max_chars + MARGIN:
                    self._chunks.append(item)
                self._length += len(item)
                return
            chunks, self._chunks = self._chunks, None
            for chunk in chunks:
                self._add(chunk)
        self._add(item)

    def _add(self, item: object) -> None:
        if self._left <= 0:
            self._left_out += 1
            return
        data = plain(item, max_chars=self._left, scrub=self._capture.redaction)
        self._items.append(data)
        self._left -= len(dumps(data)) + 1

    def text(self) -> str:
        """What was given so far, as text."""
        data = self.data()
        return data if isinstance(data, str) else dumps(data)

    def data(self) -> Json:
        """What was given so far."""
        if self._chunks is not None:
            text = "".join(self._chunks)
            redaction = self._capture.redaction
            return plain_text(text, self._length, max_chars=self._capture.max_chars, scrub=redaction)
        marks: list[Json] = [f"… {self._left_out} more items left out"] if self._left_out else []
        return [*self._items, *marks]


class Parameters:
    """
    The parameters of a function, read once; then any call's arguments by name.

    A call that the function itself would refuse is not refused here: that is the function's business. Of a ``partial``
    what it was made with counts among the arguments.

    Args:
        function: What is called.
    """

    __slots__ = (
        "_defaults", "_given", "_given_by_name", "_keywords", "_more_keywords", "_more_positional", "_positional",
        "names",
    )  # fmt: skip

    def __init__(self, function: Callable[..., Any]) -> None:
        self._given: tuple[Any, ...] = ()
        self._given_by_name: dict[str, Any] = {}
        while isinstance(function, functools.partial):
            partial: Any = function
            self._given = (*partial.args, *self._given)
            self._given_by_name = {**partial.keywords, **self._given_by_name}
            function = partial.func
        if self._given and _is_method_of(function, self._given[0]):
            function, self._given = function.__get__(self._given[0]), self._given[1:]
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):  # Some built-ins have none.
            parameters = [
                inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
            ]
        self._read(parameters)

    def _read(self, parameters: list[inspect.Parameter]) -> None:
        kinds = {parameter.kind: parameter.name for parameter in parameters}
        self._positional = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
        self.names = [parameter.name for parameter in parameters]
        self._keywords = {
            parameter.name
            for parameter in parameters
            if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        }
        self._defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
        self._more_positional = kinds.get(inspect.Parameter.VAR_POSITIONAL)
        self._more_keywords = kinds.get(inspect.Parameter.VAR_KEYWORD)

    def lone(self, *, bound: bool) -> bool:
        """Whether there is one parameter, a receiver not counted."""
        return len(self.names) - bound == 1 and not self._more_positional and not self._more_keywords

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object], *, bound: bool) -> dict[str, object]:
        """
        The arguments by name, in the order of the signature, defaults included.

        Args:
            args: Positional arguments, without a receiver.
            kwargs: Keyword arguments.
            bound: The first parameter is a receiver (``self``, ``cls``), which is left out.
        """
        args = (*self._given, *args)
        kwargs = {**self._given_by_name, **kwargs}
        positional = self._positional[1:] if bound else self._positional
        given = dict(zip(positional, args))  # noqa: B905  # more arguments than names is the rule with *args
        more: dict[str, object] = {}
        for name, value in kwargs.items():
            (given if name in self._keywords else more)[name] = value
        if self._more_positional:
            given[self._more_positional] = list(args[len(positional) :])
        if self._more_keywords:
            given[self._more_keywords] = more
        every = {**self._defaults, **given}
        names = self.names[1:] if bound else self.names
        return {name: every[name] for name in names or every if name in every}


def _is_method_of(function: Any, first: object) -> bool:
    """Whether *first*, as the first argument of *function*, is its receiver."""
    name = str(getattr(function, "__name__", ""))
    return hasattr(function, "__get__") and any(base.__dict__.get(name) is function for base in type(first).__mro__)
