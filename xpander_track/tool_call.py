"""One call of a tool inside a run."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

from .boundary import guarded
from .capture import Items

if TYPE_CHECKING:
    from types import TracebackType

    from .capture import Capture
    from .run import Run


class ToolCall:
    """
    One call of a tool, as ``run.tool`` hands it out.

    ``name``, ``arguments``, ``result``, ``error`` and ``duration`` (seconds) are what is known of it.
    """

    __slots__ = ("_capture", "_run", "_started", "arguments", "duration", "error", "name", "result")

    def __init__(self, name: str, capture: Capture, run: Run | None = None) -> None:
        self.name = name
        self._capture = capture
        # Weak: the run has its calls.
        self._run = None if run is None else weakref.ref(run)
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
        self,
        *,
        arguments: object = None,
        result: object = None,
        error: BaseException | str | None = None,
        duration: float | None = None,
    ) -> None:
        """What is known of the call; None is nothing new."""
        if arguments is not None:
            self.arguments = self._capture.data(arguments)
        if result is not None:
            self.result = self._capture.data(result)
        if error is not None:
            self.error = self._capture.error(error) if isinstance(error, BaseException) else self._capture.text(error)
        if duration is not None:
            self.duration = duration

    def items(self) -> Items:
        """Keeps what the tool gives, if it is a stream."""
        return Items(self._capture)

    @guarded("record a tool call")
    def _begin(self) -> None:
        run = None if self._run is None else self._run()
        if run is not None:
            run.add_tool(self)

    def as_data(self) -> dict[str, Any]:
        """What is known of it, by name."""
        data: dict[str, Any] = {"name": self.name}
        if self.arguments is not None:
            data["arguments"] = self.arguments
        if self.result is not None:
            data["result"] = self.result
        if self.error is not None:
            data["error"] = self.error
        if self.duration is not None:
            data["duration"] = self.duration
        return data

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
