"""``xpander-track runs``, ``show`` and ``stats``: what was recorded, for people and for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import xpander_track
from xpander_track import Configuration, cli, current_run, record_tool, shutdown, track_task, tracked_task

from ..platform_server import PlatformServer

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """``command("runs", "--json")``: the exit code, and what was printed to the two outputs."""

    def run(*arguments: str) -> tuple[int, str, str]:
        shutdown(5)
        capsys.readouterr()
        try:
            code = cli.main(arguments)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """``python -m xpander_track`` in a process of its own, where a warning is an error."""
    environment = {**os.environ, "PYTHONPATH": str(Path(xpander_track.__file__).parents[1]), **options.pop("env", {})}
    line = [sys.executable, "-W", "error", "-m", "xpander_track", *arguments]
    outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    return subprocess.run(line, check=False, timeout=60, env=environment, **{**outputs, **options})


def one_run_of_each_kind() -> None:
    @track_task(agent_id="agent-1", id="run-1")
    def answer(question: str) -> str:
        record_tool("search", arguments={"q": question}, result=["a", "b"], duration=0.25)
        record_tool("fetch", error=ValueError("gone"))
        current_run().record_tokens(prompt_tokens=100, completion_tokens=20)
        current_run().record_llm({"id": "x", "raw": "response"})
        return "first line\nsecond line"

    answer("why?")
    with pytest.raises(ZeroDivisionError), tracked_task(agent_id="agent-2", id="run-2"):
        print(1 / 0)
    with tracked_task(id="other-3"):
        pass


@pytest.mark.parametrize(
    "arguments",
    [["runs"], ["runs", "--json"], ["show", "run-1"], ["show", "run-"], ["stats"], ["bogus"]],
    ids=" ".join,
)
def test_as_a_process_it_says_the_same(command: Command, arguments: list[str]) -> None:
    one_run_of_each_kind()
    code, out, err = command(*arguments)
    ended = process(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, out, err)


# --- runs ---


def test_runs_is_a_table_of_the_newest_first(command: Command) -> None:
    one_run_of_each_kind()
    code, out, err = command("runs")
    head, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["ID", "WHEN", "AGENT", "ENDING", "DURATION", "TOKENS", "TOOLS", "DELIVERY"]
    assert [row.split()[0] for row in rows] == ["other-3", "run-2", "run-1"]
    assert [row.split()[3:5] for row in rows] == [["-", "completed"], ["agent-2", "failed"], ["agent-1", "completed"]]
    assert rows[2].endswith("120  search, fetch  recorded here")


def test_runs_as_json(command: Command) -> None:
    one_run_of_each_kind()
    code, out, err = command("runs", "--json")
    assert (code, err) == (0, "")
    runs = json.loads(out)
    assert [run["id"] for run in runs] == ["other-3", "run-2", "run-1"]
    first = runs[2]
    assert isinstance(first.pop("duration"), float)
    assert first.pop("started_at").endswith("+00:00")
    assert first.pop("function").endswith("answer")
    assert first == {
        "id": "run-1",
        "agent_id": "agent-1",
        "ending": "completed",
        "is_success": True,
        "tokens": {
            "completion_tokens": 20, "prompt_tokens": 100, "cache_read_tokens": None, "cache_write_tokens": None,
            "total_tokens": 120,
        },
        "used_tools": ["search", "fetch"],
        "input": "why?",
        "result": "first line\nsecond line",
        "deliveries": [{"destination": "embedded", "state": "delivered", "attempts": 1, "reason": ""}],
    }  # fmt: skip


def test_runs_of_one_agent_and_as_many_as_asked_for(command: Command) -> None:
    one_run_of_each_kind()
    assert [run["id"] for run in json.loads(command("runs", "--json", "--agent", "agent-1")[1])] == ["run-1"]
    assert [run["id"] for run in json.loads(command("runs", "--json", "--limit", "2")[1])] == ["other-3", "run-2"]
    assert json.loads(command("runs", "--json", "--agent", "nobody")[1]) == []


def test_an_open_run_is_running_or_interrupted(command: Command) -> None:
    tracked_task(id="run-1").__enter__()
    code, out, _ = command("runs", "--json")
    (run,) = json.loads(out)
    assert (code, run["id"]) == (0, "run-1")
    assert run["ending"] in {None, "interrupted"}
    assert run["is_success"] in {None, False}


def test_ids_that_we_made_are_shortened(command: Command) -> None:
    with tracked_task() as run:
        pass
    assert command("runs")[1].splitlines()[1].split()[0] == run.id[:8]
    assert command("show", run.id[:8])[0] == 0


# --- show ---


def test_show_has_everything_of_a_run(command: Command) -> None:
    one_run_of_each_kind()
    code, out, err = command("show", "run-1")
    assert (code, err) == (0, "")
    facts = dict(line.split(None, 1) for line in out.split("\n\n")[0].splitlines())
    assert facts.pop("started")
    assert facts.pop("duration")
    assert facts.pop("function").endswith("answer")
    assert facts == {
        "id": "run-1", "agent": "agent-1", "ending": "completed", "tools": "search, fetch", "delivery": "recorded here",
        "tokens": "completion 20, prompt 100, cache_read unknown, cache_write unknown, total 120",
    }  # fmt: skip
    assert "tool search  250.0 ms\n  arguments:\n" in out
    assert "tool fetch  -  failed: ValueError: gone" in out
    assert "input:\n    why?\n" in out
    assert "result:\n    first line\n    second line\n" in out
    assert '"raw": "response"' in out


def test_show_as_json_has_everything_of_a_run(command: Command) -> None:
    one_run_of_each_kind()
    code, out, err = command("show", "run-1", "--json")
    assert (code, err) == (0, "")
    run = json.loads(out)
    assert run["tool_calls"] == [
        {"name": "search", "arguments": {"q": "why?"}, "result": ["a", "b"], "duration": 0.25},
        {"name": "fetch", "error": "ValueError: gone"},
    ]
    assert run["llm_response"] == {"id": "x", "raw": "response"}
    assert (run["tasks"]["embedded"]["id"], run["tasks"]["embedded"]["status"]) == ("run-1", "completed")


@pytest.mark.parametrize("given", ["run-1", "run-10"])
def test_a_whole_id_wins_over_longer_ones(command: Command, given: str) -> None:
    for run_id in ("run-10", "run-1", "run-100"):
        with tracked_task(id=run_id):
            pass
    code, out, _ = command("show", given, "--json")
    assert (code, json.loads(out)["id"]) == (0, given)


def test_an_ambiguous_beginning_is_refused_and_the_runs_are_named(command: Command) -> None:
    one_run_of_each_kind()
    code, out, err = command("show", "run-")
    assert (code, out) == (1, "")
    assert "several runs have an id that begins with 'run-'" in err
    assert [line.split()[0] for line in err.splitlines()[2:]] == ["run-2", "run-1"]


@pytest.mark.parametrize("given", ["nobody", "", "%", "_un-1", "RUN-1", "run-1' OR '1'='1", "--", "run-1\x00"])
def test_an_unknown_id_is_refused(command: Command, given: str, home: Path) -> None:
    one_run_of_each_kind()
    code, out, err = command("show", "--", given)
    assert (code, out) == (1, "")
    assert err == f"xpander-track: no run has an id that begins with {given!r} in {home}.\n"


@pytest.mark.parametrize("kind", ["no agent", "rejected", "waiting"])
def test_what_keeps_a_run_from_being_delivered_is_told(command: Command, kind: str) -> None:
    with PlatformServer() as server:
        url = server.url
        if kind != "waiting":
            configuration = Configuration(api_key="key-1", base_url=url)
            with tracked_task(id="run-1", agent_id=None, configuration=configuration) as run:
                pass
            run.reported(10)
    if kind == "waiting":
        configuration = Configuration(api_key="key-1", base_url=url)
        with tracked_task(id="run-1", agent_id="agent-1", configuration=configuration):
            pass
        xpander_track.flush(0.2)
    shown = " ".join(command("show", "run-1")[1].split())
    if kind == "waiting":
        assert f"delivery pending {url}" in shown
    else:
        assert "agent none: it was not given" in shown
        assert f"delivery rejected {url} (no agent id: give agent_id" in shown


# --- stats ---


def test_stats_are_of_each_agent(command: Command) -> None:
    one_run_of_each_kind()
    code, out, err = command("stats")
    assert (code, err) == (0, "")
    head, *rows = [line.split() for line in out.splitlines()]
    assert head == ["AGENT", "RUNS", "SUCCESS", "P50", "P95", "PROMPT", "TOKENS", "COMPLETION", "TOKENS"]
    assert [(row[:3], row[-2:]) for row in rows] == [
        (["-", "1", "100%"], ["-", "-"]), (["agent-1", "1", "100%"], ["100", "20"]),
        (["agent-2", "1", "0%"], ["-", "-"]),
    ]  # fmt: skip


def test_stats_as_json(command: Command) -> None:
    one_run_of_each_kind()
    code, out, _ = command("stats", "--json")
    agents = {agent["agent_id"]: agent for agent in json.loads(out)}
    assert code == 0
    assert agents["agent-1"].pop("p50_duration") == agents["agent-1"].pop("p95_duration") > 0
    assert agents["agent-1"] == {
        "agent_id": "agent-1", "runs": 1, "success_rate": 1.0, "prompt_tokens": 100, "completion_tokens": 20,
    }  # fmt: skip
    assert (agents["agent-2"]["prompt_tokens"], agents["agent-2"]["completion_tokens"]) == (None, None)


# --- nothing there, wrong usage ---


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["runs"], None), (["stats"], None), (["runs", "--json"], "[]\n"), (["stats", "--json"], "[]\n")],
)
def test_an_empty_history_is_no_error(command: Command, arguments: list[str], text: str | None, home: Path) -> None:
    assert command(*arguments) == (0, text or f"No runs are recorded in {home}.\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["bogus"], ["runs", "extra"], ["runs", "--bogus"], ["runs", "--limit"], ["runs", "--limit", "0"],
        ["runs", "--limit", "-1"], ["runs", "--limit", "ten"], ["runs", "--agent"], ["show"], ["show", "a", "b"],
        ["stats", "extra"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_told_and_exits_with_2(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: xpander-track")
    assert "Traceback" not in err
    assert "_positive" not in err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["runs", "--help"], ["show", "--help"], ["stats", "--help"]], ids=" ".join
)
def test_help_is_there(command: Command, arguments: list[str]) -> None:
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert out.startswith("usage: xpander-track")


def test_a_limit_beyond_all_numbers_is_no_crash(command: Command) -> None:
    one_run_of_each_kind()
    code, _, err = command("runs", "--limit", str(10**30))
    assert code in {0, 2}
    assert "Traceback" not in err


def test_a_damaged_history_is_told(command: Command, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "runs.sqlite3").mkdir()
    code, out, err = command("runs")
    assert (code, out) == (1, "")
    assert err.startswith("xpander-track: the run history cannot be read: ")


# --- terminals and pipes ---

CONTROLS = "\x1b[31m\x1b]0;title\x07\r\b\x7f\x9b31m\u202e\u200b\u2028\x00"


def test_control_characters_do_not_reach_the_terminal(command: Command) -> None:
    @track_task(id=f"run{CONTROLS}", agent_id=f"agent{CONTROLS}")
    def answer(question: str) -> str:
        record_tool(f"tool{CONTROLS}", arguments={CONTROLS: CONTROLS}, result=CONTROLS, error=CONTROLS)
        current_run().record_llm({CONTROLS: CONTROLS})
        return question

    answer(f"asked {CONTROLS}\nin two lines")
    for arguments in (["runs"], ["stats"], ["show", "run"], ["show", "nobody\x1b[31m"]):
        code, out, err = command(*arguments)
        assert code == (1 if "nobody" in arguments[-1] else 0)
        assert [c for c in out + err if not c.isprintable() and c != "\n"] == []


def test_control_characters_do_not_reach_the_terminal_as_json_either(command: Command) -> None:
    with tracked_task(id="run-1", agent_id=f"agent{CONTROLS}"):
        pass
    out = command("runs", "--json")[1]
    assert json.loads(out)[0]["agent_id"] == f"agent{CONTROLS}"
    assert [c for c in out if not c.isprintable() and c != "\n"] == []


def test_a_long_cell_is_cut(command: Command) -> None:
    with tracked_task(id="run-1", agent_id="a" * 500):
        pass
    assert max(map(len, command("runs")[1].splitlines())) < 160
    assert "a" * 500 in command("show", "run-1")[1]


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--json"]], ids=" ".join)
def test_a_reader_that_has_gone_is_no_error(arguments: list[str]) -> None:
    for number in range(30):
        with tracked_task(id=f"run-{number}", input="x" * 10_000):
            pass
    shutdown(5)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = process(*arguments, stdout=writing, env={"PYTHONUNBUFFERED": ""})  # As users have it.
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--json"], ["show", "run-1"]], ids=" ".join)
def test_an_output_that_has_no_such_characters_is_no_error(arguments: list[str]) -> None:
    with tracked_task(id="run-1", agent_id="größe", input="➜ 東京"):
        pass
    shutdown(5)
    ended = process(*arguments, env={"PYTHONIOENCODING": "ascii"}, encoding="ascii")
    assert (ended.returncode, ended.stderr) == (0, "")
