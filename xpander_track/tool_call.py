"""One call of a tool inside a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .boundary import guarded
from .capture import Items
from .describe import describe_error

if TYPE_CHECKING:
    from types import TracebackType

    from .run import Run


class ToolCall:
    """
    One call of a tool, as ``run.tool`` hands it out.

    ``name``, ``arguments``, ``result``, ``error`` and ``duration`` (seconds) are what is known of it.
    """

    __slots__ = ("_run", "_started", "arguments", "duration", "error", "name", "result")

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self.name = name
        self.arguments: Any = None
        self.result: Any = None
        self.error: str | None = None
        self.duration: float | None = None
        self._started = 0.0

    @guarded("record a tool's result")
    def set_result(self, value: object) -> None:
        """What the tool gave: anything."""
        self.note(result=value)

    def note(
        self, *, result: object = None, error: BaseException | str | None = None, duration: float | None = None
    ) -> None:
        """What is known of the call, now that it has happened."""
        capture = self._run.capture
        if result is not None:
            self.result = capture.data(result)
        if error is not None:
            self.error = capture.text(describe_error(error) if isinstance(error, BaseException) else error)
        if duration is not None:
            self.duration = duration

    def items(self) -> Items:
        """Keeps what the tool gives, if it is a stream."""
        return Items(self._run.capture)

    @guarded("record a tool call")
    def _begin(self) -> None:
        self._run.add_tool(self)

    def as_data(self) -> dict[str, Any]:
        """What is known of it, by name."""
        names = ("name", "arguments", "result", "error", "duration")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def __enter__(self) -> ToolCall:
        self._started = time.perf_counter()
        self._begin()
        return self

    @guarded("record a tool call")
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        duration = time.perf_counter() - self._started
        self.note(error=error, duration=duration)

    async def __aenter__(self) -> ToolCall:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
