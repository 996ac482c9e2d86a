"""An open run around a piece of code: what was decided for it, where it is current, how it is left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import settings
from .boundary import quietly
from .current import Stack, current_run, enter, leave
from .platform import Configuration
from .run import NO_RUN, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from .capture import Parameters


class OpenRun:
    """An open run, and where it is current."""

    __slots__ = ("_seconds", "run", "stack")

    def __init__(self, run: Run, seconds: float | None) -> None:
        self.run = run
        self.stack: Stack = []
        self._seconds = seconds
        if run is not NO_RUN:
            with quietly("make a run current"):
                self.stack = enter(run)

    def close(self, error: BaseException | None, returned: object = None) -> None:
        """The body has ended."""
        with quietly("make a run current no more"):
            leave(self.run, self.stack)
        with quietly("end a run"):
            self.run.end(error, returned)

    def wait(self, error: BaseException | None = None) -> None:
        """Wait for the platform's Task, if that was asked for; never inside a running loop."""
        with quietly("wait for a run's report"):
            if self._waits(error) and asyncio._get_running_loop() is None:  # noqa: SLF001  # the way that does not raise
                self.run.reported(self._seconds)

    async def await_(self, error: BaseException | None = None) -> None:
        """``wait`` for asynchronous code."""
        with quietly("wait for a run's report"):
            if self._waits(error):
                await self.run.areported(self._seconds)

    def _waits(self, error: BaseException | None) -> bool:
        # Who was cancelled, or is to exit, must not be kept.
        may_wait = error is None or isinstance(error, Exception)
        return may_wait and bool(self._seconds) and self.run is not NO_RUN and not self.run.is_held_up()


@dataclass(frozen=True)
class Options:
    """What one decoration, or one ``tracked_task``, has decided."""

    agent_id: str | None
    id: str | Callable[..., str] | None
    input: object
    wait: float | None
    capture_input: bool | None
    capture_result: bool | None
    configuration: Configuration | None

    def check(self) -> None:
        """Raise for what can be told to be wrong at once."""
        settings.check_text("agent_id", self.agent_id)
        if not callable(self.id):
            settings.check_text("id", self.id)
        settings.check_seconds("wait", self.wait)
        settings.check_flag("capture_input", self.capture_input)
        settings.check_flag("capture_result", self.capture_result)
        if self.configuration is not None and not isinstance(self.configuration, Configuration):
            raise TypeError(f"configuration must be a Configuration, not {type(self.configuration).__name__}.")

    def check_for_function(self) -> None:
        """Raise for what a decorator cannot do."""
        if self.input is not None and not isinstance(self.input, str) and not callable(self.input):
            raise TypeError(f"input must be a text or a function of the arguments, not {type(self.input).__name__}.")

    def check_for_block(self) -> None:
        """Raise for what only a decorator can do."""
        for name in ("id", "input"):
            if callable(getattr(self, name)):
                raise TypeError(
                    f"{name} is a function of a call's arguments; a block has none. Give the {name} itself."
                )

    def begin(self, name: str | None = None, call: Call | None = None) -> OpenRun:
        """A run begins here: with the arguments of *call*, or those of a block."""
        decided = settings.current()
        run: Run = NO_RUN
        with quietly("begin a run"):
            if decided.is_enabled():
                run = Run(
                    agent_id=self.agent_id,
                    id=self._id(call),
                    name=name,
                    configuration=self.configuration,
                    capture_result=self.capture_result,
                    outer=current_run(),
                )
                keeps_input = decided.capture_input if self.capture_input is None else self.capture_input
                run.begin(self._input(run, call) if keeps_input else None)
        return OpenRun(run, decided.wait if self.wait is None else self.wait)

    def _id(self, call: Call | None) -> str | None:
        if call is None or not callable(self.id):
            return self.id  # type: ignore[return-value]  # check_for_block() has seen to that
        with quietly("compute a run's id", calls_user_code=True):
            computed: object = self.id(*call.args, **call.kwargs)
            if not isinstance(computed, str) or not computed:
                raise TypeError(f"id=... must give a text that is not empty, not {type(computed).__name__}")
            return computed
        return None

    def _input(self, run: Run, call: Call | None) -> str | None:
        with quietly("record a run's input", calls_user_code=True):
            if call is not None and callable(self.input):
                return run.capture.text(self.input(*call.args, **call.kwargs))
            if call is not None and self.input is None:
                return run.capture.arguments(call.arguments(), lone=call.is_lone())
            return run.capture.text(self.input)
        return None


@dataclass(frozen=True)
class Call:
    """One call of a decorated function."""

    parameters: Parameters
    is_bound: bool  # The receiver is not among the arguments.
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def arguments(self) -> dict[str, object]:
        """The arguments by name."""
        return self.parameters.bind(self.args, self.kwargs, bound=self.is_bound)

    def is_lone(self) -> bool:
        """Whether the function has one parameter."""
        return self.parameters.lone(bound=self.is_bound)
