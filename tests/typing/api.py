"""
Each public call as a user writes it, for type checkers; nothing here is run.

``assert_type`` says what they must infer. What they must refuse is in ``wrong.py``.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Sequence,
)
from pathlib import Path
from typing import Any, overload

from typing_extensions import assert_type

import xpander_track
from xpander_track import (
    AgentExecutionStatus,
    Backend,
    Configuration,
    Flushed,
    ModuleException,
    Receipt,
    Run,
    Task,
    Tasks,
    Tokens,
    ToolCall,
    TrackedTask,
    Usage,
    aflush,
    configure,
    current_run,
    flush,
    read_usage,
    record_tool,
    shutdown,
    track_task,
    track_tool,
    tracked_task,
)

# --- track_task ---


@track_task
def bare(question: str, depth: int = 1, *, loud: bool = False) -> list[str]:
    return [question] * depth if loud else []


@track_task()
def called(question: str) -> str:
    return question


def run_id(question: str) -> str:
    return f"run-{question}"


def asked(question: str) -> object:
    return {"asked": question}


@track_task(
    agent_id="agent-1",
    id=run_id,
    input=asked,
    wait=2.0,
    capture_input=True,
    capture_result=False,
    configuration=Configuration(api_key="key"),
)
def with_options(question: str) -> str:
    return question


@track_task(agent_id="agent-1", id="run-1", input="text", wait=2)
async def asynchronous(question: str, *more: int, **options: bytes) -> dict[str, int]:
    await asyncio.sleep(0)
    return {question: len(more) + len(options)}


assert_type(bare("why?", 2, loud=True), list[str])
assert_type(called(question="why?"), str)
assert_type(with_options("why?"), str)
as_parameter: Callable[[str], str] = called
as_async_parameter: Callable[[str], Awaitable[dict[str, int]]] = asynchronous
anonymous: Callable[[int], int] = track_task(lambda number: number)


async def awaited() -> None:
    assert_type(await asynchronous("why?", 1, 2, x=b""), dict[str, int])
    coroutine: Coroutine[Any, Any, dict[str, int]] = asynchronous("why?")
    assert_type(await asyncio.create_task(coroutine), dict[str, int])


class Agent:
    @track_task
    def method(self, question: str) -> str:
        return question

    @track_task(agent_id="agent-1")
    async def async_method(self, question: str) -> bytes:
        return question.encode()

    @classmethod
    @track_task
    def class_above(cls, question: str) -> Agent:
        return cls() if question else Agent()

    @staticmethod
    @track_task
    def static_above(question: str) -> int:
        return len(question)

    @track_task
    @staticmethod
    def static_below(question: str) -> int:
        return len(question)

    @property
    @track_task
    def answer(self) -> str:
        return "42"

    @track_tool
    def search(self, query: str) -> Sequence[str]:
        return [query]

    @tracked_task(agent_id="agent-1")
    def block(self, question: str) -> float:
        return float(question)


async def methods(agent: Agent) -> None:
    assert_type(agent.method("why?"), str)
    assert_type(Agent.method(agent, "why?"), str)
    assert_type(await agent.async_method(question="why?"), bytes)
    assert_type(Agent.class_above("why?"), Agent)
    assert_type(agent.class_above("why?"), Agent)
    assert_type(Agent.static_above("why?"), int)
    assert_type(agent.static_below("why?"), int)
    assert_type(agent.answer, str)
    assert_type(agent.search("why?"), Sequence[str])
    assert_type(agent.block("1"), float)


# --- callables of every kind ---


@track_task
def generator(question: str) -> Generator[str, int, bytes]:
    sent = yield question
    return bytes(sent)


@track_task(agent_id="agent-1")
async def async_generator(question: str) -> AsyncGenerator[str, int]:
    sent = yield question
    print(sent)


@track_tool
def generator_tool(query: str) -> Generator[str, None, None]:
    yield query


@tracked_task(agent_id="agent-1")
async def async_generator_block(question: str) -> AsyncGenerator[str, None]:
    yield question


class Called:
    name = "called"

    def __call__(self, question: str) -> int:
        return len(question)


class CalledLater:
    async def __call__(self, question: str) -> int:
        return len(question)


@overload
def overloaded(value: int) -> int: ...
@overload
def overloaded(value: str) -> str: ...
@track_task
def overloaded(value: int | str) -> int | str:
    return value


class Orders:
    """The decorator above and below the others."""

    @track_task
    @classmethod
    def class_bare(cls, question: str) -> int:
        return len(question)

    @track_task(agent_id="agent-1")
    @classmethod
    async def class_called(cls, question: str) -> int:
        return len(question)

    @tracked_task()
    @classmethod
    def class_block(cls, question: str) -> Generator[str, None, None]:
        yield question

    @track_tool
    @classmethod
    def class_tool(cls, query: str) -> int:
        return len(query)

    @classmethod
    @track_tool(name="tool")
    async def class_below(cls, query: str) -> AsyncGenerator[str, None]:
        yield query

    @track_task(agent_id="agent-1")
    @staticmethod
    def static_called(question: str) -> int:
        return len(question)

    @track_tool(name="tool")
    @staticmethod
    async def static_tool(query: str) -> int:
        return len(query)

    @staticmethod
    @tracked_task()
    def static_below(question: str) -> Generator[str, None, None]:
        yield question


async def kinds(run: Run) -> None:
    assert_type(generator("why?"), Generator[str, int, bytes])
    assert_type(async_generator("why?"), AsyncGenerator[str, int])
    assert_type(generator_tool("why?"), Generator[str, None, None])
    assert_type([item async for item in async_generator_block("why?")], list[str])
    partial = functools.partial(bare, "why?")
    assert_type(track_task(partial), functools.partial[list[str]])
    assert_type(track_tool(name="tool")(partial)(), list[str])
    assert_type(track_task(Called()), Called)
    assert_type(track_task(agent_id="agent-1")(Called())("why?"), int)
    assert_type(track_tool(Called()).name, str)
    assert_type(await tracked_task()(CalledLater())("why?"), int)
    assert_type(overloaded(1), int)
    assert_type(overloaded("1"), str)
    assert_type(track_tool(overloaded)("1"), str)
    assert_type(track_task(agent_id="agent-1")(overloaded)(1), int)
    assert_type(track_task(len)("why?"), int)
    of_lambda: Callable[[int], int] = track_task(agent_id="agent-1")(lambda number: number)
    tool_of_lambda: Callable[[int], int] = track_tool(lambda number: number)
    assert_type(of_lambda(1) + tool_of_lambda(1), int)
    assert_type(Orders.class_bare("why?"), int)
    assert_type(await Orders().class_called("why?"), int)
    assert_type(Orders.class_block("why?"), Generator[str, None, None])
    assert_type(Orders.class_tool("why?"), int)
    assert_type(Orders.class_below("why?"), AsyncGenerator[str, None])
    assert_type(Orders.static_called("why?"), int)
    assert_type(await Orders().static_tool("why?"), int)
    assert_type(Orders().static_below("why?"), Generator[str, None, None])

    assert_type(run.bind(bare)("why?"), list[str])
    assert_type(await run.bind(asynchronous)("why?"), dict[str, int])
    assert_type(run.bind(generator)("why?"), Generator[str, int, bytes])
    assert_type(run.bind(async_generator)("why?"), AsyncGenerator[str, int])
    assert_type(run.bind(partial), functools.partial[list[str]])
    assert_type(run.bind(Called())("why?"), int)
    assert_type(run.bind(overloaded)("1"), str)
    assert_type(run.bind(Agent().method)("why?"), str)
    assert_type(run.bind(Agent.class_above)("why?"), Agent)
    bound_lambda: Callable[[int], int] = run.bind(lambda number: number)
    print(bound_lambda)


# --- functions of the arguments ---


@track_task(id=lambda question: f"run-{question}", input=lambda question: {"asked": question})
def with_lambdas(question: str) -> str:
    return question


@tracked_task(id=lambda question, depth: f"{question}-{depth}", input=lambda question, depth: [question, depth])
async def with_more_lambdas(question: str, depth: int) -> str:
    return question * depth


@track_task(id=lambda: "run-1", input=lambda first, second, third: (first, second, third))
def with_most_lambdas(first: str, second: str, third: str) -> str:
    return first + second + third


def by_keyword(question: str, *more: str, depth: int, **options: object) -> str:
    return f"{question} {more} {depth} {options}"


@track_task(id=by_keyword, input=functools.partial(by_keyword, depth=1))
def with_functions(question: str, *, depth: int) -> str:
    return question * depth


assert_type(with_lambdas("why?"), str)
assert_type(with_most_lambdas("a", "b", "c"), str)
assert_type(with_functions("why?", depth=1), str)


def truth(run: Run) -> None:
    if current_run():
        print("here")
    if not run or not current_run():
        print("nowhere")


# --- tracked_task ---


@tracked_task(agent_id="agent-1", id=run_id, input=asked)
def by_block(question: str) -> str:
    return question


@tracked_task()
async def by_block_async(question: str) -> str:
    return question


def blocks(question: str, unknown: object) -> None:
    with tracked_task(agent_id="agent-1", input=question, id="run-1", wait=1.5) as run:
        assert_type(run, Run)
    with tracked_task(input={"any": unknown}):
        pass
    again = tracked_task()
    assert_type(again, TrackedTask)
    with again, again as inner:
        assert_type(inner, Run)
    assert_type(by_block("why?"), str)


def always_given(question: str) -> str:
    """A block never swallows an exception: what follows it need not return."""
    with tracked_task():
        return question


async def async_blocks() -> str:
    assert_type(await by_block_async("why?"), str)
    async with tracked_task(agent_id="agent-1") as run:
        assert_type(run, Run)
        async with run.tool("fetch", {"url": "u"}) as call:
            assert_type(call, ToolCall)
        return "given"


# --- tools ---


@track_tool
def tool(query: str) -> list[str]:
    return [query]


@track_tool()
async def async_tool(query: str) -> list[str]:
    return [query]


@track_tool(name="web_search")
def named_tool(query: str, limit: int = 3) -> list[str]:
    return [query] * limit


async def tools() -> None:
    assert_type(tool("why?"), list[str])
    assert_type(await async_tool(query="why?"), list[str])
    assert_type(named_tool("why?", limit=1), list[str])
    record_tool("search")
    record_tool("search", arguments={"q": 1}, result=object(), error=ValueError("no"), duration=1)
    record_tool("search", error="no", duration=0.5)


# --- a run ---


async def recording(run: Run, response: object) -> Task | None:
    assert_type(current_run(), Run)
    run.set_input("text")
    run.set_input({"any": response})
    run.set_result(response)
    run.fail("reason")
    run.record_llm(response)
    run.record_tokens(Tokens(prompt_tokens=1, completion_tokens=2))
    run.record_tokens(prompt_tokens=1, completion_tokens=2, cache_read_tokens=None, cache_write_tokens=0)
    run.record_tool("search", arguments=[1], result="x", error=None, duration=None)
    with run.tool("fetch") as call:
        call.set_result(response)
        assert_type(call.name, str)
        assert_type(call.error, str | None)
        assert_type(call.duration, float | None)
    run.report_progress()
    run.report_progress(result=response)
    assert_type(run.id, str)
    assert_type(run.agent_id, str | None)
    assert_type(run.input, str | None)
    assert_type(run.result, str | None)
    assert_type(run.tokens, Tokens | None)
    assert_type(run.used_tools, list[str])
    assert_type(run.duration, float)
    assert_type(run.is_success, bool | None)
    assert_type(run.receipt, Receipt)
    if run.ending == "completed" or run.ending == "failed":  # noqa: PLR1714  # one comparison each
        print(run.ending)
    assert_type(run.reported(), Task | None)
    assert_type(run.reported(timeout=5), Task | None)
    return await run.areported(timeout=5)


# --- delivery and settings ---


async def delivery() -> None:
    assert_type(flush(), Flushed)
    assert_type(flush(timeout=5), Flushed)
    assert_type(await aflush(5.0), Flushed)
    flushed = shutdown(2)
    print(flushed.delivered + flushed.pending + flushed.rejected)


def settings() -> None:
    configure(
        api_key="key",
        base_url="https://platform",
        organization_id="org-1",
        agent_id="agent-1",
        timeout=30,
        wait=2.5,
        capture_input=True,
        capture_result=False,
        max_chars=1_000,
        redact=lambda text: text.upper(),
        home=Path(),
        exit_timeout=2,
        enabled=True,
    )
    configure(home="folder", redact=str.upper)
    configure(api_key=None, base_url=None, organization_id=None, agent_id=None, timeout=None, wait=None)
    configure(redact=None, home=None, enabled=None)


def usage(response: object) -> None:
    read = read_usage(response)
    assert_type(read, Usage)
    assert_type(read.prompt_tokens, int | None)
    assert_type(read.tools, tuple[str, ...])
    assert_type(read.text, str)
    assert_type(read.cache_in_prompt, bool | None)


async def streams(chunks: Iterator[bytes], events: AsyncIterator[str]) -> None:
    run = current_run()
    assert_type(run.llm_stream(chunks), Iterator[bytes])
    for chunk in run.llm_stream(chunks):
        assert_type(chunk, bytes)
    async for event in run.llm_stream(events):
        assert_type(event, str)


# --- the platform's own calls ---


async def platform() -> None:
    configuration = Configuration(api_key="key", base_url="https://platform", organization_id="org-1", timeout=5)
    try:
        task = await Task.areport_external_task(
            configuration=configuration,
            agent_id="agent-1",
            id="run-1",
            input="why?",
            llm_response={"any": "thing"},
            tokens=Tokens(prompt_tokens=1),
            is_success=True,
            result="42",
            duration=1.5,
            used_tools=["search"],
        )
    except ModuleException as error:
        assert_type(error.status_code, int)
    else:
        assert_type(task, Task)
        if task.status is AgentExecutionStatus.Completed:
            print(task.result)
    assert_type(Task.report_external_task(configuration=configuration, agent_id="agent-1"), Task)
    assert_type(await Task.aload("run-1", configuration=configuration), Task)
    await Tasks(configuration=configuration).alist("agent-1")
    Backend(configuration=configuration)


__all__ = ["xpander_track"]
