"""Where reports go: all that the dispatcher knows of a destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..platform import Task
    from .report import Report


class Destination(Protocol):
    """
    One place that reports are delivered to.

    ``key`` names it on disk: the same place has the same key in every process, and it holds no secret. ``where`` is
    for people.
    """

    key: str
    where: str

    async def deliver(self, report: Report) -> Task | None:
        """
        Deliver *report* once; called again for the same run, it updates what is there.

        Returns:
            The destination's record of it, where it has one to show.

        Raises:
            Postponed: It may work later.
            Rejected: It will never work for this report.
        """
        ...


class Postponed(Exception):  # not an error: it waits
    """
    The destination cannot take reports now.

    Args:
        reason: Why, for people. It quotes nothing of the report, and no secret.
        after: Seconds to wait at least; None leaves that to the dispatcher.
    """

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Rejected(Exception):  # named for what became of the report
    """
    The destination will never take this report.

    Args:
        reason: Why, for people. It holds no secret.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
