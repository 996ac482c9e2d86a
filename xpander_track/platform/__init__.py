"""The xpander platform as we see it: compatible with ``xpander_sdk`` in names, arguments, wire and errors."""

from .backend import Backend
from .configuration import Configuration
from .errors import (
    AnswerUnreadable,
    InvalidAddress,
    InvalidArgument,
    MissingAgentId,
    MissingApiKey,
    ModuleException,
    NotSent,
    Unreachable,
)
from .task import AgentExecutionInput, AgentExecutionStatus, Task, User
from .tasks import Tasks, TasksListItem
from .tokens import Tokens

__all__ = [
    "AgentExecutionInput", "AgentExecutionStatus", "AnswerUnreadable", "Backend", "Configuration", "InvalidAddress",
    "InvalidArgument", "MissingAgentId", "MissingApiKey", "ModuleException", "NotSent", "Task", "Tasks",
    "TasksListItem", "Tokens", "Unreachable", "User",
]  # fmt: skip
