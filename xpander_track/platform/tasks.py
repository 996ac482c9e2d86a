"""The task history of an agent."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  # pydantic reads the annotations
from typing import Any, Literal

from pydantic import BaseModel, Field

from . import client, loop
from .configuration import Configuration
from .errors import AnswerUnreadable
from .task import AgentExecutionStatus, Task, read_answer

_LIST = "Failed to list tasks"


class TasksListItem(BaseModel):
    """One row of a history; ``load`` gets the whole task."""

    configuration: Configuration | None = Field(default=None, exclude=True, repr=False)
    id: str
    agent_id: str
    user_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    organization_id: str
    status: AgentExecutionStatus
    created_at: datetime | None = None
    updated_at: datetime | None = None
    source_node_type: str | None = None
    result: str | None = None
    title: str | None = None
    execution_kind: str | None = None
    process: dict[str, Any] | None = None
    conversation_kind: Literal["direct", "gateway"] | None = None

    async def aload(self, configuration: Configuration | None = None) -> Task:
        """The whole task; *configuration* defaults to the one the row was listed with."""
        return await Task.aload(self.id, configuration or self.configuration)

    def load(self, configuration: Configuration | None = None) -> Task:
        """``aload`` for synchronous code."""
        return loop.call(self.aload(configuration))


class Tasks:
    """
    Reads tasks back from the platform.

    Args:
        configuration: Default: a new ``Configuration()``, read off the environment now.
    """

    def __init__(self, configuration: Configuration | None = None) -> None:
        self.configuration = Configuration() if configuration is None else configuration

    async def alist(self, agent_id: str, filters: dict[str, Any] | None = None) -> list[TasksListItem]:
        """
        The tasks of *agent_id*, in the platform's order.

        Args:
            agent_id: Whose tasks.
            filters: ``user_id``, ``parent_task_id``, ``triggering_agent_id``, ``status``, ``internal_status``.

        Raises:
            ModuleException: As ``Task.aload``. One bad row fails the list.
        """
        rows = await client.exchange(
            self.configuration, "GET", "agent-execution", "executions", "history", agent_id, failure=_LIST,
            query=filters or None,
        )  # fmt: skip
        if not isinstance(rows, list):
            raise AnswerUnreadable(500, f"{_LIST} - the platform's answer is no JSON array")
        items = [
            read_answer(TasksListItem, row, _LIST, exclude=("configuration",))
            for row in rows  # pyright: ignore[reportUnknownVariableType]  # checked by read_answer()
        ]
        for item in items:
            item.configuration = self.configuration
        return items

    async def aget(self, task_id: str) -> Task:
        """The task *task_id*; see ``Task.aload``."""
        return await Task.aload(task_id, self.configuration)

    def get(self, task_id: str) -> Task:
        """``aget`` for synchronous code."""
        return loop.call(self.aget(task_id))

    def list(self, agent_id: str, filters: dict[str, Any] | None = None) -> list[TasksListItem]:
        """``alist`` for synchronous code."""
        return loop.call(self.alist(agent_id, filters))
