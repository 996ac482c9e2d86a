"""What many runs add up to."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from xpander_track.delivery.store import Figures
from xpander_track.statistics import AgentStatistics, by_agent, percentile

if TYPE_CHECKING:
    from xpander_track.delivery.report import Ending


def run(
    agent_id: str | None = "a",
    ending: Ending | None = "completed",
    duration: float | None = 1.0,
    prompt: int | None = None,
    completion: int | None = None,
) -> Figures:
    return Figures(agent_id, ending, duration, prompt, completion)


@pytest.mark.parametrize(
    ("values", "part", "expected"),
    [
        ([], 0.5, None),
        ([7.0], 0.5, 7.0),
        ([7.0], 0.95, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0], 0.95, 2.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (list(range(1, 101)), 0.5, 50),
        (list(range(1, 101)), 0.95, 95),
        (list(range(1, 21)), 0.95, 19),
        (list(range(1, 22)), 0.95, 20),
        ([1.0, 2.0, 3.0], 0.0, 1.0),
        ([1.0, 2.0, 3.0], 1.0, 3.0),
        ([2.0, 2.0, 2.0, 9.0], 0.5, 2.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: list[float], part: float, expected: float | None) -> None:
    assert percentile(values, part) == expected


@pytest.mark.parametrize("hundredths", [1, 5, 50, 90, 95, 99, 100])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(hundredths: int) -> None:
    for size in range(1, 500):
        values = [float(value) for value in range(1, size + 1)]
        expected = next(value for value in values if value * 100 >= hundredths * size)
        random.Random(size).shuffle(values)
        assert percentile(values, hundredths / 100) == expected


def test_a_percentile_leaves_the_values_as_they_were() -> None:
    values = [3.0, 1.0, 2.0]
    percentile(values, 0.5)
    assert values == [3.0, 1.0, 2.0]


def test_runs_are_put_together_by_agent_the_most_runs_first() -> None:
    runs = [run("b"), run("a"), run(None), run("c"), run("c"), run(None), run(None)]
    assert [(agent.agent_id, agent.runs) for agent in by_agent(runs)] == [(None, 3), ("c", 2), ("a", 1), ("b", 1)]


def test_no_runs_are_no_agents() -> None:
    assert by_agent([]) == []


def test_an_agents_figures() -> None:
    runs = [
        run(duration=4.0, prompt=10, completion=1),
        run(duration=1.0, ending="failed", prompt=20),
        run(duration=2.0, ending="stopped_early"),
        run(duration=3.0, ending="interrupted", completion=0),
        run(duration=None, ending=None, prompt=5),
    ]
    assert by_agent(runs) == [
        AgentStatistics(
            agent_id="a", runs=5, success_rate=0.5, p50_duration=2.0, p95_duration=4.0, prompt_tokens=35,
            completion_tokens=1,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["failed", "cancelled", "timed_out", "interrupted"])
def test_other_endings_are_no_success(ending: Ending) -> None:
    assert [agent.success_rate for agent in by_agent([run(ending=ending)])] == [0.0]


def test_where_nothing_has_ended_nothing_is_known() -> None:
    (agent,) = by_agent([run(ending=None, duration=None)])
    assert (agent.runs, agent.success_rate, agent.p50_duration, agent.p95_duration) == (1, None, None, None)


def test_tokens_that_nobody_reported_are_not_none_used() -> None:
    (agent,) = by_agent([run(), run(completion=0)])
    assert (agent.prompt_tokens, agent.completion_tokens) == (None, 0)


def test_an_interrupted_run_has_no_duration() -> None:
    (agent,) = by_agent([run(ending="interrupted", duration=None), run(duration=2.0)])
    assert (agent.success_rate, agent.p50_duration) == (0.5, 2.0)
