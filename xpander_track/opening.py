"""An open run around a piece of code: what was decided for it, where it is current, how it is left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import inheritance, settings
from .boundary import caught, misuse, quietly
from .current import Entry, here, innermost_run
from .decided import decided
from .driving import Scope
from .platform import Configuration
from .run import NO_RUN, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from .capture import Items, Parameters
    from .tool_call import ToolCall


class OpenRun(Entry, Scope):
    """An open run, and where it is current."""

    __slots__ = ("_seconds",)

    def __init__(self, run: Run, seconds: float | None) -> None:
        self.run = run
        self._place = None
        self._seconds = seconds

    def enter(self) -> None:
        """The run is current here."""
        if self.run is not NO_RUN:
            try:
                inheritance.ensure()
            except Exception as error:  # noqa: BLE001  # whatever it is, the run goes on
                caught("hand runs on to tasks and threads", error)
            self._place = place = here()  # What Entry does, without the calls: a third of a microsecond.
            place.entered.append(self)

    def keep(self, item: object) -> None:
        """A generator's body has given *item*."""
        self.run.add_item(item)

    def end(self, error: BaseException | None, returned: object = None) -> None:
        """The body has ended. Wait for the platform's Task, if that was asked for; never inside a running loop."""
        self._close(error, returned)
        # The way that does not raise, where no loop runs:
        if self._seconds and self._may_wait(error) and asyncio._get_running_loop() is None:  # noqa: SLF001
            self.run.reported(self._seconds)

    async def aend(self, error: BaseException | None, returned: object = None) -> None:
        """The same, but waiting is possible."""
        self._close(error, returned)
        if self._seconds and self._may_wait(error):
            await self.run.areported(self._seconds)

    def _close(self, error: BaseException | None, returned: object) -> None:
        try:
            self.leave()
        except Exception as own:  # noqa: BLE001  # whatever it is, the run is reported
            caught("make a run current no more", own)
        if self._seconds:
            self.run.make_known()
        self.run.end(error, returned)

    def _may_wait(self, error: BaseException | None) -> bool:
        # Who was cancelled, or is to exit, must not be kept.
        return (error is None or isinstance(error, Exception)) and self.run is not NO_RUN and not self.run.is_held_up()


class OpenTool(Scope):
    """A call of a tool that is going on."""

    __slots__ = ("_call", "_items")

    def __init__(self, call: ToolCall) -> None:
        self._call = call
        self._items: Items | None = None
        call.__enter__()

    def keep(self, item: object) -> None:
        """The tool, a generator, has given *item*."""
        if self._items is None:
            self._items = self._call.items()
        self._items.add(item)

    def end(self, error: BaseException | None, returned: object = None) -> None:
        """The call has ended. A consumer that stops reading is no error."""
        self._call.__exit__(None, None if isinstance(error, GeneratorExit) else error, None)
        self._call.set_result(returned if self._items is None else self._items.data())


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
            raise misuse(TypeError(f"configuration must be a Configuration, not {type(self.configuration).__name__}."))

    def check_for_function(self) -> None:
        """Raise for what a decorator cannot do."""
        if self.input is not None and not isinstance(self.input, str) and not callable(self.input):
            raise misuse(
                TypeError(f"input must be a text or a function of the arguments, not {type(self.input).__name__}.")
            )

    def check_for_block(self) -> None:
        """Raise for what only a decorator can do."""
        for name in ("id", "input"):
            if callable(getattr(self, name)):
                raise misuse(
                    TypeError(f"{name} is a function of a call's arguments; a block has none. Give the {name} itself.")
                )

    def begin(self, name: str | None = None, call: Call | None = None) -> OpenRun:
        """A run begins here: with the arguments of *call*, or those of a block."""
        run: Run = NO_RUN
        seconds = self.wait
        try:
            now = decided()
            if now.is_enabled:
                decisions = now.settings
                seconds = decisions.wait if seconds is None else seconds
                keeps_input = decisions.capture_input if self.capture_input is None else self.capture_input
                keeps_result = decisions.capture_result if self.capture_result is None else self.capture_result
                agent_id, own = self.agent_id, self.configuration
                if own is not None:
                    agent_id = agent_id or own.agent_id
                run_id = self._id_of(call, self.id) if callable(self.id) else self.id
                run = Run(now, run_id, agent_id, name, own, innermost_run(), keeps_result=keeps_result)
                run.begin(self._input(run, call) if keeps_input else None)
        except Exception as error:  # noqa: BLE001  # whatever it is, the user's code runs
            caught("begin a run", error)
        return OpenRun(run, seconds)

    def _id_of(self, call: Call | None, function: Callable[..., object]) -> str | None:
        with quietly("compute a run's id", calls_user_code=True):
            assert call is not None  # check_for_block() has seen to that.
            computed = function(*call.args, **call.kwargs)
            if not isinstance(computed, str) or not computed:
                raise TypeError(f"id=... must give a text that is not empty, not {type(computed).__name__}")
            return computed
        return None

    def _input(self, run: Run, call: Call | None) -> str | None:
        if self.input is None and (call is None or not (call.args or call.kwargs or call.parameters.names)):
            return None  # Nothing was given, and nothing could be.
        with quietly("record a run's input", calls_user_code=True):
            if call is not None and callable(self.input):
                return run.capture.text(self.input(*call.args, **call.kwargs))
            if call is not None and self.input is None:
                return run.capture.arguments(call.arguments(), lone=call.is_lone())
            return run.capture.text(self.input)
        return None


class Call:
    """
    One call of a decorated function.

    Args:
        parameters: Those of the function.
        is_bound: The receiver is not among the arguments.
        args: Its arguments.
        kwargs: Those by name.
    """

    __slots__ = ("_is_bound", "args", "kwargs", "parameters")

    def __init__(
        self, parameters: Parameters, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_bound: bool
    ) -> None:
        self.parameters = parameters
        self.args = args
        self.kwargs = kwargs
        self._is_bound = is_bound

    def arguments(self) -> dict[str, object]:
        """The arguments by name."""
        return self.parameters.bind(self.args, self.kwargs, bound=self._is_bound)

    def is_lone(self) -> bool:
        """Whether the function has one parameter."""
        return self.parameters.lone(bound=self._is_bound)
