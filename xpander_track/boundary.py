"""
The one boundary between our trouble and the user's code.

Whatever goes wrong in a step of ours while the user's code runs ends here: one log line for each kind of trouble, the
rest only counted. Ctrl-C, cancellation and ``SystemExit`` are the user's and pass. Tests set ``reraise``, so that
nothing hides behind it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .plain import describe_error

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
    """

    __slots__ = ("step",)

    def __init__(self, step: str) -> None:
        self.step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(error, Exception) or reraise:
            return False
        trouble(self.step, error)
        return True


def trouble(step: str, error: Exception) -> None:
    """Count, and the first time log, that *step* could not be done."""
    global troubles  # noqa: PLW0603  # a process-wide counter
    troubles += 1
    say_once(
        f"{step}: {type(error).__name__}", "Could not %s: %s. Your code is not affected.", step, describe_error(error)
    )
    logger.debug("Could not %s.", step, exc_info=error)


def say_once(topic: str, message: str, *values: object) -> None:
    """Log a warning, unless something on this *topic* was said before."""
    if topic in _said or len(_said) >= _MAX_SAID:
        return
    _said.add(topic)
    logger.warning(message, *values)
