"""
What the platform's calls raise.

    ModuleException                 the platform answered with an error, or the call failed (then coded 500)
    ├── NotSent (also ValueError)   nothing has left this process
    │   ├── MissingAgentId          no agent to report for
    │   ├── MissingApiKey           no usable key for the ``x-api-key`` header
    │   └── InvalidArgument         an argument that cannot be sent
    │       └── InvalidAddress      the address, or a proxy's, cannot be used, or lacks the organization
    ├── Unreachable                 no complete answer came; the report may or may not be stored
    └── AnswerUnreadable            the platform said yes (2xx: a report is stored), but not with what was asked for

Messages name the argument and the cause; they never quote prompt text, results or keys.
"""

from __future__ import annotations


class ModuleException(Exception):
    """
    A call to the platform failed.

    Args:
        status_code: The HTTP status of the answer, or 500 where there was none.
        description: The body of the answer as text, or what went wrong.
        retry_after: Seconds the platform asked to wait (its ``Retry-After`` header), where it did.
    """

    def __init__(self, status_code: int, description: str, *, retry_after: float | None = None) -> None:
        # Both go to args, so that the error survives pickling (process pools).
        super().__init__(status_code, description)
        self.status_code = status_code
        self.description = description
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"[{self.status_code}] {self.description}"


class NotSent(ModuleException, ValueError):
    """The call was refused on this side: nothing has left the process."""


class MissingAgentId(NotSent):
    """There is no agent id to report for."""


class MissingApiKey(NotSent):
    """The configuration has no API key that can be sent."""


class InvalidArgument(NotSent):
    """An argument has a type or value that the platform's contract does not have."""


class InvalidAddress(InvalidArgument):
    """The address of the platform, or that of a proxy in the environment, cannot be used, or lacks the organization."""


class Unreachable(ModuleException):
    """No complete answer arrived. Whether the request was taken is unknown: repeat it with the same id."""


class AnswerUnreadable(ModuleException):
    """The platform accepted the request (2xx), but its answer is not what was asked for."""
