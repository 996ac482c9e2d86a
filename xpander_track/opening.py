"""An open run around a piece of code: what was decided for it, where it is current, how it is left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import inheritance, settings
from .boundary import misuse, quietly
from .current import Entry
from .driving import Scope
from .platform import Configuration
from .run import NO_RUN, Run, current_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from .capture import Items, Parameters
    from .tool_call import ToolCall


class OpenRun(Scope):
    """An open run, and where it is current."""

    __slots__ = ("_entry", "_seconds", "run")

    def __init__(self, run: Run, seconds: float | None) -> None:
        self.run = run
        self._entry: Entry | None = None
        self._seconds = seconds

    def enter(self) -> None:
        """The run is current here."""
        if self.run is not NO_RUN:
            with quietly("hand runs on to tasks and threads"):
                inheritance.ensure()
            self._entry = Entry(self.run)

    def leave(self) -> None:
        """It is not current any more where it was entered last."""
        if self._entry is not None:
            self._entry.leave()

    def is_here(self) -> bool:
        """Whether it was entered by this task or thread."""
        return self._entry is not None and self._entry.is_here()

    def keep(self, item: object) -> None:
        """A generator's body has given *item*."""
        self.run.add_item(item)

    def end(self, error: BaseException | None, returned: object = None) -> None:
        """The body has ended. Wait for the platform's Task, if that was asked for; never inside a running loop."""
        self._close(error, returned)
        if self._waits(error) and asyncio._get_running_loop() is None:  # noqa: SLF001  # the way that does not raise
            self.run.reported(self._seconds)

    async def aend(self, error: BaseException | None, returned: object = None) -> None:
        """The same, but waiting is possible."""
        self._close(error, returned)
        if self._waits(error):
            await self.run.areported(self._seconds)

    def _close(self, error: BaseException | None, returned: object) -> None:
        with quietly("make a run current no more"):
            self.leave()
        self.run.end(error, returned)

    def _waits(self, error: BaseException | None) -> bool:
        # Who was cancelled, or is to exit, must not be kept.
        may_wait = error is None or isinstance(error, Exception)
        return may_wait and bool(self._seconds) and self.run is not NO_RUN and not self.run.is_held_up()


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
