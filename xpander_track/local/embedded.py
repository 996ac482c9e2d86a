"""The destination that is this machine: a run is recorded at home, and answered with a Task."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from ..platform import AgentExecutionInput, AgentExecutionStatus, Task, Tokens

if TYPE_CHECKING:
    from ..delivery.report import Report

KEY = "embedded"
ORGANIZATION = "local"


class Embedded:
    """
    The embedded platform as a destination. The store, which every run goes through, is its database.

    Args:
        where: The folder of the store, for people.
    """

    key = KEY

    def __init__(self, where: str) -> None:
        self.where = where

    async def deliver(self, report: Report) -> Task | None:
        """The Task of a run; see ``Destination``. It is always taken."""
        return task_of(report)


def task_of(report: Report) -> Task:
    """The platform's record of *report*, as the cloud would answer with it."""
    started = datetime.fromtimestamp(report.started_at, timezone.utc)
    if report.ending is None:
        status = AgentExecutionStatus.Executing
    else:
        status = AgentExecutionStatus.Completed if report.is_success else AgentExecutionStatus.Failed
    return Task(
        id=report.id,
        agent_id=report.agent_id or "",
        organization_id=ORGANIZATION,
        input=AgentExecutionInput(text=report.input or ""),
        status=status,
        created_at=started,
        started_at=started,
        finished_at=None if report.ending is None else started + timedelta(seconds=report.duration or 0),
        result=report.result,
        source="external",
        tokens=None if report.tokens is None else Tokens(**report.tokens),
        used_tools=list(report.used_tools),
        duration=report.duration,
    )
