"""
Calls that type checkers must refuse; nothing here is run.

Each line says so itself: an ignored error that is none is an error to mypy (``warn_unused_ignores``, part of
``--strict``) and to pyright (by the next line).
"""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Generator  # noqa: TC003  # as users write it

from xpander_track import Run, Tokens, configure, flush, record_tool, track_task, track_tool, tracked_task


@track_task
def bare(question: str, depth: int = 1) -> str:
    return question * depth


@track_task(agent_id="agent-1")
async def called(question: str) -> str:
    return question


@tracked_task(agent_id="agent-1")
def by_block(question: str) -> str:
    return question


@track_tool
def tool(query: str) -> str:
    return query


@track_tool(name="t")
def named_tool(query: str) -> str:
    return query


class Agent:
    @track_task
    def method(self, question: str) -> str:
        return question

    @classmethod
    @track_task
    def class_method(cls, question: str) -> str:
        return question

    @staticmethod
    @track_task
    def static_method(question: str) -> str:
        return question


class Orders:
    @track_task
    @classmethod
    def class_bare(cls, question: str) -> int:
        return len(question)

    @track_task(agent_id="agent-1")
    @staticmethod
    def static_called(question: str) -> int:
        return len(question)


@track_task
def generator(question: str) -> Generator[str, int, None]:
    yield question


@track_task(agent_id="agent-1")
async def async_generator(question: str) -> AsyncGenerator[str, int]:
    yield question


class Called:
    def __call__(self, question: str) -> int:
        return len(question)


# Calls of what is decorated.
bare()  # type: ignore[call-arg]
bare(7)  # type: ignore[arg-type]
bare("why?", deep=1)  # type: ignore[call-arg]
bare("why?", 1, 2)  # type: ignore[call-arg]
number: int = bare("why?")  # type: ignore[assignment]
by_block(7)  # type: ignore[arg-type]
tool(7)  # type: ignore[arg-type]
named_tool()  # type: ignore[call-arg]
Agent().method()  # type: ignore[call-arg]
Agent().method(7)  # type: ignore[arg-type]
Agent.class_method(7)  # type: ignore[arg-type]
Agent.static_method("why?", 7)  # type: ignore[call-arg]
Orders.class_bare(7)  # type: ignore[arg-type]
Orders.static_called()  # type: ignore[call-arg]
generator(7)  # type: ignore[arg-type]
generator("why?").send("text")  # type: ignore[arg-type]
async_generator()  # type: ignore[call-arg]
track_task(Called())(7)  # type: ignore[arg-type]
track_task(functools.partial(bare, "why?"))(depth="1")  # type: ignore[arg-type]


async def awaiting() -> None:
    await called(7)  # type: ignore[arg-type]
    text: str = called("why?")  # type: ignore[assignment]
    other: int = await called("why?")  # type: ignore[assignment]
    await async_generator("why?").asend("text")  # type: ignore[arg-type]
    print(text, other)


# Options.
track_task("agent-1")  # type: ignore[call-overload]
track_task(agent_id=7)  # type: ignore[call-overload]
track_task(agentid="agent-1")  # type: ignore[call-overload]
track_task(wait="2")  # type: ignore[call-overload]
track_task(input={"a": 1})  # type: ignore[call-overload]
track_task(id=lambda question: 7)  # type: ignore[arg-type]
track_task(id=len)  # type: ignore[arg-type]
track_task(7)  # type: ignore[call-overload]
track_tool(7)  # type: ignore[call-overload]
tracked_task("agent-1")  # type: ignore[call-arg]
tracked_task(agent_id=7)  # type: ignore[arg-type]
tracked_task(agentid="agent-1")  # type: ignore[call-arg]
tracked_task(wait="2")  # type: ignore[arg-type]
track_tool("search")  # type: ignore[call-overload]
track_tool(name=7)  # type: ignore[call-overload]
configure("key")  # type: ignore[call-arg]
configure(api_key=7)  # type: ignore[arg-type]
configure(api_keys="key")  # type: ignore[call-arg]
configure(redact=len)  # type: ignore[arg-type]
flush("5")  # type: ignore[arg-type]


# A run.
def recording(run: Run) -> None:
    run.record_tool()  # type: ignore[call-arg]
    run.record_tool(7)  # type: ignore[arg-type]
    run.record_tool("search", {"q": 1})  # type: ignore[call-arg]
    run.record_tool("search", duration="1")  # type: ignore[arg-type]
    run.record_tool("search", error=7)  # type: ignore[arg-type]
    run.record_tokens({"prompt_tokens": 1})  # type: ignore[arg-type]
    run.record_tokens(prompt_tokens="1")  # type: ignore[arg-type]
    run.record_tokens(input_tokens=1)  # type: ignore[call-arg]
    run.fail(ValueError("no"))  # type: ignore[arg-type]
    run.fail()  # type: ignore[call-arg]
    run.tool(7)  # type: ignore[arg-type]
    run.bind(7)  # type: ignore[type-var]
    run.bind(bare)(7)  # type: ignore[arg-type]
    run.bind()  # type: ignore[call-arg]
    run.reported("5")  # type: ignore[arg-type]
    run.result = "42"  # type: ignore[misc]
    run.unknown()  # type: ignore[attr-defined]
    print(run.ending == "done")  # type: ignore[comparison-overlap]
    record_tool(7)  # type: ignore[arg-type]
    record_tool("search", {"q": 1})  # type: ignore[call-arg]
    Tokens(prompt_tokens="many")  # type: ignore[arg-type]


with tracked_task() as run:
    wrong: str = run  # type: ignore[assignment]
