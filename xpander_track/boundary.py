"""
The one boundary between our trouble and the user's code.

Whatever goes wrong in a step of ours while the user's code runs ends here: one log line for each kind of trouble, the
rest only counted. Ctrl-C, cancellation and ``SystemExit`` are the user's and pass. Tests set ``reraise``, so that
nothing hides behind it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import sys
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from .describe import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Exception)

logger = logging.getLogger("xpander_track")

_PACKAGE = __name__.partition(".")[0]

reraise = False
troubles = 0

_said: set[str] = set()
_MAX_SAID = 1000


class quietly:  # noqa: N801  # reads as what it does: `with quietly("record a tool call"):`
    """
    Runs a step of ours; if it fails, the user's code goes on as if we were not there.

    Args:
        step: What is being done, to complete the sentence "could not ...".
        calls_user_code: A function that the user has handed us is called in it: that may even raise ``SystemExit``.
    """

    __slots__ = ("calls_user_code", "step")

    def __init__(self, step: str, *, calls_user_code: bool = False) -> None:
        self.step = step
        self.calls_user_code = calls_user_code

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        ours = (Exception, SystemExit) if self.calls_user_code else Exception
        if not isinstance(error, ours) or reraise:
            return False
        trouble(self.step, error)
        return True


def guarded(step: str, instead: Callable[..., Any] | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Decorates what user code calls, a function or coroutine function: nothing but misuse and what is theirs comes out.

    Args:
        step: What is being done, to complete the sentence "could not ...".
        instead: Called with the same arguments for what to give back in place of a result. Default: None is given.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        def failed(error: Exception, args: Any, kwargs: Any) -> Any:
            if _was_never_entered(error):
                raise error
            caught_unless_misuse(step, error)
            return None if instead is None else instead(*args, **kwargs)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  # whatever it is
                return failed(error, args, kwargs)

        @functools.wraps(function)
        async def await_(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return await cast("Any", function)(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  # whatever it is
                return failed(error, args, kwargs)

        return cast("Callable[P, R]", await_ if inspect.iscoroutinefunction(function) else call)

    return decorate


def _was_never_entered(error: Exception) -> bool:
    """Whether the call itself was wrong: arguments that the function does not have. That is misuse."""
    return type(error) is TypeError and (error.__traceback__ is None or error.__traceback__.tb_next is None)


def caught(step: str, error: BaseException) -> None:
    """What ``quietly`` does with an error, for places where that would be one more call that can fail."""
    if reraise:
        raise error
    trouble(step, error)


def caught_unless_misuse(step: str, error: Exception) -> None:
    """What ``guarded`` does with an error, for a function where one more call around it would count."""
    if getattr(error, "is_misuse", False):
        raise error
    caught(step, error)


def misuse(error: E) -> E:
    """*error*, which tells users of a mistake of theirs: it passes the boundary."""
    error.is_misuse = True  # type: ignore[attr-defined]  # exceptions take any attribute
    return error


def trouble(step: str, error: BaseException) -> None:
    """Count, and the first time log, that *step* could not be done."""
    global troubles  # noqa: PLW0603  # a process-wide counter
    troubles += 1
    try:
        topic = f"{step}: {type(error).__name__}"
        say_once(topic, "Could not %s: %s. Your code is not affected.", step, describe_error(error))
        logger.debug("Could not %s.", step, exc_info=error)
    except Exception:  # noqa: BLE001, S110  # At the recursion limit, or without memory, this fails as well.
        pass


def say_once(topic: str, message: str, *values: object) -> None:
    """Log a warning, unless something on this *topic* was said before."""
    if topic in _said or len(_said) >= _MAX_SAID:
        return
    _said.add(topic)
    say(logging.WARNING, message, *values)


def say(level: int, message: str, *values: object) -> None:
    """Log a line. A handler of the user's may raise: that is not the business of who is being tracked, nor ours."""
    with contextlib.suppress(Exception):
        logger.log(level, message, *values)


def call_site() -> str:
    """Where in the user's code we have been called: file and line."""
    frame = sys._getframe()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # documented; it reads no source
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
