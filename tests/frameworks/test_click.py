"""click: a tracked function is a command, and so is a tracked command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from xpander_track import track_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from xpander_track.delivery.report import Report

click = pytest.importorskip("click", reason="click is not installed: see .ci/frameworks")
testing = pytest.importorskip("click.testing", reason="click is not installed: see .ci/frameworks")


@click.command()
@click.argument("question")
@click.option("--depth", default=1, help="How deep.")
@track_task(agent_id="agent-1")
def above(question: str, depth: int) -> None:
    """Answers a question."""
    click.echo(question * depth)


@click.command()
@track_task(agent_id="agent-1")
@click.argument("question")
@click.option("--depth", default=1, help="How deep.")
def between(question: str, depth: int) -> None:
    """Answers a question."""
    click.echo(question * depth)


@click.command()
@click.pass_context
@track_task(agent_id="agent-1")
def exits(context: click.Context) -> None:  # type: ignore[name-defined]
    context.exit(3)


@pytest.mark.parametrize("command", [above, between], ids=["above", "between"])
def test_a_command_takes_its_options_and_is_a_run(command: object, recorded: Callable[[], list[Report]]) -> None:
    runner = testing.CliRunner()
    assert runner.invoke(command, ["why", "--depth", "2"]).output == "whywhy\n"
    assert "Answers a question." in runner.invoke(command, ["--help"]).output
    assert "--depth" in runner.invoke(command, ["--help"]).output
    assert runner.invoke(command, []).exit_code == 2
    assert [(run.ending, run.input) for run in recorded()] == [("completed", '{"question":"why","depth":2}')]


def test_an_exit_passes(recorded: Callable[[], list[Report]]) -> None:
    assert testing.CliRunner().invoke(exits, []).exit_code == 3
    assert [run.ending for run in recorded()] == ["failed"]
