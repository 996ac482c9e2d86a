"""
The one boundary between our trouble and the user's code.

Whatever goes wrong in a step of ours while the user's code runs ends here: one log line for each kind of trouble, the
rest only counted. Ctrl-C, cancellation and ``SystemExit`` are the user's and pass. Tests set ``reraise``, so that
nothing hides behind it.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from .describe import describe_error

if TYPE_CHECKING:
    from types import TracebackType

logger = logging.getLogger("xpander_track")

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


def trouble(step: str, error: BaseException) -> None:
    """Count, and the first time log, that *step* could not be done."""
    global troubles  # noqa: PLW0603  # a process-wide counter
    troubles += 1
    say_once(
        f"{step}: {type(error).__name__}", "Could not %s: %s. Your code is not affected.", step, describe_error(error)
    )
    with contextlib.suppress(Exception):
        logger.debug("Could not %s.", step, exc_info=error)


def say_once(topic: str, message: str, *values: object) -> None:
    """Log a warning, unless something on this *topic* was said before."""
    if topic in _said or len(_said) >= _MAX_SAID:
        return
    _said.add(topic)
    # A handler of the user's may raise: that is not the business of who is being tracked.
    with contextlib.suppress(Exception):
        logger.warning(message, *values)
