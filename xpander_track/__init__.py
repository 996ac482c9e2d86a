"""
xpander_track puts the runs of your AI agents into the xpander.ai task history.

``@track_task`` or ``tracked_task()`` around an agent, ``record_tool`` and ``current_run().record_llm`` inside of it.
"""

from .delivery import Flushed, Receipt, aflush, flush, shutdown
from .platform import (
    AgentExecutionInput,
    AgentExecutionStatus,
    AnswerUnreadable,
    Backend,
    Configuration,
    InvalidArgument,
    MissingAgentId,
    MissingApiKey,
    ModuleException,
    NotSent,
    Task,
    Tasks,
    TasksListItem,
    Tokens,
    Unreachable,
)
from .run import Run, current_run
from .settings import configure
from .tool_call import ToolCall
from .tracking import TrackedTask, record_tool, track_task, track_tool, tracked_task
from .usage import Usage, read_usage

__all__ = [
    "AgentExecutionInput", "AgentExecutionStatus", "AnswerUnreadable", "Backend", "Configuration", "Flushed",
    "InvalidArgument", "MissingAgentId", "MissingApiKey", "ModuleException", "NotSent", "Receipt", "Run", "Task",
    "Tasks", "TasksListItem", "Tokens", "ToolCall", "TrackedTask", "Unreachable", "Usage", "aflush", "configure",
    "current_run", "flush", "read_usage", "record_tool", "shutdown", "track_task", "track_tool", "tracked_task",
]  # fmt: skip
