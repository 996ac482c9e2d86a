"""A wrong argument is said at once, with what to do about it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

import xpander_track as xt
from xpander_track import configure, current_run, settings, track_task, track_tool, tracked_task
from xpander_track.run import NO_RUN

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Log, RunsRecorded


class Agent: ...


NAN, INF = math.nan, math.inf
DECORATORS: dict[str, Callable[..., Any]] = {"track_task": track_task, "tracked_task": tracked_task}

# Option, what is wrong with it, the error, what its message says.
OPTIONS: list[tuple[str, object, type[Exception], str]] = [
    ("agent_id", 7, TypeError, "agent_id must be a text, not int"),
    ("agent_id", b"agent", TypeError, "agent_id must be a text, not bytes"),
    ("agent_id", "", ValueError, "agent_id is empty. Leave it out, or give a text"),
    ("id", 7, TypeError, "id must be a text, not int"),
    ("id", "", ValueError, "id is empty"),
    ("wait", "2", TypeError, "wait must be a number of seconds, not str"),
    ("wait", True, TypeError, "wait must be a number of seconds, not bool"),
    ("wait", -1, ValueError, "wait must be a number of seconds of at least 0, not -1"),
    ("wait", NAN, ValueError, "wait must be a number of seconds"),
    ("wait", INF, ValueError, "wait must be a number of seconds"),
    ("capture_input", "no", TypeError, "capture_input must be True or False, not str"),
    ("capture_input", 0, TypeError, "capture_input must be True or False, not int"),
    ("capture_result", 1, TypeError, "capture_result must be True or False, not int"),
    ("configuration", {"api_key": "k"}, TypeError, "configuration must be a Configuration, not dict"),
    ("configuration", xt.Configuration, TypeError, "configuration must be a Configuration"),
]


@pytest.mark.parametrize(("option", "value", "error", "message"), OPTIONS)
@pytest.mark.parametrize("decorator", DECORATORS.values(), ids=DECORATORS)
def test_a_wrong_option_is_refused_at_once(
    decorator: Callable[..., Any], option: str, value: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        decorator(**{option: value})


@pytest.mark.parametrize("decorator", [*DECORATORS.values(), track_tool], ids=[*DECORATORS, "track_tool"])
def test_an_option_that_does_not_exist_is_refused_by_name(decorator: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="agentid"):
        decorator(agentid="agent-1")


@pytest.mark.parametrize("value", [7, ["text"], {"a": 1}])
@pytest.mark.parametrize("decorate", [lambda f, v: track_task(input=v)(f), lambda f, v: tracked_task(input=v)(f)])
def test_a_decorators_input_is_a_text_or_a_function(decorate: Callable[..., Any], value: object) -> None:
    with pytest.raises(TypeError, match=r"input must be a text or a function of the arguments, not (int|list|dict)"):
        decorate(lambda: None, value)


@pytest.mark.parametrize("option", ["id", "input"])
@pytest.mark.parametrize("form", ["with", "async with"])
def test_a_block_takes_no_function_of_arguments(form: str, option: str) -> None:
    options: dict[str, Any] = {option: lambda: "x"}
    block = tracked_task(**options)
    with pytest.raises(TypeError, match=f"{option} is a function of a call's arguments; a block has none"):
        block.__enter__() if form == "with" else asyncio.run(block.__aenter__())
    assert not current_run()


TARGETS: list[tuple[object, str]] = [
    ("agent-1", "decorates a function, not a str"),
    (None, "not a NoneType"),
    (7, "not a int"),
    (Agent, "not the class Agent"),
    (Agent(), "not a Agent"),
    (property(lambda self: 1), "not a property"),
    (staticmethod(7), "not a int"),  # type: ignore[arg-type]
    (classmethod(Agent), "not the class Agent"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("target", "message"), TARGETS, ids=[message for _, message in TARGETS])
@pytest.mark.parametrize("decorator", [track_task(), tracked_task(), track_tool()], ids=["task", "block", "tool"])
def test_what_is_no_function_is_refused_at_decoration(
    decorator: Callable[..., Any], target: object, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        decorator(target)


@pytest.mark.parametrize("decorator", [track_task, track_tool], ids=["task", "tool"])
def test_an_option_given_by_position_is_told_how_to_be_given(decorator: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="Options go by keyword"):
        decorator("agent-1")


@pytest.mark.parametrize(("name", "error"), [(7, TypeError), ("", ValueError)])
def test_a_wrong_tool_name_is_refused_at_decoration(name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="name"):
        track_tool(name=name)


def tokens_with(*, count: Any) -> xt.Tokens:
    """Pydantic looks at what is given, not at what is put in its place later."""
    tokens = xt.Tokens(completion_tokens=1)
    tokens.prompt_tokens = count
    return tokens


# What is called on a run, the arguments, the error, what its message says.
METHODS: list[tuple[str, tuple[object, ...], dict[str, object], type[Exception], str]] = [
    ("record_tool", (7,), {}, TypeError, "name must be a text, not int"),
    ("record_tool", ("",), {}, ValueError, "name is empty"),
    ("record_tool", (), {}, TypeError, "name"),
    ("record_tool", ("t", {"a": 1}), {}, TypeError, "positional"),
    ("record_tool", ("t",), {"args": 1}, TypeError, "args"),
    ("record_tool", ("t",), {"duration": "1"}, TypeError, "duration must be a number of seconds, not str"),
    ("record_tool", ("t",), {"duration": -1}, ValueError, "duration must be a number of seconds of at least 0"),
    ("record_tool", ("t",), {"duration": NAN}, ValueError, "duration must be a number of seconds"),
    ("tool", (None,), {}, TypeError, "name must be a text, not NoneType"),
    ("tool", ("",), {}, ValueError, "name is empty"),
    ("fail", (), {}, TypeError, "reason"),
    ("fail", (None,), {}, TypeError, "reason must be a text, not NoneType"),
    ("fail", (ValueError("no"),), {}, TypeError, "reason must be a text, not ValueError"),
    ("record_tokens", (), {}, TypeError, "a Tokens, or counts by name"),
    ("record_tokens", (xt.Tokens(),), {"prompt_tokens": 1}, TypeError, "one of the two"),
    ("record_tokens", (7,), {}, TypeError, "takes a Tokens, not a int"),
    ("record_tokens", ({"prompt_tokens": 1},), {}, TypeError, "takes a Tokens, not a dict"),
    ("record_tokens", (), {"tokens_in": 1}, TypeError, "tokens_in"),
    ("record_tokens", (), {"prompt_tokens": -1}, ValueError, "prompt_tokens must be a whole number of at least 0"),
    ("record_tokens", (), {"completion_tokens": 1.0}, ValueError, "completion_tokens must be a whole number"),
    ("record_tokens", (), {"cache_read_tokens": "1"}, ValueError, "cache_read_tokens must be a whole number"),
    ("record_tokens", (), {"cache_write_tokens": True}, ValueError, "cache_write_tokens must be a whole number"),
    ("record_tokens", (tokens_with(count="12"),), {}, ValueError, "prompt_tokens must be a whole number"),
    ("record_tokens", (tokens_with(count=-1),), {}, ValueError, "prompt_tokens must be .* at least 0, not -1"),
    ("record_tokens", (tokens_with(count=True),), {}, ValueError, "prompt_tokens must be a whole number"),
    ("record_tokens", (tokens_with(count=1.5),), {}, ValueError, "prompt_tokens must be a whole number"),
    ("record_tokens", (None,), {"prompt_tokens": -1}, ValueError, "prompt_tokens must be a whole number"),
    ("report_progress", ("half",), {}, TypeError, "positional"),
    ("set_result", (), {}, TypeError, "value"),
    ("reported", ("5",), {}, TypeError, "timeout must be a number of seconds, not str"),
    ("reported", (-1,), {}, ValueError, "timeout must be a number of seconds of at least 0"),
    ("areported", ("5",), {}, TypeError, "timeout must be a number of seconds, not str"),
    ("areported", (-1,), {}, ValueError, "timeout must be a number of seconds of at least 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "args", "kwargs", "error", "message"), METHODS, ids=[f"{m}-{text}" for m, _, _, _, text in METHODS]
)
def test_a_wrong_argument_of_a_run_is_refused_whether_open_or_not(
    method: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    error: type[Exception],
    message: str,
    recorded: RunsRecorded,
) -> None:
    with tracked_task() as ended:
        pass
    with tracked_task() as open_run:
        for run in (open_run, ended, NO_RUN):
            with pytest.raises(error, match=message):
                _finished(getattr(run, method)(*args, **kwargs))
    assert [(report.used_tools, report.tokens, report.ending) for report in recorded()] == [([], None, "completed")] * 2


@pytest.mark.parametrize(
    ("args", "kwargs", "error"),
    [((7,), {}, TypeError), (("",), {}, ValueError), (("t",), {"duration": "1"}, TypeError), (("t", 1), {}, TypeError)],
)
def test_a_wrong_argument_of_record_tool_is_refused(args: Any, kwargs: Any, error: type[Exception]) -> None:
    with tracked_task(), pytest.raises(error):
        xt.record_tool(*args, **kwargs)


def test_a_wrong_argument_inside_of_a_run_is_the_users_error(recorded: RunsRecorded) -> None:
    @track_task
    def answer() -> None:
        current_run().record_tool("")

    with pytest.raises(ValueError, match="name is empty"):
        answer()
    assert [report.result for report in recorded()] == ["ValueError: name is empty."]


@pytest.mark.parametrize("timeout", ["5", None, True, -1, NAN, INF])
@pytest.mark.parametrize("function", ["flush", "aflush", "shutdown"])
@pytest.mark.parametrize("used", [False, True], ids=["before the first run", "after a run"])
def test_a_wrong_timeout_is_refused(function: str, timeout: Any, recorded: RunsRecorded, *, used: bool) -> None:
    if used:
        track_task(lambda: None)()
    with pytest.raises((TypeError, ValueError), match="timeout must be a number of seconds"):
        _finished(getattr(xt, function)(timeout))
    track_task(lambda: "42")()
    assert recorded()[-1].result == "42"


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("form", ["with", "async with"])
def test_a_block_that_is_left_without_being_entered_says_so(form: str, log: Log) -> None:
    block = tracked_task()
    if form == "with":
        block.__exit__(None, None, None)
    else:
        asyncio.run(block.__aexit__(None, None, None))
    (line,) = log()
    assert "a tracked_task() was left more often than it was entered: use it in a with block" in line


# --- configure ---

SETTINGS: list[tuple[str, object, type[Exception], str]] = [
    ("api_key", 7, TypeError, "api_key must be a text, not int"),
    ("api_key", "", ValueError, "api_key is empty"),
    ("base_url", 7, TypeError, "base_url must be a text, not int"),
    ("base_url", "", ValueError, "base_url is empty"),
    ("base_url", "ftp://platform", ValueError, "base_url must begin with http:// or https://"),
    ("organization_id", 7, TypeError, "organization_id must be a text, not int"),
    ("agent_id", ["a"], TypeError, "agent_id must be a text, not list"),
    ("agent_id", "", ValueError, "agent_id is empty"),
    ("timeout", "30", TypeError, "timeout must be a number of seconds, not str"),
    ("timeout", 0, ValueError, "timeout must be a number of seconds above 0, not 0"),
    ("timeout", NAN, ValueError, "timeout must be a number of seconds above 0"),
    ("wait", True, TypeError, "wait must be a number of seconds, not bool"),
    ("wait", -0.1, ValueError, "wait must be a number of seconds of at least 0, not -0.1"),
    ("exit_timeout", "2", TypeError, "exit_timeout must be a number of seconds, not str"),
    ("exit_timeout", -1, ValueError, "exit_timeout must be a number of seconds of at least 0"),
    ("capture_input", "yes", TypeError, "capture_input must be True or False, not str"),
    ("capture_result", 0, TypeError, "capture_result must be True or False, not int"),
    ("enabled", "no", TypeError, "enabled must be True or False, not str"),
    ("max_chars", 0, ValueError, "max_chars must be a whole number of at least 1, not 0"),
    ("max_chars", 1.5, ValueError, "max_chars must be a whole number"),
    ("max_chars", True, ValueError, "max_chars must be a whole number"),
    ("redact", "secret", TypeError, "redact must be a function of a text, not a str"),
    ("home", 7, TypeError, "home must be the path of a folder, not a int"),
    ("home", "", ValueError, "home is empty"),
    ("api_keys", "k", TypeError, "api_keys"),
]


@pytest.mark.parametrize(("option", "value", "error", "message"), SETTINGS)
def test_a_wrong_setting_is_refused_and_changes_nothing(
    option: str, value: object, error: type[Exception], message: str
) -> None:
    configure(agent_id="agent-1")
    before = settings.current()
    with pytest.raises(error, match=message):
        configure(**{"wait": 3, option: value})  # type: ignore[arg-type]
    assert settings.current() is before


def test_settings_go_by_keyword() -> None:
    with pytest.raises(TypeError, match="positional"):
        configure("key")  # type: ignore[call-arg]


def test_what_is_not_given_stays() -> None:
    configure(agent_id="agent-1", wait=3)
    configure(wait=4)
    assert (settings.current().agent_id, settings.current().wait) == ("agent-1", 4)


@pytest.mark.parametrize(
    "option",
    [
        "api_key", "base_url", "organization_id", "agent_id", "timeout", "wait", "capture_input", "capture_result",
        "max_chars", "redact", "home", "exit_timeout", "enabled",
    ],
)  # fmt: skip
def test_none_takes_a_decision_back(option: str) -> None:
    configure(**{option: None})
    assert getattr(settings.current(), option) == getattr(settings.Settings(), option)


def test_the_key_is_not_in_the_settings_repr() -> None:
    configure(api_key="platform-key-123")
    assert "platform-key-123" not in repr(settings.current())


def _finished(value: Any) -> Any:
    async def main() -> Any:
        return await value

    return asyncio.run(main()) if asyncio.iscoroutine(value) else value


WRONG_CALLS: dict[str, Callable[[Any], Any]] = {
    "tracked_task(text)": lambda _: tracked_task("agent-123"),  # type: ignore[arg-type]
    "tracked_task(agent=)": lambda _: tracked_task(agent="agent-123"),  # type: ignore[call-arg]
    "tracked_task(inputs=)": lambda _: tracked_task(agent_id="a", inputs="q"),  # type: ignore[call-arg]
    "record_tool": lambda run: run.record_tool("search", {"q": 1}),
    "record_tokens": lambda run: run.record_tokens(10, 20),
    "record_tokens by other names": lambda run: run.record_tokens(input_tokens=10),
    "report_progress": lambda run: run.report_progress("half"),
    "fail": lambda run: run.fail(),
    "record_llm": lambda run: run.record_llm(),
    "set_result": lambda run: run.set_result("a", "b"),
    "reported": lambda run: run.reported(timout=6),
    "areported": lambda run: asyncio.run(run.areported(timout=6)),
    "tool": lambda run: run.tool("search", args=1),
}


@pytest.mark.parametrize("call", WRONG_CALLS.values(), ids=WRONG_CALLS)
def test_call_with_arguments_that_there_are_not_is_refused_at_once(
    call: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xt.boundary, "reraise", False)  # As users have it.
    with tracked_task() as run, pytest.raises(TypeError, match="argument"):
        call(run)
