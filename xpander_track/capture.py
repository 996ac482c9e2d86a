"""What a run was given and what came of it, as bounded text without secrets."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from .plain import Json, dumps, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .redaction import Redaction

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Capture:
    """
    Turns what users hand us into what is kept of it.

    Args:
        max_chars: About how many characters are kept of one value; the rest is cut and marked.
        redaction: Takes secrets out.
    """

    __slots__ = ("max_chars", "redaction")

    def __init__(self, max_chars: int, redaction: Redaction) -> None:
        self.max_chars = max_chars
        self.redaction = redaction

    def data(self, value: object) -> Json:
        """*value* as JSON data."""
        return plain(value, max_chars=self.max_chars, scrub=self.redaction)

    def text(self, value: object) -> str | None:
        """None as it is, a text as a text, anything else as compact JSON."""
        data = self.data(value)
        return data if data is None or isinstance(data, str) else dumps(data)

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


class Parameters:
    """
    The parameters of a function, read once; then any call's arguments by name.

    A call that the function itself would refuse is not refused here: that is the function's business.

    Args:
        function: What is called.
    """

    __slots__ = ("_defaults", "_keywords", "_more_keywords", "_more_positional", "_names", "_positional")

    def __init__(self, function: Callable[..., Any]) -> None:
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
        self._names = [parameter.name for parameter in parameters]
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
        return len(self._names) - bound == 1 and not self._more_positional and not self._more_keywords

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object], *, bound: bool) -> dict[str, object]:
        """
        The arguments by name, in the order of the signature, defaults included.

        Args:
            args: Positional arguments, without a receiver.
            kwargs: Keyword arguments.
            bound: The first parameter is a receiver (``self``, ``cls``), which is left out.
        """
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
        names = self._names[1:] if bound else self._names
        return {name: every[name] for name in names or every if name in every}
