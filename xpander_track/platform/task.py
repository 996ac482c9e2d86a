"""The platform's record of a run: reporting one, loading one."""

from __future__ import annotations

import contextlib
from datetime import datetime  # noqa: TC003  # pydantic reads the annotations
from enum import Enum
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, Field, ValidationError

from ..plain import plain
from . import client, loop
from .configuration import Configuration
from .errors import AnswerUnreadable, InvalidArgument, MissingAgentId
from .tokens import Tokens

Model = TypeVar("Model", bound=BaseModel)

_REPORT = "Failed to report external task"
_LOAD = "Failed to get tas"  # sic: callers of xpander_sdk may look for it
_METRICS = "Failed to report metrics"


class AgentExecutionStatus(str, Enum):
    """Where a task stands."""

    Pending = "pending"
    Executing = "executing"
    Paused = "paused"
    Error = "error"
    Failed = "failed"
    Completed = "completed"
    Stopped = "stopped"

    __str__ = str.__str__


class User(BaseModel):
    """Whom a task was done for."""

    id: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    email: str
    additional_attributes: dict[str, Any] | None = None
    timezone: str | None = None


class AgentExecutionInput(BaseModel):
    """What a task was asked."""

    text: str | None = ""
    files: list[str] | None = []
    attachments: list[dict[str, Any]] | None = []
    user: User | None = None
    principal: dict[str, Any] | None = None


class Task(BaseModel):
    """
    A task as the platform answers with it. Unknown fields of an answer are ignored.

    Every call has an async form (``a...``) and a sync one. The sync forms work without a loop, inside a running one
    (which waits meanwhile), and in threads.
    """

    # Not part of a dump: a task is data, a configuration holds a key.
    configuration: Configuration | None = Field(default=None, exclude=True)
    id: str
    agent_id: str
    organization_id: str
    input: AgentExecutionInput
    status: AgentExecutionStatus | None = AgentExecutionStatus.Pending
    internal_status: str | None = None
    last_executed_node_id: str | None = None
    agent_version: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    paused_at: datetime | None = None
    finished_at: datetime | None = None
    result: str | None = None
    parent_execution: str | None = None
    conversation_id: str | None = None
    conversation_kind: Literal["direct", "gateway"] | None = None
    sub_executions: list[str] | None = []
    should_update_parent: bool | None = False
    is_manually_stopped: bool | None = False
    payload_extension: dict[str, Any] | None = None
    execution_kind: str | None = None
    hitl_request: dict[str, Any] | None = None
    pending_eca_request: dict[str, Any] | None = None
    source: str | None = None
    voice_id: str | None = None
    output_format: Literal["text", "markdown", "json", "voice"] | None = None
    output_schema: dict[str, Any] | None = None
    events_streaming: bool | None = False
    is_orchestration: bool | None = False
    is_gateway: bool | None = False
    is_app: bool | None = False
    background_auth_eligible: bool = False
    additional_context: str | None = None
    tool_call_limit: int | None = None
    instructions_override: str | None = None
    test_run_node_id: str | None = None
    user_oidc_token: str | None = None
    expected_output: str | None = None
    mcp_servers: list[dict[str, Any]] | None = []
    triggering_agent_id: str | None = None
    title: str | None = None
    think_mode: Literal["default", "harder"] | None = "default"
    disable_attachment_injection: bool | None = False
    user_tokens: dict[str, Any] | None = None
    deep_planning: dict[str, Any] | None = Field(default_factory=dict)
    must_deep_plan: bool | None = False
    execution_attempts: int | None = 1
    return_metrics: bool | None = False
    llm_model_provider: str | None = None
    llm_model_name: str | None = None
    llm_reasoning_effort: Literal["low", "medium", "high", "xhigh"] | None = None
    harness_cli: str | None = None
    permission_mode: str | None = None
    tokens: Tokens | None = None
    used_tools: list[str] | None = []
    duration: float | None = 0

    def __getstate__(self) -> dict[Any, Any]:
        # Pickled, a task is data: no key goes along.
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "configuration": None}}

    @classmethod
    async def areport_external_task(  # noqa: PLR0913  # the contract's signature
        cls,
        configuration: Configuration | None = None,
        agent_id: str | None = None,
        id: str | None = None,  # noqa: A002  # the contract's name
        input: str | None = None,  # noqa: A002  # the same
        llm_response: Any = None,
        tokens: Tokens | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: list[str] | None = [],  # noqa: B006  # the contract's default; it is only read
    ) -> Task:
        """
        Record work done outside the platform as a task of an agent.

        Args:
            configuration: Default: a new ``Configuration()``, read off the environment now.
            agent_id: The agent that did the work.
            id: Your id. The same id again updates the same task, which makes repeating a report safe.
            input: What the agent was asked.
            llm_response: The model's raw response: anything; what JSON has no form for becomes a readable stand-in.
            tokens: A ``Tokens``, or a dict with its keys.
            is_success: Whether the work succeeded.
            result: What came out.
            duration: Seconds.
            used_tools: Names of the tools called, in order, with repeats.

        Returns:
            The platform's record of it.

        Raises:
            MissingAgentId: No *agent_id*; nothing was sent.
            MissingApiKey: No usable key in *configuration*; nothing was sent.
            InvalidArgument: An argument of the wrong type; nothing was sent. The message names it.
            Unreachable: No complete answer within the configuration's timeout.
            AnswerUnreadable: The report is stored, but the answer is not a task.
            ModuleException: The platform refused; ``status_code`` and ``description`` are its answer's.
        """
        if agent_id is None or agent_id == "":
            raise MissingAgentId(500, f"{_REPORT} - no agent id. Give agent_id, the agent that did the work.")
        if configuration is None:
            configuration = Configuration()
        body = _report_body(
            id=id, input=input, llm_response=llm_response, tokens=tokens, is_success=is_success, result=result,
            duration=duration, used_tools=used_tools,
        )  # fmt: skip
        answer = await client.exchange(
            configuration, "POST", "agent-execution", agent_id, "report_task", failure=_REPORT, body=body
        )
        return cls._of(answer, configuration, _REPORT)

    @classmethod
    def report_external_task(  # noqa: PLR0913  # the contract's signature
        cls,
        configuration: Configuration | None = None,
        agent_id: str | None = None,
        id: str | None = None,  # noqa: A002
        input: str | None = None,  # noqa: A002
        llm_response: Any = None,
        tokens: Tokens | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: list[str] | None = [],  # noqa: B006
    ) -> Task:
        """``areport_external_task`` for synchronous code."""
        return loop.call(
            cls.areport_external_task(
                configuration, agent_id, id, input, llm_response, tokens, is_success, result, duration, used_tools
            )
        )

    @classmethod
    async def aload(cls, task_id: str, configuration: Configuration | None = None) -> Task:
        """
        The task *task_id* as it is now.

        Raises:
            ModuleException: As ``areport_external_task``; 404 where there is no such task.
        """
        if configuration is None:
            configuration = Configuration()
        answer = await client.exchange(configuration, "GET", "agent-execution", task_id, "status", failure=_LOAD)
        return cls._of(answer, configuration, _LOAD)

    @classmethod
    def load(cls, task_id: str, configuration: Configuration | None = None) -> Task:
        """``aload`` for synchronous code."""
        return loop.call(cls.aload(task_id, configuration))

    async def areload(self) -> Task:
        """Bring this object up to date with the platform, and give it back."""
        fresh = await type(self).aload(self.id, self.configuration)
        for name in type(self).model_fields:
            setattr(self, name, getattr(fresh, name))
        if self.configuration is not None:
            self.configuration.state.task = self
        return self

    def reload(self) -> None:
        """``areload`` for synchronous code."""
        loop.call(self.areload())

    async def areport_metrics(self, configuration: Configuration | None = None) -> None:
        """
        Report this task's token usage to the platform's metrics.

        Args:
            configuration: Default: a new ``Configuration()``; not the one the task was loaded with.

        Raises:
            ModuleException: As ``areport_external_task``; also where the task has no tokens.
        """
        if self.tokens is None:
            raise InvalidArgument(500, f"{_METRICS} - the task has no tokens. Set task.tokens first.")
        tokens = {"inner": Tokens().model_dump(), "worker": self.tokens.model_dump()}
        metrics = _Metrics(
            execution_id=self.id,
            source=self.source,
            memory_thread_id=self.id,
            task=self.input.text or "",
            status=self.status,
            internal_status=self.internal_status,
            ai_model=(self.llm_model_name or "xpander").lower(),
            api_calls_made=self.used_tools,
            result=self.result or None,
            llm_tokens=tokens,
        )
        with contextlib.suppress(AnswerUnreadable):  # The answer is not used.
            await client.exchange(
                Configuration() if configuration is None else configuration,
                "POST", "agents-metrics", self.agent_id, "execution",
                failure=_METRICS, body=metrics.model_dump_json().encode(),
            )  # fmt: skip

    def report_metrics(self, configuration: Configuration | None = None) -> None:
        """``areport_metrics`` for synchronous code."""
        loop.call(self.areport_metrics(configuration))

    @classmethod
    def _of(cls, answer: Any, configuration: Configuration, failure: str) -> Task:
        # Never a configuration from an answer: it could send the next call, and the key, elsewhere.
        task = read_answer(cls, answer, failure, exclude=("configuration",))
        task.configuration = configuration
        configuration.state.task = task
        return task


def read_answer(model: type[Model], answer: Any, failure: str, exclude: tuple[str, ...] = ()) -> Model:
    """
    *answer* as a *model*.

    Raises:
        AnswerUnreadable: It is not an object, or a field is missing or ill-typed. The message names the field.
    """
    if not isinstance(answer, dict):
        raise AnswerUnreadable(500, f"{failure} - the platform accepted it, but its answer is no JSON object")
    fields = dict(cast("dict[str, Any]", answer))
    for name in exclude:
        fields.pop(name, None)
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problem = _problems(error)
    raise AnswerUnreadable(500, f"{failure} - the platform accepted it, but its answer cannot be read: {problem}")


class _Report(BaseModel):
    """The body of a report: always all keys, in this order."""

    id: str | None
    input: str | None
    llm_response: Any
    tokens: Tokens | None
    is_success: bool | None
    result: str | None
    duration: float | None
    used_tools: list[str] | None


class _Metrics(BaseModel):
    """The body of a metrics report: always all keys, in this order."""

    execution_id: str
    source: str | None
    sub_executions: list[str] = []
    memory_thread_id: str
    task: str
    triggered_by: str = "N/A"
    skills: list[str] = []
    status: AgentExecutionStatus | None
    internal_status: str | None
    duration: float = 0.0  # The contract's: whatever the task's is.
    ai_model: str
    worker: None = None
    ai_employee_id: None = None
    api_calls_made: list[str] | None
    result: str | None
    llm_tokens: dict[str, Any]


def _report_body(**arguments: Any) -> bytes:
    try:
        report = _Report(**arguments)
    except ValidationError as error:
        problem = _problems(error)
    else:
        try:
            return report.model_dump_json(fallback=plain, warnings=False).encode()
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  # user objects: circular, too deep, not UTF-8; a panic of pydantic's
            report.llm_response = plain(report.llm_response)
        try:
            return report.model_dump_json().encode()
        except ValueError:
            problem = "a text has a lone surrogate, which UTF-8 has no form for: in id, input, result or used_tools"
    raise InvalidArgument(500, f"{_REPORT} - nothing was sent: {problem}")


def _problems(error: ValidationError) -> str:
    """Which fields are wrong and how, without their values: those may be prompts."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_context=False, include_url=False)
    )
