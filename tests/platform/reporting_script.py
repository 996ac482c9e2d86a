"""
Reports as a user's program does, with the package that the command line names: for ``test_against_sdk.py``.

Prints one line of JSON for each call: its name, and what it returned.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import importlib
import json
import pathlib
import sys
import uuid
from collections import deque, namedtuple
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

xpander = importlib.import_module(sys.argv[1])
Backend, Configuration, ModuleException = xpander.Backend, xpander.Configuration, xpander.ModuleException
Task, Tasks, Tokens = xpander.Task, xpander.Tasks, xpander.Tokens

CONFIGURATION = Configuration(api_key="key-of-script", base_url=sys.argv[2], organization_id="org-of-script")
UTC = dt.timezone.utc


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


Pair = namedtuple("Pair", "left right")  # noqa: PYI024  # the untyped one is meant


class Inner(BaseModel):
    when: dt.datetime = dt.datetime(2026, 1, 2, tzinfo=UTC)
    tags: set[str] = {"one"}
    maybe: str | None = None


class Outer(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)

    some_name: str = Field(default="v", alias="someName")
    inner: Inner = Inner()
    amount: decimal.Decimal = decimal.Decimal("1.50")
    secret: SecretStr = SecretStr("hush")
    hidden: str = Field(default="no", exclude=True)


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = {"d": value}
    return value


FULL: dict[str, Any] = {
    "id": "run-1",
    "input": "Grüße, 世界 😀?\n\x00",
    "llm_response": {"choices": [{"message": {"content": "ß"}}], "n": None},
    "tokens": Tokens(completion_tokens=7, prompt_tokens=5, cache_read_tokens=3, cache_write_tokens=1),
    "is_success": False,
    "result": 'no "quotes"\\',
    "duration": 12.5,
    "used_tools": ["b", "a", "b"],
}

REPORTS: dict[str, dict[str, Any]] = {
    "minimal": {},
    "full": FULL,
    "same id again": {**FULL, "result": "yes", "is_success": True},
    "explicit nones": dict.fromkeys(FULL),
    "empty id": {"id": ""},
    "long id": {"id": "x" * 5000},
    **{f"tools {type(value).__name__}": {"used_tools": value} for value in [(), ("a", "b"), {"a"}, deque("ab")]},
    **{f"duration {value!r}": {"duration": value} for value in [0, 3, "1.5", True, -1, 1e-9, decimal.Decimal("0.25")]},
    **{f"success {value!r}": {"is_success": value} for value in [1, 0, "yes", "false", None]},
    "input bytes": {"input": "é".encode()},
    "tokens none": {"tokens": Tokens(completion_tokens=None, prompt_tokens=None)},
    "tokens dict": {"tokens": {"prompt_tokens": "5", "completion_tokens": 2.0, "total_tokens": 99, "color": "red"}},
    "tokens huge": {"tokens": Tokens(prompt_tokens=10**30)},
    **{
        f"response {number}": {"llm_response": value}
        for number, value in enumerate(
            [
                [1, "two", None, True, 2.0, 10**400, {}],
                "",
                0,
                False,
                [float("nan"), {"a": [float("inf"), -float("inf")]}],
                Outer(more=1),  # type: ignore[call-arg]
                {"k": [Inner(), {"deeper": Outer()}]},
                Point(1, Point(2, Inner())),
                [dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), dt.datetime(2026, 1, 2, 3, 4, 5)],  # noqa: DTZ001
                [dt.date(2026, 1, 2), dt.time(3, 4, 5), dt.timedelta(days=1, hours=2, minutes=3, seconds=4.5)],
                [decimal.Decimal("1.2300"), uuid.UUID(int=1), pathlib.Path("a/b"), 1 + 2j, Color.RED],
                [b"bytes", bytearray(b"array"), "é".encode()],
                [{1}, frozenset([1]), (1, (2,)), Pair(1, "r"), deque([1]), (item for item in [1, 2])],
                {1: "i", 1.5: "f", dt.date(2026, 1, 2): "d", None: "n", (3, 4): "t"},
                {True: 1, False: 0},
                deep(100),
                "x" * 1_000_000,
            ]
        )
    },
}


def report_all() -> Any:
    """Each report through the sync form of Task; some also through the others."""
    for name, arguments in REPORTS.items():
        yield f"Task: {name}", Task.report_external_task(configuration=CONFIGURATION, agent_id="agent-1", **arguments)
    for agent_id in ["A.b_c~d:e", "agent 1", "é😀", "a=b&c"]:
        yield f"Task: agent {agent_id}", Task.report_external_task(CONFIGURATION, agent_id, "run-2")
    positional = [CONFIGURATION, "agent-1", "run-3", "in", ["raw"], Tokens(), False, "out", 2, ["t"]]
    yield "Task: positional", Task.report_external_task(*positional)
    yield "Task: positional, async", asyncio.run(Task.areport_external_task(*positional))
    for name in ("minimal", "full", "explicit nones"):
        arguments = REPORTS[name]
        backend, agent = Backend(configuration=CONFIGURATION), SimpleNamespace(id="agent-of-object")
        sync, form = backend.report_external_task, backend.areport_external_task
        call = Task.areport_external_task(CONFIGURATION, "agent-1", **arguments)
        yield f"Task, async: {name}", asyncio.run(call)
        yield f"Backend: {name}", sync(agent_id="agent-1", **arguments)
        yield f"Backend, async: {name}", asyncio.run(form(agent_id="agent-1", **arguments))
        yield f"Backend with agent: {name}", sync(agent=agent, **arguments)
        yield f"Backend with both, async: {name}", asyncio.run(form("ignored", agent, **arguments))
    yield "Backend: agent and configuration of the environment", Backend().report_external_task(id="run-4")
    yield "Task: configuration of the environment", Task.report_external_task(agent_id="agent-1")


def report_inside_a_loop() -> Any:
    async def main() -> Any:
        return Task.report_external_task(CONFIGURATION, "agent-1", "run-5")

    yield "Task: sync inside a running loop", asyncio.run(main())


def read_back() -> Any:
    loaded = Task.load("run-1", CONFIGURATION)
    yield "load", loaded
    yield "load, async", asyncio.run(Task.aload(task_id="run-1", configuration=CONFIGURATION))
    yield "get", Tasks(configuration=CONFIGURATION).get("run-1")
    yield "get, async", asyncio.run(Tasks(CONFIGURATION).aget(task_id="run-1"))
    Task.report_external_task(CONFIGURATION, "agent-1", "run-1", result="changed")
    yield "reload", [loaded.reload(), loaded]
    asyncio.run(loaded.areload())
    yield "reload, async", loaded
    rows = Tasks(CONFIGURATION).list("agent-1")
    yield "list", rows
    yield "load a row", rows[0].load(configuration=CONFIGURATION)
    filters = {"status": "failed", "user_id": None, "internal_status": "a b&é", "parent_task_id": True}
    yield "list, filtered, async", asyncio.run(Tasks(CONFIGURATION).alist(agent_id="agent-1", filters=filters))
    loaded.tokens = Tokens(prompt_tokens=5, completion_tokens=7)
    yield "metrics", loaded.report_metrics()
    yield "metrics, async", asyncio.run(loaded.areport_metrics(configuration=CONFIGURATION))


def fail() -> Any:
    for status in (301, 304, 400, 404, 422, 503):
        try:
            Task.report_external_task(CONFIGURATION, f"status-{status}")
        except ModuleException as error:  # noqa: PERF203  # one for each status
            yield f"status {status}", [error.status_code, error.description, str(error)]


def shown(value: Any) -> Any:
    if isinstance(value, list):
        return [shown(item) for item in value]
    # "deep_planning" is a model of its own there and plain data here; its content is the platform's business.
    left_out = {"configuration", "deep_planning"}
    return value.model_dump(mode="json", exclude=left_out) if isinstance(value, BaseModel) else value


for calls in (report_all, report_inside_a_loop, read_back, fail):
    for call_name, returned in calls():
        print(json.dumps([call_name, shown(returned)]), flush=True)
