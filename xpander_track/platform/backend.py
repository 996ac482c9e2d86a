"""Reporting with an agent object, or with the agent that the environment names."""

from __future__ import annotations

import os
from typing import Any

from . import loop
from .configuration import Configuration
from .task import Task
from .tokens import Tokens  # noqa: TC001  # signatures are read at run time too


class Backend:
    """
    Reports tasks for one configuration.

    ``Backend()`` is one object for the whole process and keeps the environment of its first construction;
    ``Backend(configuration=...)`` is a new object each time.
    """

    _of_the_process: Backend | None = None

    configuration: Configuration

    def __new__(cls, configuration: Configuration | None = None) -> Backend:
        """The process's own backend, or a new one for *configuration*."""
        if configuration is None and cls._of_the_process is not None:
            return cls._of_the_process
        backend = super().__new__(cls)
        backend.configuration = Configuration() if configuration is None else configuration
        if configuration is None:
            cls._of_the_process = backend
        return backend

    async def areport_external_task(  # noqa: PLR0913  # the contract's signature
        self,
        agent_id: str | None = None,
        agent: Any = None,
        id: str | None = None,  # noqa: A002  # the contract's name
        input: str | None = None,  # noqa: A002  # the same
        llm_response: Any = None,
        tokens: Tokens | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: list[str] | None = None,
        configuration: Configuration | None = None,
    ) -> Task:
        """
        Record work done outside the platform; see ``Task.areport_external_task``.

        Args:
            agent_id: The agent that did the work. Default: ``XPANDER_AGENT_ID``, read now.
            agent: An object whose ``id`` is taken instead of *agent_id*.
            configuration: Default: this backend's own.
            id, input, llm_response, tokens, is_success, result, duration, used_tools: See there.
        """
        if agent:
            agent_id = agent.id
        return await Task.areport_external_task(
            self.configuration if configuration is None else configuration,
            agent_id or os.environ.get("XPANDER_AGENT_ID"),
            id, input, llm_response, tokens, is_success, result, duration,
            [] if used_tools is None else used_tools,
        )  # fmt: skip

    def report_external_task(  # noqa: PLR0913  # the contract's signature
        self,
        agent_id: str | None = None,
        agent: Any = None,
        id: str | None = None,  # noqa: A002
        input: str | None = None,  # noqa: A002
        llm_response: Any = None,
        tokens: Tokens | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: list[str] | None = None,
        configuration: Configuration | None = None,
    ) -> Task:
        """``areport_external_task`` for synchronous code."""
        return loop.call(
            self.areport_external_task(
                agent_id, agent, id, input, llm_response, tokens, is_success, result, duration, used_tools,
                configuration,
            )
        )  # fmt: skip
