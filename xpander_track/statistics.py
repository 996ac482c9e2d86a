"""What many runs add up to, for each agent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .delivery.report import SUCCESSES
from .usage.counts import total

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .delivery.store import Figures


@dataclass(frozen=True)
class AgentStatistics:
    """
    One agent's runs.

    Args:
        agent_id: None for runs without an agent.
        runs: All of them, open ones included.
        success_rate: Of those that have ended, the part that succeeded, 0 to 1; None if none has ended.
        p50_duration: Seconds that half of the ended runs did not exceed (nearest rank).
        p95_duration: Seconds that 95 of 100 did not exceed.
        prompt_tokens: The sum of what was reported; None where nothing was.
        completion_tokens: The same.
    """

    agent_id: str | None
    runs: int
    success_rate: float | None
    p50_duration: float | None
    p95_duration: float | None
    prompt_tokens: int | None
    completion_tokens: int | None


def by_agent(figures: Iterable[Figures]) -> list[AgentStatistics]:
    """Statistics of each agent, the one with the most runs first."""
    agents: dict[str | None, list[Figures]] = {}
    for run in figures:
        agents.setdefault(run.agent_id, []).append(run)
    statistics = [_of(agent_id, runs) for agent_id, runs in agents.items()]
    return sorted(statistics, key=lambda agent: (-agent.runs, agent.agent_id or ""))


def percentile(values: list[float], part: float) -> float | None:
    """The smallest of *values* that *part* (0 to 1) of them do not exceed: the nearest rank; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def _of(agent_id: str | None, runs: list[Figures]) -> AgentStatistics:
    ended = [run for run in runs if run.ending is not None]
    durations = [run.duration for run in ended if run.duration is not None]
    return AgentStatistics(
        agent_id=agent_id,
        runs=len(runs),
        success_rate=sum(run.ending in SUCCESSES for run in ended) / len(ended) if ended else None,
        p50_duration=percentile(durations, 0.50),
        p95_duration=percentile(durations, 0.95),
        prompt_tokens=total(run.prompt_tokens for run in runs),
        completion_tokens=total(run.completion_tokens for run in runs),
    )
