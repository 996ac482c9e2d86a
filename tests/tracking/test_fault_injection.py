"""
Every function of ours that runs during a user's call is made to raise, one at a time; the user never notices.

Which ones these are is found out by watching such calls: whatever of ours is called by ours. What the user's code calls
directly (the driver around a function, the guard around ``record_tool``, ...) is the boundary itself: it is what
catches.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import sys
import threading
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import xpander_track
from xpander_track import Tokens, current_run, record_tool, track_task, track_tool, tracked_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
pytestmark = pytest.mark.usefixtures("net")

# --- what users do ---


class UsersError(Exception):
    """Raised by the user's code; must come out as it is."""


class Response:
    """What a provider's client gives."""

    def __init__(self) -> None:
        self.id, self.object, self.choices = "response-1", "chat.completion", list[Any]()
        self.usage = {"prompt_tokens": 3, "completion_tokens": 4}


def function(question: str, *, fails: bool = False) -> str:
    record_in_body()
    if fails:
        raise UsersError(question)
    return question.upper()


async def coroutine(question: str, *, fails: bool = False) -> str:
    await asyncio.create_task(child())
    await asyncio.to_thread(record_tool, "in a thread")
    return function(question, fails=fails)


def generator(question: str, *, fails: bool = False) -> Iterator[str]:
    yield question
    yield function(question, fails=fails)


async def async_generator(question: str, *, fails: bool = False) -> AsyncIterator[str]:
    yield question
    yield function(question, fails=fails)


async def child() -> None:
    record_tool("in a child")


def record_in_body() -> None:
    run = current_run()
    record_tool("search", arguments={"for": [1, 2]}, result={"found": 3}, duration=0.1)
    run.record_llm(Response())
    run.record_tokens(Tokens(prompt_tokens=1))
    run.report_progress(result="half")
    tool("x")
    with run.tool("fetch") as call:
        call.set_result([1])
    run.set_input({"a": 1})
    run.bind(tool)("x")
    threading.Thread(target=run.bind(tool), args=("x",)).start()


@track_tool
def tool(text: str) -> list[str]:
    return [text]


class Agent:
    @track_task
    def method(self, question: str, *, fails: bool = False) -> str:
        return function(question, fails=fails)

    @track_task
    @classmethod
    def of_class(cls, question: str, *, fails: bool = False) -> str:
        return function(question, fails=fails)

    async def __call__(self, question: str, *, fails: bool = False) -> str:
        return await coroutine(question, fails=fails)


def called(tracked: Callable[..., Any], *, fails: bool) -> Any:
    return tracked("why?", fails=fails)


def awaited(tracked: Callable[..., Any], *, fails: bool) -> Any:
    return asyncio.run(tracked("why?", fails=fails))


def iterated(tracked: Callable[..., Any], *, fails: bool) -> Any:
    return "".join(tracked("why?", fails=fails))


def left_early(tracked: Callable[..., Any], *, fails: bool) -> Any:
    stream = tracked("why?", fails=fails)
    first = next(stream)
    stream.close()
    if fails:
        raise UsersError
    return first + "WHY?"


def iterated_later(tracked: Callable[..., Any], *, fails: bool) -> Any:
    async def main() -> str:
        return "".join([item async for item in tracked("why?", fails=fails)])

    return asyncio.run(main())


def block(tracked: Callable[..., Any], *, fails: bool) -> Any:
    with tracked():
        return function("why?", fails=fails)


def async_block(tracked: Callable[..., Any], *, fails: bool) -> Any:
    async def main() -> str:
        async with tracked():
            return function("why?", fails=fails)

    return asyncio.run(main())


# What is called, how, and what comes of it.
USES: dict[str, tuple[Callable[..., Any], Callable[..., Any], str]] = {
    "function": (track_task(function), called, "WHY?"),
    "function that is waited for": (track_task(wait=0.01)(function), called, "WHY?"),
    "function with functions as options": (
        track_task(id=lambda question, **_: f"id {question}", input=lambda question, **_: [question])(function),
        called,
        "WHY?",
    ),
    "coroutine": (track_task(wait=0.01)(coroutine), awaited, "WHY?"),
    "generator": (track_task(generator), iterated, "why?WHY?"),
    "generator that is left": (track_task(generator), left_early, "why?WHY?"),
    "async generator": (track_task(async_generator), iterated_later, "why?WHY?"),
    "method": (Agent().method, called, "WHY?"),
    "classmethod": (Agent.of_class, called, "WHY?"),
    "object": (track_task(Agent()), awaited, "WHY?"),
    "partial": (track_task(functools.partial(function)), called, "WHY?"),
    "tool": (track_tool(function), called, "WHY?"),
    "tool that is a generator": (track_task(track_tool(generator)), iterated, "why?WHY?"),
    "nested": (track_task(track_task(function)), called, "WHY?"),
    "block": (tracked_task, block, "WHY?"),
    "async block": (tracked_task, async_block, "WHY?"),
}


def use(name: str) -> None:
    """Use it as a user does, twice, and see what a user sees."""
    tracked, way, expected = USES[name]
    assert way(tracked, fails=False) == expected
    with pytest.raises(UsersError) as caught:
        way(tracked, fails=True)
    assert caught.value.__cause__ is None


# --- what is made to fail ---

OURS = xpander_track.__name__


def is_ours(frame: types.FrameType | None) -> bool:
    return frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == OURS


def steps_of(name: str) -> set[types.CodeType]:
    """What of ours is called by ours in this thread during *use*."""
    called: dict[bool, set[types.CodeType]] = {True: set(), False: set()}

    def watch(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and is_ours(frame):
            called[is_ours(frame.f_back)].add(frame.f_code)

    sys.setprofile(watch)
    try:
        use(name)
    finally:
        sys.setprofile(None)
    return called[True] - called[False]


def fail_in(step: types.CodeType, error: type[BaseException], frame: types.FrameType, event: str, _: object) -> None:
    if event == "call" and frame.f_code is step:
        raise error("a bug of ours")


def functions_of(steps: set[types.CodeType]) -> dict[types.CodeType, list[types.FunctionType]]:
    """The functions that have these bodies, wherever they are referred to."""
    functions: dict[types.CodeType, list[types.FunctionType]] = {step: [] for step in steps}
    for found in gc.get_objects():
        if isinstance(found, types.FunctionType) and found.__code__ in functions:
            functions[found.__code__].append(found)
    return functions


@contextmanager
def failing(
    step: types.CodeType, functions: list[types.FunctionType], error: type[BaseException] = RuntimeError
) -> Iterator[None]:
    """Each call of *step*, which is the body of *functions*, raises *error*."""
    if not functions:  # It is made by each call anew (a closure, a comprehension): its first one fails.
        sys.setprofile(functools.partial(fail_in, step, error))
        try:
            yield
        finally:
            sys.setprofile(None)
        return
    scope: dict[str, Any] = {}
    cells = "".join(f"    c{number} = None\n" for number in range(len(step.co_freevars)))
    uses = "".join(f"        c{number}\n" for number in range(len(step.co_freevars)))
    # Of the same kind as what it takes the place of: only that kind of body may.
    awaits = step.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR)
    yields = step.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR)
    # Whatever its arguments are; its globals are those of that function.
    exec(
        f"def outer():\n{cells}    {'async ' if awaits else ''}def broken(*a, **k):\n{uses}"
        f"        raise __import__('builtins').{error.__name__}('a bug of ours')\n"
        f"{'        yield' if yields else ''}\n    return broken",
        scope,
    )
    broken = scope["outer"]().__code__
    try:
        for function in functions:
            function.__code__ = broken
        yield
    finally:
        for function in functions:
            function.__code__ = step


def noticed(name: str, error: type[BaseException]) -> list[str]:
    """The steps whose failure a user notices."""
    use(name)  # What is done once in a process is done.
    steps = functions_of(steps_of(name))
    assert len(steps) > 20, "it was not watched"
    seen: list[str] = []
    for step, functions in steps.items():
        with failing(step, functions, error):
            try:
                use(name)
            except BaseException as came_out:  # noqa: BLE001
                where = step.co_filename.rpartition(OURS)[2]
                seen.append(f"{where}:{step.co_firstlineno} {step.co_name} -> {came_out!r}")
    use(name)  # All is well again.
    return seen


@pytest.mark.parametrize("name", USES)
def test_whatever_step_of_ours_fails_the_user_does_not_notice(name: str) -> None:
    assert noticed(name, RuntimeError) == []


@pytest.mark.parametrize("error", [MemoryError, RecursionError, TypeError, AttributeError])
def test_however_a_step_of_ours_fails_the_user_does_not_notice(error: type[BaseException]) -> None:
    assert noticed("function", error) == []
